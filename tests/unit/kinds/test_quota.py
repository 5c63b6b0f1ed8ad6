"""A ResourceQuota refuses a pod one of whose containers says nothing of what it counts: each says as much as the user wrote."""

from collections.abc import Iterator
from typing import Any

import pytest

from deepseek_operator.core.resources import JOB
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.programs.engines.table import offered as engines
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.table import TRAINERS
from deepseek_operator.domain.programs.trainers.table import offered as trainers
from tests.support.serving_life import ServingLife
from tests.support.trainings import Life, claim

WRITTEN = {"cpu": "4", "cpuLimit": "8", "memory": "64Gi"}
COUNTED = {"requests": {"cpu": "4", "memory": "64Gi"}, "limits": {"cpu": "8", "memory": "64Gi"}}
MODEL: dict[str, Any] = {"name": "deepseek-r1-distill-qwen-1.5b", "source": {"uri": "pvc://models/base"}}
ADAPTER: dict[str, Any] = {"name": "code", "source": {"uri": "pvc://models/adapters/code"}, "rank": 32}
PROFILE = "nvidia-h200-141"
PRE_TRAINING = {"torchtitan", "megatron-bridge"}
"""They refuse to fine-tune; their pod is put together by the same functions as that of the others whose command is built."""


def training_pod(trainer: str, **accelerator: Any) -> dict[str, Any]:
    start, life = TRAINERS[trainer].start, Life()
    for name in ("models", "data"):
        life.cluster.put(claim(name))
    built: dict[str, Any] = {
        "model": MODEL,
        "datasets": [{"source": {"uri": "pvc://data/chats.jsonl"}, "format": "Messages"}],
        "hyperparameters": {"maxSteps": 10, "globalBatchSize": 4, "precision": "bf16"},
        "checkpoints": {"everySteps": 5},
    }
    image = {"image": "registry.example.com/trainer:1"} if start is not Start.OURS else {}
    is_programmed = start is Start.WRITTEN or TRAINERS[trainer].runs_a_program
    command = {"command": ["/app/train.py"]} if is_programmed else {}
    life.begin(
        **(built if start is Start.BUILT else {}),
        trainer={"type": trainer, **image, **command, "resources": WRITTEN},
        nodes={"count": 1},
        **accelerator,
    )
    assert life.told == ("Reconciling", "Starting"), life.owner.status.conditions
    (job,) = life.cluster.all(JOB)
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def serving_pod(engine: str, *adapters: dict[str, Any], **accelerator: Any) -> dict[str, Any]:
    start = ENGINES[engine].start
    own = {"image": "registry.example.com/engine:1"} if start is Start.WRITTEN else {}
    asked = {"model": MODEL, "accelerator": {"profile": PROFILE}} if start is Start.BUILT else {"model": MODEL}
    life = ServingLife(
        **{**asked, **accelerator}, engine={"type": engine, **own, "resources": WRITTEN}, adapters=list(adapters)
    )
    found: dict[str, Any] = life.template()["spec"]
    return found


def containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from pod.get("initContainers", ())
    yield from pod["containers"]


def assert_counted(pod: dict[str, Any]) -> None:
    for container in containers(pod):
        told = container.get("resources", {})
        said = {part: {name: told.get(part, {}).get(name) for name in wanted} for part, wanted in COUNTED.items()}
        assert said == COUNTED, container["name"]


@pytest.mark.parametrize("trainer", sorted({entry.type for entry in trainers()} - PRE_TRAINING))
def test_every_container_of_a_training_says_what_a_quota_counts(trainer: str) -> None:
    assert_counted(training_pod(trainer))


@pytest.mark.parametrize(
    ("engine", "adapters"),
    [
        (entry.type, adapters)
        for entry in sorted(engines(), key=lambda one: one.type)
        for adapters in [(), (ADAPTER,)]
        if entry.adapters or not adapters
    ],
)
def test_every_container_of_a_serving_says_what_a_quota_counts(
    engine: str, adapters: tuple[dict[str, Any], ...]
) -> None:
    assert_counted(serving_pod(engine, *adapters))


def test_only_the_container_that_computes_asks_for_devices() -> None:
    """A first container that asked for them too would add nothing to what the pod is given, and hold them while it looks."""
    pod = serving_pod("vllm", ADAPTER)
    asking = [c["name"] for c in containers(pod) if any("nvidia" in name for name in c["resources"]["limits"])]
    assert asking == ["engine"]
