"""One step of a serving that may sleep, by each of what must be so before it goes on."""

from dataclasses import replace
from datetime import timedelta

import pytest

from deepseek_operator.domain.policy.zero import LOOKBACK, PATIENCE, SETTLE, Facts, Phase, Reading, State, advance
from tests.support.moments import START

IDLE, SECOND = timedelta(seconds=60), timedelta(seconds=1)
NOW = START + timedelta(hours=1)
QUIET = Reading(0.0, 0.0, 1.0, NOW, NOW, IDLE)
FACTS = Facts(IDLE, True, 1, False, True, "", 0, QUIET, NOW)
BEFORE = {
    Phase.IDLE: State(Phase.IDLE, NOW - IDLE, NOW - IDLE),
    Phase.CLOSING: State(Phase.CLOSING, NOW - SETTLE, NOW - IDLE),
    Phase.CLOSED: State(Phase.CLOSED, NOW - SETTLE, NOW - IDLE),
}
NEXT = {Phase.IDLE: Phase.CLOSING, Phase.CLOSING: Phase.CLOSED, Phase.CLOSED: Phase.ASLEEP}
DECIDES = pytest.mark.parametrize("phase", [Phase.IDLE, Phase.CLOSED])


def after(phase: Phase, facts: Facts = FACTS, **changes: object) -> Phase:
    """Where it goes from there; `changes` to what is recorded."""
    return advance(replace(BEFORE[phase], **changes), facts).phase  # type: ignore[arg-type]


def read(**changes: object) -> Facts:
    """With another reading."""
    return replace(FACTS, reading=replace(QUIET, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", NEXT)
def test_with_all_that_is_asked_for_it_goes_on(phase: Phase) -> None:
    assert after(phase) is NEXT[phase]


@DECIDES
def test_a_number_that_is_old_is_no_zero(phase: Phase) -> None:
    long_ago = NOW - timedelta(hours=1)
    for oldest, goes_on in ((NOW - LOOKBACK, True), (NOW - LOOKBACK - SECOND, False), (NOW + SECOND, False)):
        assert (after(phase, read(oldest=oldest), since=long_ago) is NEXT[phase]) is goes_on, oldest


def test_the_number_that_decides_is_of_a_time_when_nobody_came_through() -> None:
    assert after(Phase.CLOSED, read(oldest=NOW - SECOND)) is Phase.CLOSED


@DECIDES
def test_it_waits_for_as_long_as_is_asked_for(phase: Phase) -> None:
    assert after(phase, idle_since=NOW - IDLE + SECOND) is phase
    assert after(phase, idle_since=None) is phase


@DECIDES
def test_one_reading_covers_all_of_that_time(phase: Phase) -> None:
    assert after(phase, read(window=IDLE - SECOND)) is phase


@DECIDES
@pytest.mark.parametrize("reporting", [0.0, float("nan")])
def test_every_replica_that_serves_has_said_so(phase: Phase, reporting: float) -> None:
    assert after(phase, read(reporting=reporting)) is phase


def test_it_closes_by_the_word_that_the_gate_is_told_and_not_by_time() -> None:
    untold = replace(FACTS, is_kept=False)
    for waited in (timedelta(0), SETTLE, PATIENCE - SECOND):
        assert after(Phase.CLOSING, untold, since=NOW - waited) is Phase.CLOSING
    assert after(Phase.CLOSED, untold) is Phase.CLOSING
    assert after(Phase.CLOSING, untold, since=NOW - PATIENCE) is Phase.AWAKE


@pytest.mark.parametrize("phase", NEXT)
def test_whatever_speaks_against_it_makes_it_awake(phase: Phase) -> None:
    for facts in (
        replace(FACTS, is_settled=False),
        replace(FACTS, is_scheduled=True),
        replace(FACTS, mark="t1"),
        read(in_flight=1.0),
        read(ended=1.0),
        read(ended=-1.0),
    ):
        assert after(phase, facts) is Phase.AWAKE
