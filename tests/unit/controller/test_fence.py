"""No write starts with less lease left than it may take, and namespaces take turns."""

import asyncio

import pytest

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.bucket import FairBucket
from deepseek_operator.controller.fence import FencedCluster, NotLeading
from deepseek_operator.core.kind import Event
from tests.support.tiny import tiny
from tests.support.virtual_time import in_virtual_time
from tests.support.world import StoppedClock


def fenced(left_s: float) -> tuple[MemoryCluster, FencedCluster]:
    memory = MemoryCluster(StoppedClock())
    return memory, FencedCluster(memory, lambda: left_s, 5.0, FairBucket(100.0, 100))


@pytest.mark.parametrize("left_s", [0.0, 4.9, 5.0])
async def test_a_write_that_could_outlive_the_lease_never_starts(left_s: float) -> None:
    memory, cluster = fenced(left_s)
    owner = memory.put(tiny())
    for write in (
        cluster.create(TRAINING, "team", tiny("other")),
        cluster.apply(TRAINING, "team", tiny("other")),
        cluster.put_status(TRAINING, {**owner, "status": {}}),
        cluster.delete(TRAINING, "team", "t", owner["metadata"]["uid"], "Background"),
    ):
        with pytest.raises(NotLeading):
            await write
    assert memory.attempts == 0
    assert await cluster.get(TRAINING, "team", "t") == owner


async def test_with_enough_lease_left_writes_pass() -> None:
    memory, cluster = fenced(5.1)
    await cluster.create(TRAINING, "team", tiny())
    assert len(memory.writes) == 1


@in_virtual_time
async def test_any_write_of_another_namespace_waits_for_one_of_a_storm() -> None:
    memory = MemoryCluster(StoppedClock())
    cluster = FencedCluster(memory, lambda: 60.0, 5.0, FairBucket(10.0, 1))
    owner = memory.put(tiny("t", namespace="quiet"))
    storm = [
        asyncio.create_task(cluster.create(TRAINING, "storm", tiny(f"t{n}", namespace="storm"))) for n in range(99)
    ]
    await asyncio.sleep(0)
    await cluster.apply(TRAINING, "quiet", tiny("other", namespace="quiet"))
    await cluster.put_status(TRAINING, {**owner, "status": {}})
    await cluster.publish(TRAINING, owner, Event("Normal", "Reason", "Act", ""))
    await cluster.delete(TRAINING, "quiet", "t", owner["metadata"]["uid"], "Background")
    assert sum(task.done() for task in storm) <= 6
    for task in storm:
        task.cancel()
