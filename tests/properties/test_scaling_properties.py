"""What signals want, whatever they say; and a serving that is scaled by them through hours of load."""

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from math import ceil, inf, isfinite

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.domain.policy.scaling import (
    MINIMUM_SAMPLES,
    Fleet,
    Wish,
    by_demand,
    by_latency,
    by_saturation,
    decided,
)

NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1e6)
TARGETS = st.integers(1, 1_000_000)
MAXIMA = st.integers(1, 1000)
COUNTS = st.integers(0, 1000)
FLEETS = st.builds(Fleet, COUNTS, COUNTS, NUMBERS, st.booleans())
WELL = st.integers(1, 1000).map(lambda running: Fleet(running, running, running, is_settled=True))


@given(NUMBERS, NUMBERS, NUMBERS, TARGETS, MAXIMA, FLEETS)
def test_a_wish_is_within_what_there_may_be_or_none_and_none_has_a_cause(
    value: float, lasting: float, samples: float, target: int, maximum: int, fleet: Fleet
) -> None:
    wishes = (
        by_demand(value, target, maximum, fleet),
        by_latency(value, lasting, samples, target, maximum, fleet),
        by_saturation(value, min(target, 100), maximum, fleet),
    )
    for wish in wishes:
        assert wish.replicas is None or 1 <= wish.replicas <= maximum
        assert wish.replicas is not None or wish.why
    if not isfinite(fleet.reporting) or fleet.reporting < 1:
        assert [wish.replicas for wish in wishes] == [None] * 3


@given(st.floats(0, 1e9), st.floats(0, 1e9), TARGETS, WELL)
def test_demand_is_in_proportion_and_never_falls_with_more_load(
    load: float, more: float, target: int, fleet: Fleet
) -> None:
    wish = by_demand(load, target, 10**9, fleet).replicas
    higher = by_demand(load + more, target, 10**9, fleet).replicas
    assert wish is not None
    assert higher is not None
    assert max(1, load / target) <= wish <= load / target + 1
    assert wish <= higher


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e9), TARGETS, MAXIMA, WELL | FLEETS)
def test_a_latency_is_never_extrapolated(
    value: float, lasting: float, samples: float, target: int, maximum: int, fleet: Fleet
) -> None:
    wish = by_latency(value, lasting, samples, target, maximum, fleet)
    running = max(fleet.running, 1)
    if wish.replicas is None:
        return
    allowed = {running - 1, running, running + ceil(running / 4)} if fleet.is_settled else {running}
    if samples < MINIMUM_SAMPLES:
        allowed = {1}
    assert wish.replicas in {min(max(one, 1), maximum) for one in allowed}


@given(st.floats(0, 100), st.integers(1, 100), WELL)
def test_who_goes_by_a_share_does_not_make_the_others_breach(percent: float, target: int, fleet: Fleet) -> None:
    wish = by_saturation(percent, target, 1000, fleet).replicas
    assert wish is not None
    if wish < fleet.running:
        assert percent * fleet.running / wish <= target * (1 + 1e-9)


@given(st.lists(st.builds(Wish, st.none() | st.integers(1, 1000), st.just("why")), max_size=8), COUNTS)
def test_of_several_the_largest_wins_and_who_is_not_known_takes_nothing_away(wishes: list[Wish], running: int) -> None:
    found = decided(wishes, running)
    known = [wish.replicas for wish in wishes if wish.replicas is not None]
    if found is None:
        assert len(known) < len(wishes) or not wishes
        assert max(known, default=0) <= running
    else:
        assert found == max(known)
        assert len(known) == len(wishes) or found > running


INTERVAL_S, LOADS_S, WINDOW_S, LASTING_S, KEEPS_S = 15, 60, 120, 1800, 300


def hours(load: Callable[[int], float], of: int = 4, *, target_ms: float = 500, capacity: float = 10) -> list[int]:
    """Replicas every 15 s of a serving whose latency is that of a queue, by in-flight per replica of no use (a target that is
    never met) and by a latency. What it wants is kept for five minutes before less counts."""
    running, ready_at = 1, [0]
    latencies: deque[float] = deque(maxlen=LASTING_S // INTERVAL_S)
    told: deque[int] = deque(maxlen=KEEPS_S // INTERVAL_S)
    changed_at, seen = -WINDOW_S, []
    for second in range(0, of * 3600, INTERVAL_S):
        serving = sum(at <= second for at in ready_at)
        used = load(second) / (max(serving, 1) * capacity)
        latencies.append(60_000.0 if used >= 1 else 100 / (1 - used))
        settled = serving == running and second - max(changed_at, *ready_at) >= WINDOW_S
        fleet = Fleet(serving, running, serving, settled)
        recent = list(latencies)[-WINDOW_S // INTERVAL_S :]
        wish = decided(
            [
                by_demand(1, 1_000, 40, fleet),
                by_latency(max(recent), max(latencies), 1000, target_ms, 40, fleet),
            ],
            running,
        )
        assert wish is not None
        told.append(wish)
        wanted = wish if wish > running else min(running, max(told))
        if wanted != running:
            ready_at = (ready_at + [second + LOADS_S] * max(wanted - running, 0))[:wanted]
            running, changed_at = wanted, second
        seen.append(running)
    return seen


def changes(seen: list[int]) -> int:
    return sum(one != another for one, another in pairwise(seen))


@given(st.floats(1, 150))
def test_a_constant_load_by_latency_alone_finds_its_replicas_and_changes_them_at_most_four_times_an_hour(
    load: float,
) -> None:
    seen = hours(lambda second: load)
    assert max(seen) * 10 > load, "it keeps up"
    assert max(seen) <= ceil(load / 8) * 1.25 + 2, "and does not run away"
    assert changes(seen[len(seen) // 2 :]) <= 8


def test_a_burst_that_doubles_the_latency_many_times_brings_a_step_for_each_settled_window() -> None:
    seen = hours(lambda second: inf if second < 1200 else 5.0, of=1)
    steps = [after for before, after in pairwise(seen) if after > before]
    assert steps == [2, 3, 4, 5, 7, 9, 12], "a minute to load and two to settle, each"
