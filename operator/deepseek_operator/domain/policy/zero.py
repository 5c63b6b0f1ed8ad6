"""Whether a serving that may sleep has replicas: a pure state machine between the last replica and none.

    Awake → Idle → Closing → Closed → Asleep → Waking → Awake
               ↘ Awake, from every one before Asleep, for anything that speaks against it

Every position is recorded before it is used. Sleep needs proof, waking needs a word: the last replica goes only after
readings of the metrics store which say that nothing ran, and it comes for the first sign that somebody waits. No data is
neither: what stands, stands. Requests are kept at the gate *before* the last replica goes (Closing, Closed), and the reading
that decides is of a time when none could reach it any more, so that none is lost between the two.

Who waits is told by a mark that changes, never by its age: no two clocks are compared.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite


class Phase(StrEnum):
    """Where a serving stands."""

    AWAKE = "Awake"
    IDLE = "Idle"
    CLOSING = "Closing"
    CLOSED = "Closed"
    ASLEEP = "Asleep"
    WAKING = "Waking"


KEPT = frozenset({Phase.CLOSING, Phase.CLOSED, Phase.ASLEEP})
"""Phases in which the gate keeps what comes, whatever runs."""

LOOKBACK = timedelta(seconds=120)
"""What a reading covers, at most: twice a scrape of once a minute. Shorter, and what was scraped seldom says nothing; longer,
and a store that has just seen its first sample keeps every serving awake for that long."""

SETTLE = timedelta(seconds=10)
"""From the gate's being told until each of its replicas keeps requests: it reads every 1.5 s and gives a read 2.5 s. Shorter,
and a request may be let through to a replica that ends."""

PATIENCE = timedelta(seconds=240)
"""How long requests are kept without a reading that decides, before they are let through again. It must cover `SETTLE` and two
scrapes of once a minute."""


@dataclass(frozen=True)
class Reading:
    """What the metrics store says of a serving's replicas, over the window that ends at `at`.

    Attributes:
        in_flight: the most requests that were running and waiting at a time.
        ended: requests answered since the window began, and more where a replica was replaced in it. None: the engine
            doesn't count them.
        reporting: replicas whose numbers are in it.
        oldest: when the oldest of those numbers was taken.
        at: when it was asked.
        window: how far back it looks.
    """

    in_flight: float
    ended: float | None
    reporting: float
    oldest: datetime
    at: datetime
    window: timedelta

    @property
    def is_number(self) -> bool:
        """What must be counted is."""
        numbers = (self.in_flight, self.ended if self.ended is not None else 0.0, self.reporting)
        return all(isfinite(number) for number in numbers) and self.in_flight >= 0

    @property
    def is_busy(self) -> bool:
        """Something ran in the window, or may have."""
        return self.is_number and (self.in_flight > 0 or bool(self.ended))

    def is_quiet(self, serving: int) -> bool:
        """Nothing ran in the window: said of every replica that serves, by numbers that are not old."""
        told = self.is_number and self.reporting >= serving > 0
        return told and not self.is_busy and self.at - LOOKBACK <= self.oldest <= self.at


@dataclass(frozen=True)
class State:
    """Where a serving stands, as it is recorded.

    Attributes:
        since: when the phase began.
        idle_since: since when nothing has run; None while something may.
        heard: the gate's mark when it was looked at last: another one means that somebody waits.
        why: of Waking, as a sentence.
    """

    phase: Phase
    since: datetime
    idle_since: datetime | None = None
    heard: str = ""
    why: str = ""


@dataclass(frozen=True)
class Facts:
    """What the next step depends on.

    Attributes:
        idle: for how long nothing must have run.
        is_settled: one replica is wanted, and it alone runs, of the revision that is asked for; no canary runs.
        serving: replicas that serve.
        another: a revision is asked for that has never run, or not since.
        is_kept: the gate is told to keep requests.
        mark: what the gate wrote last; empty: nothing.
        waiting: requests that wait by its words, for people.
        reading: of the metrics store; None: none, or none that is to be believed.
        at: now, in whole seconds, as it is recorded.
        is_scheduled: a schedule wants replicas now, whether anybody asks or not.
    """

    idle: timedelta
    is_settled: bool
    serving: int
    another: bool
    is_kept: bool
    mark: str
    waiting: int
    reading: Reading | None
    at: datetime
    is_scheduled: bool = False


def window_of(state: State | None, idle: timedelta, now: datetime) -> timedelta:
    """How far the next reading must look back: all of `idle` where it decides, so that no gap of the store hides a request."""
    decides = state is not None and (state.phase in KEPT or (state.phase is Phase.IDLE and _is_due(state, idle, now)))
    return idle if decides else min(idle, LOOKBACK)


def advance(state: State | None, now: Facts) -> State:
    """Where it stands next, as it is to be recorded: the same where nothing has changed. None: nothing is recorded yet."""
    if state is None:
        return State(Phase.AWAKE, now.at, heard=now.mark)
    if state.since > now.at:  # A clock went back.
        idle_since = min(state.idle_since, now.at) if state.idle_since is not None else None
        state = replace(state, since=now.at, idle_since=idle_since)
    match state.phase:
        case Phase.ASLEEP:
            return _asleep(state, now)
        case Phase.WAKING:
            return State(Phase.AWAKE, now.at, heard=now.mark) if now.serving else state
        case _:
            return _awake(state, now)


def _asleep(state: State, now: Facts) -> State:
    if _somebody_waits(state, now):
        told = f"{now.waiting} requests wait" if now.waiting > 1 else "a request waits"
        return State(Phase.WAKING, now.at, heard=now.mark, why=told)
    if now.is_scheduled:
        return State(Phase.WAKING, now.at, heard=now.mark, why="a schedule wants replicas")
    if now.another:
        return State(Phase.WAKING, now.at, heard=now.mark, why="another version is asked for, and is tried")
    return state


def _awake(state: State, now: Facts) -> State:
    reading = now.reading
    disturbed = not now.is_settled or now.is_scheduled or (reading is not None and reading.is_busy)
    if state.phase is Phase.AWAKE:
        # What was asked before it was awake was of a time when nothing could come.
        if disturbed or reading is None or reading.at <= state.since or not reading.is_quiet(now.serving):
            return state
        return State(Phase.IDLE, now.at, max(state.since, _second(reading.at - reading.window)), now.mark)
    if disturbed or _somebody_waits(state, now):
        return State(Phase.AWAKE, now.at, heard=now.mark)
    match state.phase:
        case Phase.IDLE if reading is not None and _proves(reading, state, now):
            return replace(state, phase=Phase.CLOSING, since=now.at)
        case Phase.CLOSING if now.is_kept:
            return replace(state, phase=Phase.CLOSED, since=now.at)
        case Phase.CLOSED if not now.is_kept:
            # Somebody told the gate otherwise, and some may have come through: it is closed anew.
            return replace(state, phase=Phase.CLOSING, since=now.at)
        case Phase.CLOSED if reading is not None and _is_last(reading, state, now):
            return replace(state, phase=Phase.ASLEEP, since=now.at)
        case Phase.CLOSING | Phase.CLOSED if now.at - state.since >= PATIENCE:
            return State(Phase.AWAKE, now.at, heard=now.mark)
    return state


def _somebody_waits(state: State, now: Facts) -> bool:
    return bool(now.mark) and now.mark != state.heard


def _is_due(state: State, idle: timedelta, now: datetime) -> bool:
    return state.idle_since is not None and now - state.idle_since >= idle


def _proves(reading: Reading, state: State, now: Facts) -> bool:
    """For as long as asked nothing ran, by one reading of all of that time."""
    return _is_due(state, now.idle, now.at) and reading.window >= now.idle and reading.is_quiet(now.serving)


def _is_last(reading: Reading, state: State, now: Facts) -> bool:
    """The same, and each of its numbers is of a time when nothing came through the gate any more."""
    return now.is_kept and reading.oldest >= state.since + SETTLE and _proves(reading, state, now)


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def waits(state: State, idle: timedelta, interval: timedelta, now: datetime) -> timedelta | None:
    """Time until it must be looked at although nothing happens: at the next reading. None: only what happens moves it."""
    if state.phase in (Phase.ASLEEP, Phase.WAKING):
        return None
    left = state.idle_since + idle - now if state.phase is Phase.IDLE and state.idle_since is not None else interval
    return min(interval, left) if left > timedelta(0) else interval
