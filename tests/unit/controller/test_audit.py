"""The audit in virtual time: readiness, repair, and a cost that does not depend on the number of objects."""

import asyncio

import pytest

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller import audit
from deepseek_operator.controller.audit import Auditor, HistoryLost
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.names import MANAGED_BY, MANAGER
from deepseek_operator.core.resources import JOB, SERVICE, Ref, Resource
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.ports.cluster import ClusterError, Forbidden, Listing, NotServed, Unreachable
from tests.support.posters import BOARD, NO_BOARDS, WITH_POSTERS
from tests.support.tiny import tiny
from tests.support.virtual_time import LoopClock, elapsed_s, in_virtual_time


class Stage:
    def __init__(self, kinds: Kinds = KINDS) -> None:
        self.clock = LoopClock()
        self.cluster = MemoryCluster(self.clock, kinds)
        self.mirror = Mirror()
        self.woken: list[Key] = []
        self.auditor = Auditor(
            self.cluster, self.mirror, self.clock, Metrics(), kinds.watched, self.woken.extend, interval_s=60.0
        )


@in_virtual_time
async def test_the_mirror_is_ready_only_when_a_list_finds_nothing_missing() -> None:
    stage = Stage()
    stored = stage.cluster.put(tiny())
    running = asyncio.create_task(stage.auditor.run())
    await asyncio.sleep(3.1)
    assert not stage.auditor.is_fresh
    stage.mirror.observe(TRAINING, stored)
    await stage.auditor.synced()
    assert 3.1 < elapsed_s() < 4.2
    assert stage.auditor.is_fresh
    running.cancel()


@in_virtual_time
async def test_what_the_watch_never_tells_is_read_in_the_end() -> None:
    stage = Stage()
    stage.cluster.put(tiny())
    running = asyncio.create_task(stage.auditor.run())
    await stage.auditor.synced()
    assert stage.mirror.owners() == (Key(TRAINING, "team", "t"),)
    assert stage.woken == [Key(TRAINING, "team", "t")]
    running.cancel()


@in_virtual_time
async def test_a_lost_event_is_repaired_within_a_minute_and_a_ghost_removed() -> None:
    stage = Stage()
    stage.cluster.listeners.append(lambda change: stage.mirror.observe(change.resource, change.manifest))
    stage.cluster.put(tiny("ghost"))
    stage.cluster.listeners.clear()
    running = asyncio.create_task(stage.auditor.run())
    await stage.auditor.synced()
    stage.cluster.remove(TRAINING, "team", "ghost")
    stage.cluster.put(tiny("missed"))
    await asyncio.sleep(63)
    assert stage.mirror.owners() == (Key(TRAINING, "team", "missed"),)
    assert {key.name for key in stage.woken} == {"ghost", "missed"}
    running.cancel()


@in_virtual_time
async def test_an_audit_that_fails_for_long_makes_the_process_unready() -> None:
    stage = Stage()
    running = asyncio.create_task(stage.auditor.run())
    await stage.auditor.synced()
    stage.cluster.refuse = lambda verb, namespace, ref: Unreachable("down") if ref.resource == JOB else None
    await asyncio.sleep(170)
    assert stage.auditor.is_fresh
    await asyncio.sleep(20)
    assert not stage.auditor.is_fresh
    running.cancel()


@in_virtual_time
async def test_the_mirror_is_not_called_complete_while_a_list_is_refused() -> None:
    stage = Stage()
    stage.cluster.refuse = lambda verb, namespace, ref: Forbidden("no") if ref.resource == JOB else None
    running = asyncio.create_task(stage.auditor.run())
    waiting = asyncio.create_task(stage.auditor.synced())
    await asyncio.sleep(600)
    assert not waiting.done()
    stage.cluster.refuse = lambda verb, namespace, ref: None
    await waiting
    assert stage.auditor.is_fresh
    running.cancel()


