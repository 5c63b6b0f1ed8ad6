"""Whatever a metrics store answers: nothing is concluded from nothing, and nothing that is not known is a failure."""

from datetime import UTC, datetime, timedelta
from math import inf, isfinite, nan

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.domain.policy.analysis import (
    AtLeast,
    AtMost,
    Drop,
    Increase,
    Measured,
    Metric,
    Outcome,
    Reading,
    Tally,
    Terms,
    counted,
    due_at,
    judge,
    verdict,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
numbers = st.floats(allow_nan=True, allow_infinity=True)
readings = st.none() | st.builds(
    Reading,
    st.lists(numbers | st.floats(0, 5), max_size=4).map(tuple),
    st.integers(-400, 400).map(lambda second: START + timedelta(seconds=second)),
)
limits = st.one_of(
    st.builds(AtMost, st.floats(0, 10)),
    st.builds(AtLeast, st.floats(0, 10)),
    st.builds(Increase, st.floats(0, 1000)),
    st.builds(Drop, st.floats(0, 1)),
)
metrics = st.builds(
    Metric,
    st.just("m"),
    limits,
    lowest=st.sampled_from([0.0, -inf]),
    highest=st.sampled_from([1.0, inf]),
    is_exam=st.booleans(),
)
measurements = st.builds(Measured, readings, readings, readings, readings)
terms = st.builds(
    Terms,
    st.integers(5, 300).map(lambda second: timedelta(seconds=second)),
    st.just(timedelta(seconds=300)),
    st.integers(0, 3),
    st.integers(1, 5),
)


@given(metrics, measurements, terms)
def test_a_conclusion_has_its_numbers_and_they_say_the_same(metric: Metric, measured: Measured, of: Terms) -> None:
    told = judge(metric, measured, of, START)
    assert told.told
    if told.outcome is Outcome.INCONCLUSIVE:
        assert told.why
        return
    assert told.value is not None
    assert told.threshold is not None
    assert isfinite(told.value)
    assert isfinite(told.threshold)
    assert measured.value is not None
    assert told.value in measured.value.values
    assert abs(START - measured.value.at) <= 2 * of.interval
    assert metric.is_exam or (told.samples or 0) >= of.minimum_samples
    is_low = isinstance(metric.limit, AtLeast | Drop)
    is_well = told.value >= told.threshold if is_low else told.value <= told.threshold
    assert is_well is (told.outcome is Outcome.PASS)


@given(metrics, measurements, terms, st.sampled_from([nan, inf, -inf]), st.data())
def test_a_series_without_a_number_never_makes_a_conclusion_nor_a_pass(
    metric: Metric, measured: Measured, of: Terms, absurd: float, data: st.DataObject
) -> None:
    if measured.value is None:
        return
    before = judge(metric, measured, of, START).outcome
    values = (*measured.value.values, absurd)
    more = Measured(
        Reading(tuple(data.draw(st.permutations(values))), measured.value.at),
        measured.requests,
        measured.baseline,
        measured.baseline_requests,
    )
    after = judge(metric, more, of, START).outcome
    assert after is (Outcome.FAIL if before is Outcome.FAIL else Outcome.INCONCLUSIVE)


@given(st.lists(st.tuples(metrics, measurements), max_size=4), terms)
def test_the_order_of_metrics_and_of_series_is_nobodys_matter(all_: list[tuple[Metric, Measured]], of: Terms) -> None:
    told = verdict(all_, of, START)
    assert verdict(all_[::-1], of, START).outcome is told.outcome
    outcomes = {judgement.outcome for judgement in told.judgements}
    assert (told.outcome is Outcome.FAIL) is (Outcome.FAIL in outcomes)
    assert (told.outcome is Outcome.PASS) is (outcomes == {Outcome.PASS})


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(Outcome)), max_size=30), terms)
def test_failures_never_outrun_intervals_and_are_never_forgotten(passes: list[tuple[int, Outcome]], of: Terms) -> None:
    now, tally, span = START, Tally(), 0
    value = {Outcome.PASS: 1.0, Outcome.FAIL: 9.0, Outcome.INCONCLUSIVE: nan}
    metric = Metric("m", AtMost(2))
    for seconds, outcome in passes:
        now, span = now + timedelta(seconds=seconds), span + seconds
        measured = Measured(Reading((value[outcome],), now), Reading((10,), now))
        after = counted(tally, verdict(((metric, measured),), of, now), of)
        assert 0 <= after.failures - tally.failures <= (outcome is Outcome.FAIL)
        assert after.judged_at is not None
        assert due_at(after, of, START, now) > now
        tally = after
    assert tally.failures <= 1 + span / of.interval.total_seconds()
