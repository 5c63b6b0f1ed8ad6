"""No write starts with less lease left than it may take, one that the API server's fence refuses is asked again, and namespaces
take turns."""

import asyncio
import math
from collections.abc import Callable

import pytest

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.bucket import FairBucket
from deepseek_operator.controller.fence import HEARD_S, FencedCluster, NotLeading
from deepseek_operator.core.kind import Event
from deepseek_operator.core.resources import Manifest, Resource
from deepseek_operator.ports.cluster import Fenced
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


class Guarded(MemoryCluster):
    """An API server with a fence: it has heard who leads after so many writes, and tells of each that it refuses."""

    def __init__(self, heard_after: float, refused: Callable[[], None] = lambda: None) -> None:
        super().__init__(StoppedClock())
        self.asked = 0
        self._heard_after = heard_after
        self._refused = refused

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        self.asked += 1
        if self.asked <= self._heard_after:
            self._refused()
            raise Fenced('the Lease names "another"')
        return await super().create(resource, namespace, manifest)


@in_virtual_time
async def test_who_just_took_the_lease_writes_as_soon_as_the_api_server_has_heard_of_it() -> None:
    memory = Guarded(heard_after=3)
    begun = asyncio.get_running_loop().time()
    await FencedCluster(memory, lambda: 12.0, 5.0, FairBucket(100.0, 100)).create(TRAINING, "team", tiny())
    assert (memory.asked, len(memory.writes)) == (4, 1)
    assert asyncio.get_running_loop().time() - begun < 0.5


@in_virtual_time
async def test_who_lost_the_lease_while_it_wrote_does_not_ask_again_and_ends() -> None:
    left_s = 12.0

    def lost() -> None:
        nonlocal left_s
        left_s = 0.0

    memory = Guarded(heard_after=99, refused=lost)
    with pytest.raises(NotLeading):
        await FencedCluster(memory, lambda: left_s, 5.0, FairBucket(100.0, 100)).create(TRAINING, "team", tiny())
    assert memory.asked == 1


@in_virtual_time
async def test_an_api_server_that_never_hears_of_it_is_asked_ever_more_seldom_and_then_it_is_an_error() -> None:
    memory = Guarded(heard_after=math.inf)
    begun = asyncio.get_running_loop().time()
    with pytest.raises(Fenced):
        await FencedCluster(memory, lambda: 12.0, 5.0, FairBucket(100.0, 100)).create(TRAINING, "team", tiny())
    assert HEARD_S <= asyncio.get_running_loop().time() - begun < HEARD_S + 2
    assert memory.asked < 20
