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
    "training-lora",
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

    for name, steps in (("minimal", 200), ("second-stage", 300), ("lora", 200), ("own-data", 100), ("for-a-team", 100)):
        wait("deepseektraining", name, "Complete")
        assert status("deepseektraining", name)["progress"]["step"] == steps
    for name in ("support", "chat"):
        wait("deepseekserving", name, "Available")
        assert "minimal@200" in kubectl.run("get", "deepseekserving", name)
    assert kubectl.get("horizontalpodautoscaler", "chat-serve")


@pytest.mark.timeout(240)
def test_an_adapter_is_trained_and_answers_beside_its_model(kubectl: Kubectl) -> None:
    for name in ("serving-adapters", "training-adapter", "training-minimal"):
        kubectl.apply((EXAMPLES / f"{name}.yaml").read_text())

    def status() -> dict[str, Any]:
        found: dict[str, Any] = (kubectl.get("deepseekserving", "words") or {}).get("status") or {}
        return found

    until("words is Available", lambda: status().get("phase") == "Available", timeout_s=WITHIN_S)
    [careful] = status()["resolved"]["adapters"]
    assert (careful["name"], careful["training"], careful["step"], careful["rank"]) == ("careful", "adapter", 200, 8)


def put_chats_on_their_claim(kubectl: Kubectl) -> None:
    """The node holds no image of busybox; the runtime's has a shell as well."""
    kubectl.apply((EXAMPLES / "chats" / "data.yaml").read_text().replace("busybox:1.37", RUNTIME_IMAGE))
    kubectl.run("wait", "--for=condition=Complete", "job/chats", "--timeout=60s", timeout_s=70)


@pytest.mark.timeout(240)
def test_chats_are_learnt_and_answered_by_the_template_that_they_were_trained_by(kubectl: Kubectl) -> None:
    kubectl.apply((EXAMPLES / "chats" / "serving.yaml").read_text())
    put_chats_on_their_claim(kubectl)
    kubectl.apply((EXAMPLES / "chats" / "training.yaml").read_text())

    def phase(kind: str) -> object:
        return ((kubectl.get(kind, "chats") or {}).get("status") or {}).get("phase")

    until("chats is Complete", lambda: phase("deepseektraining") == "Complete", timeout_s=WITHIN_S)
    until("chats is Available", lambda: phase("deepseekserving") == "Available", timeout_s=WITHIN_S)
    assert "chats@150" in kubectl.run("get", "deepseekserving", "chats")


@pytest.mark.timeout(240)
def test_chats_are_prepared_once_and_what_was_dropped_is_told(kubectl: Kubectl) -> None:
    """The chats of the other example, and a claim of its own for what is prepared."""
    put_chats_on_their_claim(kubectl)
    kubectl.apply((EXAMPLES / "chats" / "prepared.yaml").read_text())

    def status() -> dict[str, Any]:
        return (kubectl.get("deepseektraining", "chats-prepared") or {}).get("status") or {}

    until("chats-prepared is Complete", lambda: status().get("phase") == "Complete", timeout_s=WITHIN_S)
    prepared = status()["data"]["prepared"]
    assert (prepared["read"], sum(prepared["dropped"].values())) == (4, 0)
    assert prepared["sequences"] < 4


@pytest.mark.timeout(240)
def test_training_that_gets_no_better_is_complete_with_its_best_checkpoint(kubectl: Kubectl) -> None:
    kubectl.apply((EXAMPLES / "training-early-stopping.yaml").read_text())

    def status() -> dict[str, Any]:
        found: dict[str, Any] = (kubectl.get("deepseektraining", "careful") or {}).get("status") or {}
        return found

    until("careful is Complete", lambda: status().get("phase") == "Complete", timeout_s=WITHIN_S)
    ended = status()
    assert ended["summary"]["reason"] == "StoppedEarly"
    assert ended["exports"] == [ended["bestCheckpoint"]["step"]]
    assert ended["bestCheckpoint"]["step"] < ended["progress"]["step"] < 2000


@pytest.mark.timeout(240)
def test_a_program_in_an_image_of_its_own_measures_and_ends_with_the_training(kubectl: Kubectl) -> None:
    example = (EXAMPLES / "training-own-metric.yaml").read_text()
    kubectl.apply(example.replace("python:3.12-slim", RUNTIME_IMAGE))

    def status() -> dict[str, Any]:
        found: dict[str, Any] = (kubectl.get("deepseektraining", "measured") or {}).get("status") or {}
        return found

    until("measured is Complete", lambda: status().get("phase") == "Complete", timeout_s=WITHIN_S)
    ended = status()
    [metric] = ended["progress"]["metrics"]
    assert metric["name"] == "saved"
    assert 0 < float(metric["value"]) < 1
    assert ended["bestCheckpoint"]["step"] in (50, 100)
