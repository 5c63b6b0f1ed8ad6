"""One watch in virtual time, against a source that does whatever a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from copy import copy
from random import Random
from typing import Any

import pytest

from deepseek_operator.controller.stream import Stream
from deepseek_operator.core.resources import JOB, Manifest, Resource, uid_of
from deepseek_operator.ports.cluster import (
    ClusterError,
    Forbidden,
    Listing,
    NotServed,
    Outdated,
    Throttled,
    Unreachable,
)
from deepseek_operator.ports.streams import Garbled, Told
from tests.support.virtual_time import LoopClock, elapsed_s, in_virtual_time

BOARD = Resource("boards.example.com/v1", "Board", "boards", installed_by="the board controller")
TROUBLES: list[Exception] = [
    Unreachable("HTTP 500"),
    Unreachable("connection reset"),
    Throttled("slow down"),
    Forbidden("no right"),
    NotServed("no definition"),
    Garbled("<html>"),
    RuntimeError("not foreseen"),
]


def again(trouble: Exception) -> Exception:
    """Another of the same, which has not been raised yet."""
    return copy(trouble)


def job(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}


class Source:
    """A store of Jobs and its history; `refuses` and `breaks` raise when they hold something.

    Attributes:
        lists, watches: when they were asked for; forgotten: versions up to this one are outdated.
    """

    def __init__(self) -> None:
        self.version = 1
        self.jobs: dict[str, dict[str, Any]] = {}
        self.history: list[Told] = []
        self.lists: list[float] = []
        self.watches: list[float] = []
        self.forgotten = 0
        self.refuses: Exception | None = None
        self.refuses_lists: Exception | None = None
        self.breaks: Exception | None = None
        self.ends_at_once = False
        self._open: set[asyncio.Queue[Told | Exception | None]] = set()

    def put(self, name: str) -> None:
        self.version += 1
        self.jobs[name] = job(name, self.version)
        self._tell("MODIFIED", self.jobs[name])

    def remove(self, name: str) -> None:
        self.version += 1
        manifest = self.jobs.pop(name)
        self._tell("DELETED", {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)}})

    def strike(self, trouble: Exception | None) -> None:
        """Ends the open watches with that; None as agreed."""
        for queue in self._open:
            queue.put_nowait(trouble)

    def _tell(self, type_: str, manifest: Manifest) -> None:
        told = Told(type_, manifest["metadata"]["resourceVersion"], manifest)
        self.history.append(told)
        for queue in self._open:
            queue.put_nowait(told)

    async def pages(self, resource: Resource, namespace: str | None) -> AsyncIterator[Listing]:
        self.lists.append(elapsed_s())
        if self.refuses_lists is not None:
            raise again(self.refuses_lists)
        for manifest in (*self.jobs.values(), None):
            yield Listing(str(self.version), [manifest] if manifest is not None else [])

    @asynccontextmanager
    async def watch(self, resource: Resource, namespace: str | None, since: str) -> AsyncIterator[AsyncIterator[Told]]:
        self.watches.append(elapsed_s())
        if self.refuses is not None:
            raise again(self.refuses)
        if int(since) < self.forgotten:
            raise Outdated("too old")
        queue: asyncio.Queue[Told | Exception | None] = asyncio.Queue()
        for told in self.history:
            if int(told.version) > int(since):
                queue.put_nowait(told)
        if self.breaks is not None or self.ends_at_once:
            queue.put_nowait(self.breaks)
        self._open.add(queue)
        try:
            yield _drained(queue)
        finally:
            self._open.discard(queue)


async def _drained(queue: "asyncio.Queue[Told | Exception | None]") -> AsyncIterator[Told]:
    while (told := await queue.get()) is not None:
        if isinstance(told, Exception):
            raise again(told)
        yield told


class Follower:
    """Knows what it was told.

    Attributes:
        missed: why the resource can't be had, each time that this was another than before; None: it can again.
    """

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.missed: list[str | None] = []
        self.causes: list[str] = []
        self.poison = ""

    def told(self, resource: Resource, type_: str | None, manifest: Manifest) -> None:
        name = manifest["metadata"]["name"]
        if name == self.poison:
            raise RecursionError("poison")
        if type_ == "DELETED":
            self.known.pop(uid_of(manifest), None)
        else:
            self.known[uid_of(manifest)] = int(manifest["metadata"]["resourceVersion"])

    def listed(self, resource: Resource, namespace: str | None, version: int, uids: Collection[str]) -> None:
        for uid in set(self.known) - set(uids):
            del self.known[uid]

    def unwatched(self, resource: Resource, cause: str) -> None:
        self.causes.append(cause)

    def missing(self, resource: Resource, namespace: str | None, why: str | None) -> None:
        assert resource.is_optional
        if why is not None:
            self.known.clear()
        if (self.missed[-1] if self.missed else None) != why:
            self.missed.append(why)


class Stage:
    """Attributes: others_stand: whether all is well with the watches of always-there resources."""

    def __init__(self, resource: Resource = JOB) -> None:
        self.source, self.follower = Source(), Follower()
        self.others_stand = True
        self.stream = Stream(
            self.source, resource, None, self.follower, LoopClock(), Random(1), lambda: self.others_stand
        )
        self.running = asyncio.create_task(self.stream.run())

    def agrees(self) -> bool:
        wanted = {uid_of(item): int(item["metadata"]["resourceVersion"]) for item in self.source.jobs.values()}
        return self.follower.known == wanted

    async def meets(self, condition: Callable[[], bool], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.1)


def staged(scenario: Callable[[Stage], Any], resource: Resource = JOB) -> None:
    @in_virtual_time
    async def main() -> None:
        stage = Stage(resource)
        stage.source.put("old")
        await asyncio.sleep(1)
        assert stage.agrees()
        await scenario(stage)
        assert not stage.running.done()
        stage.running.cancel()

    main()


@pytest.mark.parametrize("trouble", TROUBLES, ids=repr)
def test_a_stream_that_breaks_is_taken_up_again_where_it_was_and_misses_nothing(trouble: Exception) -> None:
    async def scenario(stage: Stage) -> None:
        for number in range(5):
            stage.source.strike(trouble)
            await asyncio.sleep(0.001)
            stage.source.put(f"new-{number}")
            stage.source.remove("old" if number == 0 else f"new-{number - 1}")
            await stage.meets(stage.agrees, 2.0)
        assert len(stage.source.lists) == 1
        assert stage.follower.causes == [type(trouble).__name__] * 5

    staged(scenario)


@pytest.mark.parametrize("trouble", TROUBLES, ids=repr)
@pytest.mark.parametrize("lasts_s", [3, 60])
def test_after_a_server_that_refuses_for_any_time_all_is_known_within_two_seconds_with_at_most_one_list(
    trouble: Exception, lasts_s: int
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.source.refuses = trouble
        stage.source.strike(trouble)
        await asyncio.sleep(lasts_s)
        assert stage.stream.down_s == pytest.approx(lasts_s, abs=0.1)
        assert stage.stream.problem == f"the watch of jobs: {trouble}"
        stage.source.put("new")
        stage.source.remove("old")
        stage.source.refuses = None
        await stage.meets(stage.agrees, 2.0)
        assert len(stage.source.lists) <= 2
        assert len(stage.source.watches) <= lasts_s + 10
        await asyncio.sleep(6)
        assert stage.stream.down_s == 0.0
        assert stage.stream.problem is None

    staged(scenario)


@pytest.mark.parametrize("trouble", TROUBLES, ids=repr)
def test_a_list_that_fails_for_any_time_is_made_within_two_seconds_afterwards(trouble: Exception) -> None:
    async def scenario(stage: Stage) -> None:
        stage.source.refuses_lists = trouble
        stage.source.strike(Outdated("too old"))
        await asyncio.sleep(60)
        stage.source.remove("old")
        stage.source.put("new")
        stage.source.refuses_lists = None
        await stage.meets(stage.agrees, 2.0)

    staged(scenario)


def test_what_went_while_the_place_was_forgotten_is_known_by_its_absence_from_one_list() -> None:
    async def scenario(stage: Stage) -> None:
        stage.source.strike(Outdated("too old"))
        stage.source.remove("old")
        stage.source.put("new")
        stage.source.history.clear()
        stage.source.forgotten = stage.source.version
        await stage.meets(stage.agrees, 1.0)
        assert len(stage.source.lists) == 2

    staged(scenario)


def test_streams_that_end_at_once_or_break_at_once_cost_one_attempt_a_second_and_one_list() -> None:
    async def scenario(stage: Stage) -> None:
        for breaks in (None, Garbled("garbage"), Unreachable("HTTP 500")):
            stage.source.breaks, stage.source.ends_at_once = breaks, True
            stage.source.strike(breaks)
            lists, watches = len(stage.source.lists), len(stage.source.watches)
            await asyncio.sleep(60)
            assert len(stage.source.lists) - lists <= 1
            assert len(stage.source.watches) - watches <= 70
            stage.source.breaks, stage.source.ends_at_once = None, False
            stage.source.put("new")
            await stage.meets(stage.agrees, 2.0)
            await asyncio.sleep(10)

    staged(scenario)


def test_a_server_that_forgets_every_place_at_once_is_not_listed_in_a_storm() -> None:
    async def scenario(stage: Stage) -> None:
        stage.source.breaks = Outdated("too old")
        stage.source.strike(Outdated("too old"))
        await asyncio.sleep(300)
        assert len(stage.source.lists) <= 70
        stage.source.breaks = None
        await asyncio.sleep(10)
        stage.source.put("new")
        await stage.meets(stage.agrees, 2.0)

    staged(scenario)


def test_a_wish_to_wait_is_obeyed() -> None:
    async def scenario(stage: Stage) -> None:
        stage.source.strike(Throttled("slow down", 20.0))
        watches = len(stage.source.watches)
        await asyncio.sleep(19)
        assert len(stage.source.watches) == watches
        await asyncio.sleep(3)
        assert len(stage.source.watches) == watches + 1

    staged(scenario)


def test_a_stream_that_the_server_ends_as_agreed_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(20):
            await asyncio.sleep(30)
            stage.source.strike(None)
            await asyncio.sleep(0.2)
            assert stage.stream.down_s == 0.0
        assert stage.follower.causes == ["end"] * 20
        assert len(stage.source.lists) == 1

    staged(scenario)
    assert caplog.messages == []


def test_one_object_that_can_not_be_taken_keeps_no_other_from_being_told() -> None:
    async def scenario(stage: Stage) -> None:
        stage.follower.poison = "poison"
        stage.source.put("poison")
        stage.source.put("new")
        await stage.meets(lambda: "uid-new" in stage.follower.known, 1.0)
        assert len(stage.source.watches) == 1

    staged(scenario)


def test_a_trouble_is_told_once_however_long_it_lasts_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(stage: Stage) -> None:
        caplog.set_level("INFO")
        trouble: ClusterError = Forbidden("jobs is forbidden")
        stage.source.refuses = trouble
        stage.source.strike(trouble)
        await asyncio.sleep(100)
        stage.source.refuses = None
        stage.source.put("new")
        await asyncio.sleep(3)

    staged(scenario)
    assert caplog.messages == ["the watch of jobs: Forbidden: jobs is forbidden", "the watch of jobs stands again"]


GONE: list[ClusterError] = [
    NotServed("v1 has no boards: install the board controller"),
    Forbidden("you may not list boards"),
]


def take_away(stage: Stage, trouble: Exception) -> None:
    stage.source.refuses = stage.source.refuses_lists = trouble
    stage.source.strike(trouble)


def give_back(stage: Stage) -> None:
    stage.source.refuses = stage.source.refuses_lists = None


@pytest.mark.parametrize("trouble", GONE, ids=repr)
@pytest.mark.parametrize("at", ["the list", "the watch"])
def test_a_single_answer_that_an_optional_resource_is_gone_is_not_believed(trouble: ClusterError, at: str) -> None:
    async def scenario(stage: Stage) -> None:
        for number in range(5):
            if at == "the list":
                stage.source.refuses_lists = trouble
                stage.source.strike(Outdated("too old"))
            else:
                stage.source.strike(trouble)
            await asyncio.sleep(0.5)
            give_back(stage)
            stage.source.put(f"new-{number}")
            await stage.meets(stage.agrees, 4.0)
        assert stage.follower.missed == []
        assert stage.stream.down_s == 0.0

    staged(scenario, BOARD)


@pytest.mark.parametrize("trouble", GONE, ids=repr)
def test_the_second_in_a_row_is_and_the_trouble_is_no_outage_and_costs_a_request_in_15_to_30_s(
    trouble: ClusterError,
) -> None:
    async def scenario(stage: Stage) -> None:
        take_away(stage, trouble)
        await asyncio.sleep(4)
        assert stage.follower.missed == [str(trouble)]
        assert stage.follower.known == {}
        before = len(stage.source.lists) + len(stage.source.watches)
        await asyncio.sleep(3600)
        assert (stage.stream.down_s, stage.stream.problem) == (0.0, None)
        assert 3600 / 30 <= len(stage.source.lists) + len(stage.source.watches) - before <= 3600 / 15 + 1
        assert stage.follower.missed == [str(trouble)]
        give_back(stage)
        await stage.meets(stage.agrees, 31.0)
        await stage.meets(lambda: stage.follower.missed == [str(trouble), None], 0.2)
        stage.source.put("new")
        await stage.meets(stage.agrees, 1.0)

    staged(scenario, BOARD)


def test_an_optional_resource_that_was_never_there_is_known_to_be_missing_within_seconds_and_told_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @in_virtual_time
    async def main() -> None:
        caplog.set_level("INFO")
        stage = Stage(BOARD)
        stage.source.refuses_lists = GONE[0]
        await asyncio.sleep(4)
        assert stage.follower.missed == [str(GONE[0])]
        await asyncio.sleep(600)
        stage.source.refuses_lists = None
        await asyncio.sleep(31)
        stage.running.cancel()

    main()
    assert caplog.messages == [
        f"the watch of boards: {GONE[0]}; it is asked for now and then",
        "the watch of boards stands again",
    ]


def test_a_resource_that_every_cluster_has_is_never_missing() -> None:
    async def scenario(stage: Stage) -> None:
        take_away(stage, GONE[0])
        await asyncio.sleep(600)
        assert stage.stream.down_s == pytest.approx(600, abs=1)
        assert stage.follower.missed == []

    staged(scenario)


def test_what_may_be_listed_but_not_watched_is_missing_without_coming_and_going() -> None:
    async def scenario(stage: Stage) -> None:
        stage.source.refuses = GONE[1]
        stage.source.strike(GONE[1])
        await asyncio.sleep(600)
        assert stage.follower.missed == [str(GONE[1])]

    staged(scenario, BOARD)


@pytest.mark.parametrize("trouble", [t for t in TROUBLES if not isinstance(t, NotServed | Forbidden)], ids=repr)
def test_an_optional_resource_that_alone_is_in_trouble_is_missing_in_the_server_s_words(trouble: Exception) -> None:
    async def scenario(stage: Stage) -> None:
        take_away(stage, trouble)
        await asyncio.sleep(3)
        assert stage.follower.missed == []
        await asyncio.sleep(6)
        assert stage.follower.missed == [str(trouble)]
        assert stage.stream.down_s == 0.0
        give_back(stage)
        await stage.meets(lambda: stage.agrees() and stage.follower.missed == [str(trouble), None], 31.0)

    staged(scenario, BOARD)


@pytest.mark.parametrize("trouble", [t for t in TROUBLES if not isinstance(t, NotServed | Forbidden)], ids=repr)
def test_an_outage_of_the_server_makes_nothing_missing(trouble: Exception) -> None:
    async def scenario(stage: Stage) -> None:
        stage.others_stand = False
        take_away(stage, trouble)
        await asyncio.sleep(600)
        assert stage.follower.missed == []
        give_back(stage)
        stage.source.put("new")
        await stage.meets(stage.agrees, 2.0)

    staged(scenario, BOARD)


def test_an_outage_of_the_server_is_no_news_of_what_was_missing_before() -> None:
    async def scenario(stage: Stage) -> None:
        take_away(stage, GONE[0])
        await asyncio.sleep(60)
        stage.others_stand, stage.source.refuses_lists = False, Unreachable("connection refused")
        await asyncio.sleep(60)
        stage.others_stand, stage.source.refuses_lists = True, GONE[0]
        await asyncio.sleep(60)
        assert stage.follower.missed == [str(GONE[0])]
        stage.source.refuses_lists = GONE[1]
        await asyncio.sleep(31)
        assert stage.follower.missed == [str(GONE[0]), str(GONE[1])]

    staged(scenario, BOARD)


@pytest.mark.parametrize("period_s", [1, 5, 20, 60])
def test_what_comes_and_goes_twenty_times_is_known_as_it_is_in_the_end_at_no_more_than_an_attempt_a_second(
    period_s: int,
) -> None:
    async def scenario(stage: Stage) -> None:
        for number in range(20):
            take_away(stage, GONE[0])
            await asyncio.sleep(period_s)
            give_back(stage)
            stage.source.put(f"new-{number}")
            await asyncio.sleep(period_s)
        assert len(stage.source.lists) + len(stage.source.watches) <= 40 * max(period_s, 2)
        await stage.meets(stage.agrees, 31.0)
        take_away(stage, GONE[0])
        await asyncio.sleep(4)
        assert stage.follower.known == {}
        assert stage.follower.missed[-1] == str(GONE[0])

    staged(scenario, BOARD)
