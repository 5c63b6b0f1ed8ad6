"""The queue, the bucket and the workers in virtual time: seconds below are exact."""

import asyncio
from datetime import datetime
from itertools import pairwise
from random import Random

import pytest

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.bucket import TokenBucket
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.queue import BURST, FREE_REPEATS, Queue
from deepseek_operator.controller.reconcile import Acted, Failed, Outcome, Settled
from deepseek_operator.controller.workers import work
from tests.support.virtual_time import elapsed_s, in_virtual_time
from tests.support.world import StoppedClock

KEY, OTHER = (Key(TRAINING, "team", name) for name in ("a", "b"))


class FullWait(Random):
    """Jitter that always waits the whole limit."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Meter:
    def __init__(self) -> None:
        self.results: list[str] = []

    def passed(self, controller: str, result: str, seconds: float) -> None:
        self.results.append(result)


class Script:
    """A driver that follows a list of outcomes and notes when it was called; then it settles."""

    def __init__(self, *outcomes: Outcome | Exception, takes_s: float = 0.0) -> None:
        self._outcomes = list(outcomes)
        self._takes_s = takes_s
        self.calls: list[tuple[str, float]] = []
        self.active: set[Key] = set()
        self.parked: list[tuple[str, type[Exception]]] = []
        self.speechless: Exception | None = None

    async def reconcile(self, key: Key) -> Outcome:
        assert key not in self.active, "two passes over one object at a time"
        self.calls.append((key.name, round(elapsed_s(), 3)))
        self.active.add(key)
        await asyncio.sleep(self._takes_s)
        self.active.discard(key)
        outcome = self._outcomes.pop(0) if self._outcomes else Settled()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def park(self, key: Key, error: Exception, now: datetime) -> Outcome:
        self.parked.append((key.name, type(error)))
        if self.speechless is not None:
            raise self.speechless
        return Failed("InternalError")


async def running(script: Script, queue: Queue[Key], seconds: float, workers: int = 2, resync_s: float = 1e9) -> Meter:
    meter, bucket = Meter(), TokenBucket(1000.0, 1000)
    drivers = {TRAINING: script}
    tasks = [
        asyncio.create_task(work(queue, drivers, bucket, meter, StoppedClock(), lambda: resync_s))
        for _ in range(workers)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    queue.close()
    return meter


@in_virtual_time
async def test_a_key_added_many_times_is_worked_on_once() -> None:
    queue, script = Queue[Key](FullWait()), Script()
    for _ in range(200):
        queue.add(KEY)
    assert len(queue) == 1
    await running(script, queue, 10)
    assert script.calls == [("a", 0.0)]


@in_virtual_time
async def test_a_key_added_during_its_pass_gets_one_more_and_never_two_at_a_time() -> None:
    queue, script = Queue[Key](FullWait()), Script(takes_s=5.0)
    queue.add(KEY)
    for second in (1, 2, 3):
        asyncio.get_running_loop().call_later(second, queue.add, KEY)
    await running(script, queue, 30, workers=4)
    assert script.calls == [("a", 0.0), ("a", 5.0)]


@in_virtual_time
async def test_failures_double_the_backoff_from_one_second_to_five_minutes() -> None:
    queue, script = Queue[Key](FullWait()), Script(*[Failed("Failed")] * 12)
    queue.add(KEY)
    await running(script, queue, 2000)
    seconds = [at for _, at in script.calls]
    gaps = [later - earlier for earlier, later in pairwise(seconds)]
    assert gaps == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


@in_virtual_time
async def test_a_quiet_pass_forgets_the_backoff() -> None:
    queue = Queue[Key](FullWait())
    script = Script(Failed("Failed"), Failed("Failed"), Settled(10.0), Failed("Failed"))
    queue.add(KEY)
    await running(script, queue, 100)
    assert [at for _, at in script.calls] == [0, 1, 3, 13, 14]


@in_virtual_time
async def test_jitter_spreads_the_backoff_over_the_whole_limit() -> None:
    queue = Queue[Key](Random(7))
    delays = [queue.retry(Key(TRAINING, "team", str(n))) for n in range(200)]
    queue.close()
    assert min(delays) < 0.05
    assert max(delays) > 0.95
    assert all(0 <= delay <= 1 for delay in delays)


@in_virtual_time
async def test_the_servers_retry_after_is_obeyed() -> None:
    queue, script = Queue[Key](FullWait()), Script(Failed("Throttled", at_least_s=17.0))
    queue.add(KEY)
    await running(script, queue, 100)
    assert [at for _, at in script.calls] == [0, 17]


@in_virtual_time
async def test_the_earlier_of_two_delays_counts_and_a_pass_takes_both() -> None:
    queue, script = Queue[Key](FullWait()), Script()
    queue.add_after(KEY, 20)
    queue.add_after(KEY, 5)
    queue.add_after(KEY, 30)
    await running(script, queue, 100)
    assert script.calls == [("a", 5.0)]


@in_virtual_time
async def test_two_controllers_undoing_each_other_are_slowed_down() -> None:
    queue, script = Queue[Key](FullWait()), Script(*[Acted()] * 100)
    queue.add(KEY)
    await running(script, queue, 60)
    assert [at for _, at in script.calls][: FREE_REPEATS + 4] == [0.0] * (FREE_REPEATS + 1) + [1, 3, 7]


@pytest.mark.parametrize("poison", [ArithmeticError(), RecursionError(), MemoryError(), KeyError("spec")])
@pytest.mark.parametrize("speechless", [None, RecursionError("again"), RuntimeError("its status can't be written")])
def test_a_poisoned_object_is_parked_alone(poison: Exception, speechless: Exception | None) -> None:
    @in_virtual_time
    async def parked() -> None:
        queue, script = Queue[Key](FullWait()), Script(poison, Settled(), poison)
        script.speechless = speechless
        queue.add(KEY)
        queue.add(OTHER)
        meter = await running(script, queue, 60, workers=1)
        assert script.calls == [("a", 0.0), ("b", 0.0), ("a", 1.0), ("a", 3.0)]
        assert meter.results == ["error", "success", "error", "success"]
        assert script.parked == [("a", type(poison))] * 2

    parked()


def by_namespace(most: int = 1000) -> Queue[Key]:
    return Queue[Key](FullWait(), lambda key: key.namespace, most)


@in_virtual_time
async def test_a_namespace_with_many_keys_delays_another_by_one_pass() -> None:
    queue, script = by_namespace(), Script(takes_s=1.0)
    for number in range(400):
        queue.add(Key(TRAINING, "crowd", f"crowd-{number}"))
    queue.add(Key(TRAINING, "team", "alone"))
    queue.add(Key(TRAINING, "other", "second"))
    assert len(queue) == 402
    await running(script, queue, 5, workers=1)
    assert script.calls[:3] == [("crowd-0", 0.0), ("alone", 1.0), ("second", 2.0)]
    assert [name for name, _ in script.calls[3:]] == ["crowd-1", "crowd-2"]


@in_virtual_time
async def test_passes_of_one_namespace_that_hang_leave_workers_to_the_others() -> None:
    queue, script = by_namespace(most=3), Script(takes_s=100.0)
    for number in range(10):
        queue.add(Key(TRAINING, "crowd", f"crowd-{number}"))
    meter = asyncio.create_task(running(script, queue, 250, workers=4))
    await asyncio.sleep(50)
    queue.add(Key(TRAINING, "team", "alone"))
    await meter
    assert [at for name, at in script.calls if name == "alone"] == [50.0]
    assert [at for name, at in script.calls if name != "alone"] == [0.0] * 3 + [100.0] * 3 + [200.0] * 3


@in_virtual_time
async def test_a_storm_of_events_on_one_key_is_a_pass_a_second_and_its_last_one_is_seen() -> None:
    queue, script = by_namespace(), Script(takes_s=0.001)
    passes = asyncio.create_task(running(script, queue, 12, workers=2))
    for _ in range(5000):  # Five seconds of a thousand events a second.
        queue.add(KEY)
        await asyncio.sleep(0.001)
    last = elapsed_s()
    await passes
    assert len(script.calls) <= BURST + 8
    assert script.calls[-1][1] >= last - 0.002, "the last event was followed by a pass"


@in_virtual_time
async def test_a_bucket_lets_a_burst_through_and_then_a_rate() -> None:
    bucket, times = TokenBucket(10.0, 3), []
    for _ in range(6):
        await bucket.take()
        times.append(round(elapsed_s(), 3))
    assert times == [0, 0, 0, 0.1, 0.2, 0.3]
    await asyncio.sleep(60)
    for _ in range(4):
        await bucket.take()
    assert round(elapsed_s(), 3) == 60.4


def test_the_virtual_clock_is_what_these_tests_run_on() -> None:
    @in_virtual_time
    async def hour() -> None:
        await asyncio.sleep(3600)
        assert elapsed_s() == pytest.approx(3600)

    hour()


@in_virtual_time
async def test_what_was_added_before_the_work_looked_at_everything_needs_no_work_of_its_own() -> None:
    queue = Queue[Key](Random())
    queue.add(KEY)
    assert await queue.get() == KEY
    queue.add(KEY)
    queue.caught_up(KEY)
    queue.done(KEY)
    assert len(queue) == 0
    queue.add(KEY)
    queue.caught_up(KEY)
    queue.add(KEY)
    assert len(queue) == 1, "nobody works on it: it waits as it did, once"
    await queue.get()
    queue.caught_up(KEY)
    queue.add(KEY)
    queue.done(KEY)
    assert len(queue) == 1, "it was added behind that look"


OF_ITS_OWN, OF_ANOTHER = "7", ""


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ([], 0),
        ([OF_ITS_OWN], 0),
        ([OF_ITS_OWN, OF_ITS_OWN], 0),
        ([OF_ANOTHER], 1),
        ([OF_ITS_OWN, OF_ANOTHER], 1),
        ([OF_ANOTHER, OF_ITS_OWN], 1),
        (["6", OF_ITS_OWN], 1),
        (["8"], 1),
    ],
)
def test_the_event_of_what_the_work_has_written_itself_alone_needs_no_work(told: list[str], left: int) -> None:
    @in_virtual_time
    async def scene() -> None:
        queue = Queue[Key](Random())
        queue.add(KEY)
        await queue.get()
        queue.add(KEY)
        queue.caught_up(KEY)
        for version in told:
            queue.add(KEY, version)
        queue.caught_up(KEY, OF_ITS_OWN)
        queue.done(KEY)
        assert len(queue) == left

    scene()


@in_virtual_time
async def test_what_comes_behind_the_works_own_write_or_while_nobody_works_is_worked_on() -> None:
    queue = Queue[Key](Random())
    queue.add(KEY, OF_ITS_OWN)
    queue.caught_up(KEY, OF_ITS_OWN)
    assert len(queue) == 1
    await queue.get()
    queue.caught_up(KEY, OF_ITS_OWN)
    queue.add(KEY, "8")
    queue.done(KEY)
    assert len(queue) == 1
