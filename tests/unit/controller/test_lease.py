"""The Lease in virtual time: never two holders, whatever the wall clocks say."""

import asyncio
from copy import deepcopy
from typing import Any

import pytest

from deepseek_operator.controller.lease import Lease, LeaseLost
from deepseek_operator.ports.cluster import Conflict, Unreachable
from tests.support.virtual_time import LoopClock, elapsed_s, in_virtual_time


class Leases:
    """A store with resourceVersions; `down` refuses, `delay_s` makes it slow."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.delay_s = 0.0

    async def read_lease(self, namespace: str, name: str, timeout_s: float) -> dict[str, Any] | None:
        await self._answer()
        return deepcopy(self.stored)

    async def write_lease(self, lease: Any, timeout_s: float) -> dict[str, Any]:
        await self._answer()
        version = lease["metadata"].get("resourceVersion")
        if version != (self.stored["metadata"]["resourceVersion"] if self.stored else None):
            raise Conflict("modified")
        self.version += 1
        self.stored = {**deepcopy(lease), "metadata": {**lease["metadata"], "resourceVersion": str(self.version)}}
        return deepcopy(self.stored)

    async def _answer(self) -> None:
        await asyncio.sleep(self.delay_s)
        if self.down:
            raise Unreachable("down")


def lease(leases: Leases, identity: str, skew_s: float = 0.0) -> Lease:
    return Lease(leases, LoopClock(skew_s), "system", "operator", identity)


@in_virtual_time
async def test_a_free_lease_is_taken_at_once_and_renewed_every_two_seconds() -> None:
    leases = Leases()
    ours = lease(leases, "a")
    await ours.acquire()
    assert (elapsed_s(), ours.left_s()) == (0.0, 15.0)
    holding = asyncio.create_task(ours.hold())
    await asyncio.sleep(100.5)
    assert leases.version == 51
    assert ours.left_s() == 14.5
    assert leases.stored is not None
    assert leases.stored["spec"]["leaseTransitions"] == 0
    holding.cancel()


@pytest.mark.parametrize("skew_s", [0.0, 86_400.0, -86_400.0])
def test_a_dead_holders_lease_is_taken_after_its_duration_whatever_the_wall_clocks_say(skew_s: float) -> None:
    @in_virtual_time
    async def scenario() -> None:
        leases = Leases()
        await lease(leases, "a").acquire()
        heir = lease(leases, "b", skew_s)
        await heir.acquire()
        assert 15.0 < elapsed_s() <= 18.0
        assert leases.stored is not None
        assert leases.stored["spec"]["leaseTransitions"] == 1

    scenario()


@in_virtual_time
async def test_a_living_holder_is_never_replaced() -> None:
    leases = Leases()
    ours, other = lease(leases, "a"), lease(leases, "b")
    await ours.acquire()
    tasks = [asyncio.create_task(ours.hold()), asyncio.create_task(other.acquire())]
    await asyncio.sleep(300)
    assert ours.left_s() > 0
    assert other.left_s() == 0
    for task in tasks:
        task.cancel()


@in_virtual_time
async def test_an_unreachable_api_server_ends_the_holder_before_anybody_else_can_begin() -> None:
    leases = Leases()
    ours = lease(leases, "a")
    await ours.acquire()
    leases.down = True
    with pytest.raises(LeaseLost):
        await ours.hold()
    assert elapsed_s() == 10.0
    assert ours.left_s() == 0


def test_an_outage_is_told_once_and_again_when_it_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def scenario() -> None:
        leases = Leases()
        await lease(leases, "a").acquire()
        standby = asyncio.create_task(lease(leases, "b").acquire())
        for is_down in (True, False, True):
            leases.down = is_down
            assert leases.stored is not None
            leases.stored["spec"]["renewTime"] = f"renewed before {elapsed_s()}"
            await asyncio.sleep(10)
        standby.cancel()

    scenario()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


@in_virtual_time
async def test_a_hung_api_server_ends_the_holder_too() -> None:
    leases = Leases()
    ours = lease(leases, "a")
    await ours.acquire()
    leases.delay_s = 3600.0
    with pytest.raises(LeaseLost):
        await ours.hold()
    assert elapsed_s() <= 15.0


@in_virtual_time
async def test_a_lease_that_somebody_else_took_is_lost_at_once() -> None:
    leases = Leases()
    ours = lease(leases, "a")
    await ours.acquire()
    assert leases.stored is not None
    leases.stored["spec"]["holderIdentity"] = "thief"
    with pytest.raises(LeaseLost):
        await ours.hold()
    assert elapsed_s() == 2.0


@in_virtual_time
async def test_a_released_lease_is_free_at_once() -> None:
    leases = Leases()
    ours, heir = lease(leases, "a"), lease(leases, "b")
    await ours.acquire()
    await ours.release()
    assert ours.left_s() == 0
    await heir.acquire()
    assert elapsed_s() == 0


@in_virtual_time
async def test_the_lease_counts_from_before_the_request_that_renewed_it() -> None:
    leases = Leases()
    leases.delay_s = 1.0
    ours = lease(leases, "a")
    await ours.acquire()
    assert ours.left_s() == 13.0


@in_virtual_time
async def test_whoever_takes_the_lease_later_took_it_at_a_later_version() -> None:
    leases = Leases()
    first, second = lease(leases, "a"), lease(leases, "b")
    await first.acquire()
    uid, since = first.term()
    await first.release()
    await second.acquire()
    assert second.term() == (uid, leases.version)
    assert 0 < since < leases.version
