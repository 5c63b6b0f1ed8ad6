"""A serving that sleeps, over virtual time: whatever comes when, whatever the metrics store, the gate and the operator do.

The world has a gate that hears late what it is told, a store that scrapes now and then and is away now and then, a replica
that loads for a while, and an operator that is away at times. Requests that are short enough to be missed by every scrape are
in it, and so are some that run for long.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepseek_operator.domain.policy.zero import (
    KEPT,
    SETTLE,
    Facts,
    Phase,
    Reading,
    State,
    advance,
    window_of,
)
from tests.support.moments import START
from tests.support.search import examples

STALE_S = 300
"""A store answers with the last sample of so long."""
GATE_S, AGAIN_S, INTERVAL_S, LOAD_S = 5, 5, 15, 40


@dataclass(frozen=True)
class Request:
    at: int
    seconds: int


@dataclass(frozen=True)
class Sample:
    at: int
    running: int
    answered: int


@dataclass
class World:
    """One second after the other.

    Attributes:
        idle: after how many seconds the serving may sleep.
        scrape: between two scrapes.
        lag: seconds until the gate has heard what it is told, less than `SETTLE`.
        store_away, operator_away: seconds in which they do nothing.
    """

    idle: int
    scrape: int
    lag: int
    requests: Sequence[Request]
    store_away: Sequence[range] = ()
    operator_away: Sequence[range] = ()
    now: int = 0
    state: State | None = None
    ready_at: int | None = 0
    running: list[int] = field(default_factory=list)
    held: list[Request] = field(default_factory=list)
    answered: int = 0
    ended_at: int = -(10**6)
    told: list[bool] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    reading: Reading | None = None
    mark: str = ""
    told_mark_at: int = -100
    waited_s: int = 0
    slept: list[int] = field(default_factory=list)

    @property
    def serving(self) -> int:
        return int(self.ready_at is not None and self.now >= self.ready_at)

    def at(self, second: int) -> datetime:
        return START + timedelta(seconds=second)

    def tick(self) -> None:
        self._end()
        self._gate()
        self._scrape()
        if any(self.now in away for away in self.operator_away):
            self.told.append(bool(self.told and self.told[-1]))  # What was written stands.
        else:
            self._operate()
        self.now += 1

    def _end(self) -> None:
        over = [end for end in self.running if end <= self.now]
        self.running = [end for end in self.running if end > self.now]
        self.answered += len(over)
        if over or self.running:
            self.ended_at = self.now

    def _gate(self) -> None:
        keeps = self.told[-1 - self.lag] if len(self.told) > self.lag else False
        self.held += [request for request in self.requests if request.at == self.now]
        if keeps:
            self.waited_s += bool(self.held)
            if self.held and self.now - self.told_mark_at >= AGAIN_S:
                self.mark, self.told_mark_at = f"t{self.now}", self.now
            return
        for request in self.held:
            assert self.serving, "a request was let through to nobody"
            self.running.append(self.now + request.seconds)
            if not request.seconds:
                self.ended_at = self.now
        self.held = []
        self._end()

    def _scrape(self) -> None:
        is_away = any(self.now in away for away in self.store_away)
        if self.serving and not is_away and self.now % self.scrape == 0:
            self.samples.append(Sample(self.now, len(self.running), self.answered))

    def _read(self, window: timedelta) -> Reading | None:
        since = self.now - int(window.total_seconds())
        fresh = [one for one in self.samples if one.at > self.now - STALE_S]
        within = [one for one in self.samples if one.at >= since]
        if any(self.now in away for away in self.store_away) or not fresh or not within or not self.serving:
            return None
        then = [one for one in self.samples if since - STALE_S < one.at <= since]
        ended = fresh[-1].answered - (then[-1].answered if then else 0)
        most = max(one.running for one in within)
        return Reading(most, ended, 1, self.at(fresh[-1].at), self.at(self.now), window)

    def _operate(self) -> None:
        idle, at = timedelta(seconds=self.idle), self.at(self.now)
        if self.now % INTERVAL_S == 0:
            self.reading = self._read(window_of(self.state, idle, at))
        is_settled = bool(self.serving)
        kept = bool(self.told and self.told[-1])
        facts = Facts(idle, is_settled, self.serving, False, kept, self.mark, len(self.held), self.reading, at)
        was, self.state = self.state, advance(self.state, facts)
        if was is not None and was.phase is not Phase.ASLEEP and self.state.phase is Phase.ASLEEP:
            assert not self.running, "a replica was taken while a request ran"
            assert self.now - self.ended_at >= self.idle, "something ran not long enough ago"
            self.ready_at = None
            self.samples.clear()
            self.slept.append(self.now)
        if self.state.phase is Phase.WAKING and self.ready_at is None:
            self.ready_at = self.now + LOAD_S
        self.told.append(self.state.phase in KEPT or not self.serving)


away = st.lists(st.builds(lambda at, s: range(at, at + s), st.integers(0, 900), st.integers(1, 300)), max_size=3)
requests = st.lists(
    st.builds(Request, st.integers(0, 900), st.one_of(st.just(0), st.integers(1, 20), st.integers(100, 400))),
    max_size=12,
)
LAST_S = 900 + 400 + 300


@example(30, 15, GATE_S, [Request(0, 0), *(Request(200, 3) for _ in range(200))], [], [])
@example(60, 60, 9, [Request(s, 0) for s in range(0, 900, 50)], [], [])
@example(30, 30, 9, [Request(s, 0) for s in range(70, 100)], [], [])
@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from([30, 60, 200]), st.sampled_from([5, 15, 30, 60]), st.integers(0, 9), requests, away, away)
def test_nothing_is_lost_and_nobody_waits_for_ever(
    idle: int, scrape: int, lag: int, requests: list[Request], store_away: list[range], operator_away: list[range]
) -> None:
    assert lag < SETTLE.total_seconds()
    world = World(idle, scrape, lag, requests, store_away, operator_away)
    while world.now < LAST_S:
        world.tick()
    longest = LOAD_S + 2 * GATE_S + AGAIN_S + 10
    for _ in range(longest):
        world.tick()
    assert not world.held, "somebody still waits"
    while world.now < LAST_S + 2 * idle + 1200:
        world.tick()
    assert world.answered == len(requests)
    if scrape * 2 <= idle:
        assert world.state is not None
        assert world.state.phase is Phase.ASLEEP, world.state
        assert world.ready_at is None


def test_two_hundred_that_wait_are_all_answered_soon_after_one_replica_serves() -> None:
    world = World(30, 15, GATE_S, [Request(400, 2)] * 200)
    while world.now < 400:
        world.tick()
    assert world.state is not None
    assert world.state.phase is Phase.ASLEEP
    while world.answered < 200:
        world.tick()
    assert world.now - 400 <= LOAD_S + GATE_S + 5


def test_without_a_store_nothing_ever_sleeps() -> None:
    world = World(30, 15, 2, [Request(10, 1)], store_away=[range(3000)])
    for _ in range(3000):
        world.tick()
    assert world.state is not None
    assert world.state.phase is Phase.AWAKE
    assert not world.slept


def test_a_sleeper_with_an_old_mark_goes_on_sleeping() -> None:
    state = State(Phase.ASLEEP, START, START, heard="t7")
    facts = Facts(timedelta(seconds=30), False, 0, False, True, "t7", 1, None, START + timedelta(days=1))
    assert advance(state, facts) == state
    assert advance(state, replace(facts, mark="")) == state
    assert advance(state, replace(facts, mark="t8")).phase is Phase.WAKING
