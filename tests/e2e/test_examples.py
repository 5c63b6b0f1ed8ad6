"""The examples that need neither a GPU nor an image of one's own, applied together as they stand: each ends as its comment says."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.bed import RUNTIME_IMAGE
from tests.support.kubectl import Kubectl, until

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = (
    "serving-from-training",
    "serving-autoscaling",
    "training-resume-from",
    "training-minimal",
    "training-for-a-team",
)
WITHIN_S = 120


@pytest.mark.timeout(240)
def test_the_examples_for_a_cpu_end_as_they_say_within_two_minutes(kubectl: Kubectl) -> None:
    """Those that build on a training are applied before it: the order of files does not matter."""
    deadline = time.monotonic() + WITHIN_S
    # The built-in cluster has no registry to pull from; any image with `cp` will do.
    kubectl.apply((EXAMPLES / "own-data" / "data.yaml").read_text().replace("busybox:1.37", RUNTIME_IMAGE))
    for name in FILES:
        kubectl.apply((EXAMPLES / f"{name}.yaml").read_text())

    kubectl.run("wait", "--for=condition=Complete", "job/own-data", "--timeout=60s", timeout_s=70)
    kubectl.apply((EXAMPLES / "own-data" / "training.yaml").read_text())

    def status(kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = (kubectl.get(kind, name) or {}).get("status") or {}
        return found

    def wait(kind: str, name: str, phase: str) -> None:
        left_s = deadline - time.monotonic()
        until(f"{name} is {phase}", lambda: status(kind, name).get("phase") == phase, timeout_s=left_s)

    for name, steps in (("minimal", 200), ("second-stage", 300), ("own-data", 100), ("for-a-team", 100)):
        wait("deepseektraining", name, "Complete")
        assert status("deepseektraining", name)["progress"]["step"] == steps
    for name in ("support", "chat"):
        wait("deepseekserving", name, "Available")
        assert "minimal@200" in kubectl.run("get", "deepseekserving", name)
    assert kubectl.get("horizontalpodautoscaler", "chat-serve")
