"""Whether a new version does well enough: what no data, the worst series, too few requests and an interval are worth."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan

import pytest

from deepseek_operator.domain.policy.analysis import (
    AtLeast,
    AtMost,
    Drop,
    Increase,
    Judgement,
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

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
TERMS = Terms(timedelta(seconds=60), timedelta(seconds=300), minimum_samples=100, failure_limit=2)
LATENCY = Metric("LatencyP99", AtMost(2), "s", lowest=0)
ERRORS = Metric("ErrorRate", AtMost(0.01), lowest=0, highest=1)
PASS, FAIL, INCONCLUSIVE = Outcome


def read(*values: float, at: datetime = NOW) -> Reading:
    return Reading(values, at)


def of(*values: float, requests: float = 310) -> Measured:
    return Measured(read(*values), read(requests))


def judged(metric: Metric, measured: Measured, terms: Terms = TERMS) -> Judgement:
    return judge(metric, measured, terms, NOW)


@pytest.mark.parametrize(
    ("limit", "values", "outcome", "worst"),
    [
        (AtMost(2), (1.5,), PASS, 1.5),
        (AtMost(2), (2.0,), PASS, 2.0),
        (AtMost(2), (2.1,), FAIL, 2.1),
        (AtMost(2), (0.1, 9.0, 0.2), FAIL, 9.0),
        (AtLeast(0.9), (0.95, 0.9), PASS, 0.9),
        (AtLeast(0.9), (0.95, 0.8, 0.99), FAIL, 0.8),
    ],
)
def test_the_worst_series_decides(
    limit: AtMost | AtLeast, values: tuple[float, ...], outcome: Outcome, worst: float
) -> None:
    told = judged(Metric("any", limit), of(*values))
    assert (told.outcome, told.value, told.threshold) == (outcome, worst, limit.value)


@pytest.mark.parametrize("value", [nan, inf, -inf, -0.5])
def test_what_can_not_be_is_no_data(value: float) -> None:
    told = judged(LATENCY, of(value))
    assert (told.outcome, told.value) == (INCONCLUSIVE, None)


def test_a_share_of_more_than_all_is_no_data() -> None:
    assert judged(ERRORS, of(1.5)).outcome is INCONCLUSIVE


@pytest.mark.parametrize("reading", [None, read(), read(1.0, at=NOW - timedelta(seconds=121))])
def test_no_answer_an_empty_and_an_old_one_are_no_data(reading: Reading | None) -> None:
    assert judged(LATENCY, Measured(reading, read(310))).outcome is INCONCLUSIVE
    assert judged(LATENCY, Measured(read(1.0), reading)).outcome is INCONCLUSIVE


def test_an_answer_from_the_future_is_no_data() -> None:
    assert judged(LATENCY, Measured(read(1.0, at=NOW + timedelta(hours=1)), read(310))).outcome is INCONCLUSIVE


def test_a_series_without_a_number_is_not_well_and_hides_no_failure() -> None:
    assert judged(LATENCY, of(1.0, nan)).outcome is INCONCLUSIVE
    assert "1 of 2 series" in judged(LATENCY, of(1.0, nan)).why
    assert judged(LATENCY, of(nan, 3.0)).outcome is FAIL


def test_too_few_requests_conclude_nothing() -> None:
    for value in (0.5, 9.0):
        assert judged(LATENCY, of(value, requests=99.9)).outcome is INCONCLUSIVE
    assert judged(LATENCY, of(9.0, requests=100)).outcome is FAIL


@pytest.mark.parametrize("requests", [nan, inf, -5])
def test_a_count_that_is_none_is_no_data(requests: float) -> None:
    assert judged(LATENCY, of(9.0, requests=requests)).outcome is INCONCLUSIVE


def test_requests_need_not_be_counted() -> None:
    free = replace(TERMS, minimum_samples=0)
    told = judged(LATENCY, Measured(read(1.0)), free)
    assert (told.outcome, told.samples) == (PASS, None)


@pytest.mark.parametrize(
    ("value", "stable", "outcome", "threshold"),
    [
        (1.19, 1.0, PASS, 1.2),
        (1.21, 1.0, FAIL, 1.2),
        (0.0, 0.0, PASS, 0.0),
        (0.1, 0.0, FAIL, 0.0),
        (1.0, 9.0, PASS, 10.8),
    ],
)
def test_a_relative_limit_is_worked_out_over_stable(
    value: float, stable: float, outcome: Outcome, threshold: float
) -> None:
    told = judged(Metric("any", Increase(20)), Measured(read(value), read(200), read(stable), read(200)))
    assert (told.outcome, told.baseline) == (outcome, stable)
    assert told.threshold == pytest.approx(threshold)


@pytest.mark.parametrize(
    ("baseline", "requests"),
    [
        (None, read(200)),
        (read(), read(200)),
        (read(nan), read(200)),
        (read(1.0, nan), read(200)),
        (read(1.0), read(99)),
        (read(1.0), None),
    ],
)
def test_without_a_stable_revision_to_compare_with_nothing_is_concluded(
    baseline: Reading | None, requests: Reading | None
) -> None:
    told = judged(Metric("any", Increase(20)), Measured(read(99.0), read(200), baseline, requests))
    assert (told.outcome, told.threshold) == (INCONCLUSIVE, None)


@pytest.mark.parametrize(
    ("value", "stable", "outcome"),
    [(0.7, 0.8, PASS), (0.699, 0.8, FAIL), (0.9, 0.8, PASS), (0.0, 0.1, PASS), (0.2, 0.3, PASS)],
)
def test_a_drop_is_counted_from_stable_as_people_subtract(value: float, stable: float, outcome: Outcome) -> None:
    told = judged(Metric("any", Drop(0.1), is_exam=True), Measured(read(value), read(20), read(stable)))
    assert (told.outcome, told.baseline) == (outcome, stable)


def test_an_exam_needs_no_requests_and_tells_its_prompts() -> None:
    least = Metric("Accuracy", AtLeast(0.9), is_exam=True)
    assert judged(least, Measured(read(0.95), read(20))).told == "Accuracy 0.95, at least 0.9, of 20 prompts"
    beside = Metric("Accuracy", Drop(0.02), is_exam=True)
    assert judged(beside, Measured(read(0.9), read(20), read(0.95))).told == (
        "Accuracy 0.9, at least 0.93 (0.02 below stable's 0.95), of 20 prompts"
    )
    told = judged(beside, Measured(read(0.9), read(20), missing="the exam of stable goes on"))
    assert told.outcome is INCONCLUSIVE
    assert told.told == "Accuracy 0.9, at most 0.02 below stable, of 20 prompts: the exam of stable goes on"


def test_a_failure_outweighs_what_is_not_known_and_that_what_is_well() -> None:
    def over(*measured: Measured) -> Outcome:
        return verdict(((LATENCY, one) for one in measured), TERMS, NOW).outcome

    assert over(of(1.0), of(nan), of(3.0)) is FAIL
    assert over(of(1.0), of(nan)) is INCONCLUSIVE
    assert over(of(1.0), of(1.0)) is PASS


def test_of_nothing_measured_nothing_is_concluded() -> None:
    assert verdict((), TERMS, NOW).outcome is INCONCLUSIVE


def test_a_person_reads_the_numbers() -> None:
    assert judged(LATENCY, of(2.5)).told == "LatencyP99 2.5 s, at most 2 s, over 310 requests in 300 s"
    assert judged(LATENCY, of(1.0, requests=12)).told == (
        "LatencyP99 1 s, at most 2 s, over 12 requests in 300 s: minimumSamples asks for 100 requests"
    )
    relative = judged(Metric("any", Increase(20), "s"), Measured(read(1.5), read(200), read(1.0), read(200)))
    assert relative.told == "any 1.5 s, at most 1.2 s (20 % more than stable's 1 s), over 200 requests in 300 s"
    unanswered = judged(LATENCY, Measured(missing="Prometheus: connection refused"))
    assert unanswered.told == "LatencyP99 no data, at most 2 s, in 300 s: Prometheus: connection refused"


def test_a_verdict_tells_what_decides_it() -> None:
    told = verdict(((LATENCY, of(1.0)), (ERRORS, of(0.05))), TERMS, NOW)
    assert told.told == "ErrorRate 0.05, at most 0.01, over 310 requests in 300 s"


def tallied(*outcomes: tuple[int, float]) -> Tally:
    tally = Tally()
    for second, value in outcomes:
        at = NOW + timedelta(seconds=second)
        measured = Measured(read(value, at=at), read(310, at=at))
        tally = counted(tally, verdict(((LATENCY, measured),), TERMS, at), TERMS)
    return tally


def test_a_failure_counts_once_in_an_interval() -> None:
    tally = tallied((0, 9.0), (1, 9.0), (59, 9.0))
    assert (tally.failures, tally.judged_at, tally.is_over(TERMS)) == (1, NOW, False)
    assert tallied((0, 9.0), (60, 9.0)).is_over(TERMS)


def test_what_is_inconclusive_counts_for_nothing_and_forgets_nothing() -> None:
    tally = tallied((0, 9.0), (60, nan), (120, nan))
    assert (tally.failures, tally.conclusive_at) == (1, NOW)
    assert tally.judged_at == NOW + timedelta(seconds=120)


def test_a_step_is_judged_after_one_interval_and_once_in_each() -> None:
    later = NOW + timedelta(seconds=60)
    assert due_at(Tally(), TERMS, NOW, NOW) == later
    assert due_at(Tally(judged_at=later), TERMS, NOW, later) == later + timedelta(seconds=60)


def test_a_record_from_the_future_holds_nothing_up() -> None:
    forged = Tally(judged_at=NOW + timedelta(days=365))
    assert due_at(forged, TERMS, NOW, NOW) == NOW + timedelta(seconds=60)
    late = NOW + timedelta(seconds=60)
    measured = Measured(read(9.0, at=late), read(310, at=late))
    assert counted(forged, verdict(((LATENCY, measured),), TERMS, late), TERMS).failures == 1