def test_an_outage_of_the_api_server_is_one_line_and_not_one_per_list_and_round(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @in_virtual_time
    async def outage() -> None:
        stage = Stage()
        stage.cluster.refuse = lambda verb, namespace, ref: Unreachable("down")
        running = asyncio.create_task(stage.auditor.run())
        await asyncio.sleep(600)
        running.cancel()

    outage()
    (line,) = caplog.messages
    assert line.startswith("the audit can't list deepseektrainings, deepseekservings, jobs,")
    assert line.endswith(": down")


def test_a_thousand_lost_events_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def cut() -> None:
        stage = Stage()
        running = asyncio.create_task(stage.auditor.run())
        await stage.auditor.synced()
        for number in range(1000):
            stage.cluster.put(tiny(f"t{number}"))
        await asyncio.sleep(63)
        assert len(stage.mirror.owners()) == 1000
        running.cancel()

    cut()
    assert caplog.messages == ["the watch of deepseektrainings lost 1000 objects, team/t0 among them"]


@in_virtual_time
async def test_a_store_that_was_restored_from_a_backup_ends_the_process() -> None:
    stage = Stage()
    for number in range(9):
        stage.cluster.put(tiny(f"t{number}"))
    running = asyncio.create_task(stage.auditor.run())
    await stage.auditor.synced()
    stage.auditor._cluster = MemoryCluster(stage.clock)
    with pytest.raises(HistoryLost, match="version 10 and now at 1"):
        await asyncio.wait_for(running, 70)


@pytest.mark.parametrize("trouble", [NotServed(NO_BOARDS), Forbidden("no right"), Unreachable("HTTP 500")], ids=repr)
def test_an_optional_resource_that_can_not_be_listed_is_waited_for_until_its_watch_says_that_it_is_missing(
    trouble: ClusterError, caplog: pytest.LogCaptureFixture
) -> None:
    @in_virtual_time
    async def main() -> None:
        stage = Stage(WITH_POSTERS)
        asked: list[float] = []

        def refusal(verb: str, namespace: str, ref: Ref) -> ClusterError | None:
            if ref.resource != BOARD:
                return None
            asked.append(elapsed_s())
            return trouble

        stage.cluster.refuse = refusal
        running = asyncio.create_task(stage.auditor.run())
        await asyncio.sleep(3.1)
        assert not stage.auditor.is_fresh
        stage.mirror.missing(BOARD, None, str(trouble))
        await asyncio.sleep(0.6)
        assert stage.auditor.is_fresh
        asked.clear()
        await asyncio.sleep(600)
        assert stage.auditor.is_fresh
        assert asked == []
        stage.mirror.missing(BOARD, None, None)
        await asyncio.sleep(600)
        assert stage.auditor.is_fresh
        assert 9 <= len(asked) <= 10
        running.cancel()

    main()
    assert caplog.messages == []


@in_virtual_time
async def test_an_optional_resource_whose_watch_never_decides_keeps_nobody_waiting_for_ever() -> None:
    stage = Stage(WITH_POSTERS)
    stage.cluster.refuse = lambda verb, namespace, ref: NotServed(NO_BOARDS) if ref.resource == BOARD else None
    running = asyncio.create_task(stage.auditor.run())
    await asyncio.wait_for(stage.auditor.synced(), 15)
    running.cancel()


@in_virtual_time
async def test_an_optional_resource_that_comes_back_from_a_server_that_counts_anew_ends_no_process() -> None:
    stage = Stage(WITH_POSTERS)
    listed = stage.cluster.list_metadata
    version = "900"

    async def list_metadata(resource: Resource) -> Listing:
        return Listing(version, []) if resource == BOARD else await listed(resource)

    stage.cluster.list_metadata = list_metadata  # type: ignore[method-assign]
    running = asyncio.create_task(stage.auditor.run())
    await stage.auditor.synced()
    version = "1"
    await asyncio.sleep(130)
    assert not running.done()
    running.cancel()


async def requests_of_an_hour(count: int) -> int:
    stage = Stage()
    for number in range(count):
        stage.mirror.observe(TRAINING, stage.cluster.put(tiny(f"t{number}")))
        labels = {MANAGED_BY: MANAGER}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{number}", "labels": labels}}
        stage.mirror.observe(SERVICE, stage.cluster.put(service))
    running = asyncio.create_task(stage.auditor.run())
    await asyncio.sleep(3600)
    running.cancel()
    return stage.cluster.reads.total()


@in_virtual_time
async def test_an_hour_at_rest_costs_the_same_for_two_and_for_fifty_of_each() -> None:
    few, many = await requests_of_an_hour(2), await requests_of_an_hour(50)
    rounds = 59  # one at the start, then one every 60 s plus the 2 s in which the watch may settle
    assert few == many == len(KINDS.watched) * rounds


def test_what_is_read_at_rest_does_not_grow_with_the_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "A_ROUND", 20)

    @in_virtual_time
    async def scene() -> None:
        rounds = {count: await requests_of_an_hour(count) // len(KINDS.watched) for count in (2, 10, 20, 100)}
        assert rounds == {2: 59, 10: 59, 20: 30, 100: 6}, (
            "a round in 60, 120 and 600 seconds, each with 2 for the watch"
        )

    scene()


def test_who_reads_seldom_is_ready_for_as_many_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "A_ROUND", 1)

    @in_virtual_time
    async def scene() -> None:
        stage = Stage()
        for number in range(10):
            stage.mirror.observe(TRAINING, stage.cluster.put(tiny(f"t{number}")))
        running = asyncio.create_task(stage.auditor.run())
        await stage.auditor.synced()
        await asyncio.sleep(590)
        assert stage.auditor.is_fresh
        stage.cluster.refuse = lambda verb, namespace, ref: Unreachable("down")
        await asyncio.sleep(1170)
        assert stage.auditor.is_fresh
        await asyncio.sleep(1300)
        assert not stage.auditor.is_fresh
        running.cancel()

    scene()
