"""Whether a new version does well enough, judged from what a metrics store answered.

No data is neither good nor bad: what was not answered, is not a number, is old or can't be, makes a judgement
Inconclusive, and so do too few requests. Of several series of one query the worst decides; of several metrics a failure
outweighs what is not known, and that outweighs what is well. Failures of a step are counted at most once in an interval.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import inf, isfinite
from typing import TypeAlias


class Outcome(StrEnum):
    """What a judgement came to."""

    PASS = "Pass"
    FAIL = "Fail"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True)
class Reading:
    """What a query yielded: one value for each of its series, whatever it is, and when it was asked; nothing is no data."""

    values: tuple[float, ...]
    at: datetime


@dataclass(frozen=True)
class AtMost:
    """The value must not be above this, in the metric's unit."""

    value: float


@dataclass(frozen=True)
class AtLeast:
    """The value must not be below this, in the metric's unit."""

    value: float


@dataclass(frozen=True)
class Increase:
    """The value must not be above that of the stable revision by more than so many percent."""

    percent: float

    def above(self, baseline: float) -> float:
        """The highest value that is well. From nothing on, any increase is more than every percentage of it."""
        return baseline + abs(baseline) * self.percent / 100


@dataclass(frozen=True)
class Drop:
    """The value must not be below that of the stable revision by more than this, in the metric's unit."""

    value: float


Limit: TypeAlias = AtMost | AtLeast | Increase | Drop


@dataclass(frozen=True)
class Metric:
    """One thing that is measured, and when it is well.

    Attributes:
        name: as a person reads it, for example LatencyP99.
        limit: what it must keep.
        unit: behind its numbers, empty for a plain number.
        lowest: a value below can't be, and is no data.
        highest: a value above can't be, and is no data.
        is_exam: it is the share of right answers to a fixed set of prompts: it is of no window, and needs no requests.
    """

    name: str
    limit: Limit
    unit: str = ""
    lowest: float = -inf
    highest: float = inf
    is_exam: bool = False


@dataclass(frozen=True)
class Measured:
    """What was answered for one metric; None: nothing was.

    Attributes:
        value: of the new revision.
        requests: that the new revision answered in the window; prompts, of an exam.
        baseline: the same of the stable revision, for an `Increase` or a `Drop`.
        baseline_requests: that the stable revision answered in the window.
        missing: why there is no answer, as a sentence; empty where nobody knows.
    """

    value: Reading | None = None
    requests: Reading | None = None
    baseline: Reading | None = None
    baseline_requests: Reading | None = None
    missing: str = ""


@dataclass(frozen=True)
class Terms:
    """On what is judged.

    Attributes:
        interval: between two judgements; a reading that is older than two of them is no data.
        window: over which each value is measured.
        minimum_samples: requests in the window below which nothing is concluded; 0: they are not counted.
        failure_limit: failed judgements of a step that end it, 1 or more.
    """

    interval: timedelta
    window: timedelta
    minimum_samples: int
    failure_limit: int


@dataclass(frozen=True)
class Judgement:
    """What one metric came to, with the numbers that a person reads.

    Attributes:
        value: the worst of its series; None: no data.
        threshold: what it must keep, a relative limit over `baseline` worked out; None: not known without a baseline.
        baseline: the worst series of the stable revision, for a relative limit.
        samples: requests in the window, or prompts of an exam; None: not counted, or no data.
        window: over which it was measured, unless it is an exam.
        why: for Inconclusive, what is missing, as a sentence; empty for the others.
    """

    metric: Metric
    outcome: Outcome
    window: timedelta
    value: float | None = None
    threshold: float | None = None
    baseline: float | None = None
    samples: int | None = None
    why: str = ""

    @property
    def told(self) -> str:
        """The numbers, in one line: `LatencyP99 2.5 s, at most 2 s, over 310 requests in 300 s`."""
        unit = f" {self.metric.unit}" if self.metric.unit else ""
        value = "no data" if self.value is None else f"{self.value:.4g}{unit}"
        said = f"{self.metric.name} {value}, {self._limit(unit)}{self._sample()}"
        return f"{said}: {self.why}" if self.why else said

    def _sample(self) -> str:
        if self.metric.is_exam:
            return f", of {self.samples} prompts" if self.samples is not None else ""
        over = f"over {self.samples} requests in" if self.samples is not None else "in"
        return f", {over} {self.window.total_seconds():g} s"

    def _limit(self, unit: str) -> str:
        match self.metric.limit:
            case AtMost(value):
                return f"at most {value:.4g}{unit}"
            case AtLeast(value):
                return f"at least {value:.4g}{unit}"
            case Increase(percent) if self.threshold is None or self.baseline is None:
                return f"at most {percent:g} % more than stable"
            case Increase(percent):
                most = f"{self.threshold:.4g}{unit}"
                return f"at most {most} ({percent:g} % more than stable's {self.baseline:.4g}{unit})"
            case Drop(value) if self.threshold is None or self.baseline is None:
                return f"at most {value:.4g}{unit} below stable"
            case Drop(value):
                least = f"{self.threshold:.4g}{unit}"
                return f"at least {least} ({value:.4g} below stable's {self.baseline:.4g}{unit})"


@dataclass(frozen=True)
class Verdict:
    """What all metrics of a step came to, and when."""

    outcome: Outcome
    judgements: tuple[Judgement, ...]
    at: datetime

    @property
    def told(self) -> str:
        """Those metrics that decide it, in one line each."""
        deciding = (judgement for judgement in self.judgements if judgement.outcome is self.outcome)
        return "; ".join(judgement.told for judgement in deciding)


def verdict(measured: Iterable[tuple[Metric, Measured]], terms: Terms, now: datetime) -> Verdict:
    """What the metrics come to now. Of no metric at all nothing is concluded."""
    judgements = tuple(judge(metric, of, terms, now) for metric, of in measured)
    return Verdict(_worst(judgement.outcome for judgement in judgements), judgements, now)


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    """A failure outweighs what is not known, and that outweighs what is well."""
    found = set(outcomes) or {Outcome.INCONCLUSIVE}
    return next(outcome for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS) if outcome in found)


def judge(metric: Metric, measured: Measured, terms: Terms, now: datetime) -> Judgement:
    """What one metric comes to.

    Too few requests conclude nothing whatever the value is, and neither does a relative limit whose baseline is not
    known. One series beyond the limit is a failure, even where another has no data; else every series must have some.
    """
    if metric.is_exam:
        terms = replace(terms, minimum_samples=0)
    series = _numbers(metric, measured.value, terms, now)
    samples = _count(measured.requests, terms, now)
    baseline = _baseline(metric, measured, terms, now)
    told = Judgement(
        metric,
        Outcome.INCONCLUSIVE,
        terms.window,
        value=_worst_of(metric.limit, series.known),
        threshold=_threshold(metric.limit, baseline),
        baseline=baseline,
        samples=samples if terms.minimum_samples or metric.is_exam else None,
    )
    if (why := _unknown(metric.limit, measured, terms, series, samples, told.threshold)) is not None:
        return replace(told, why=why)
    assert told.value is not None
    assert told.threshold is not None
    is_low = isinstance(metric.limit, AtLeast | Drop)
    if told.value < told.threshold if is_low else told.value > told.threshold:
        return replace(told, outcome=Outcome.FAIL)
    if series.lacking:
        return replace(told, why=f"{series.lacking} of {series.lacking + len(series.known)} series have no number")
    return replace(told, outcome=Outcome.PASS)


@dataclass(frozen=True)
class _Series:
    """Those values of a reading that are numbers, and how many are none."""

    known: tuple[float, ...] = ()
    lacking: int = 0


def _numbers(metric: Metric, reading: Reading | None, terms: Terms, now: datetime) -> _Series:
    if reading is None or not _is_fresh(reading, terms, now):
        return _Series()
    known = tuple(value for value in reading.values if isfinite(value) and metric.lowest <= value <= metric.highest)
    return _Series(known, len(reading.values) - len(known))


def _is_fresh(reading: Reading, terms: Terms, now: datetime) -> bool:
    """True for one of the last two intervals. One from the future is of another clock, and tells nothing of now."""
    return abs(now - reading.at) <= 2 * terms.interval


def _count(reading: Reading | None, terms: Terms, now: datetime) -> int | None:
    """Requests in the window: what several series say together. A store may extrapolate to a fraction of one."""
    if reading is None or not _is_fresh(reading, terms, now) or not reading.values:
        return None
    total = sum(reading.values)
    return int(total) if isfinite(total) and min(reading.values) >= 0 else None


def _baseline(metric: Metric, measured: Measured, terms: Terms, now: datetime) -> float | None:
    """The stable revision's value: the worst of its series, as of the new one's. None where it is not relied on."""
    if not isinstance(metric.limit, Increase | Drop):
        return None
    series = _numbers(metric, measured.baseline, terms, now)
    if series.lacking or (_count(measured.baseline_requests, terms, now) or 0) < terms.minimum_samples:
        return None
    return _worst_of(metric.limit, series.known)


def _worst_of(limit: Limit, values: Sequence[float]) -> float | None:
    if not values:
        return None
    return min(values) if isinstance(limit, AtLeast | Drop) else max(values)


def _threshold(limit: Limit, baseline: float | None) -> float | None:
    match limit:
        case Increase():
            threshold = limit.above(baseline) if baseline is not None else inf
            return threshold if isfinite(threshold) else None
        case Drop(value):
            # As people subtract: 0.8 - 0.1 is above 0.7 to a float.
            return round(baseline - value, 9) if baseline is not None else None
        case AtMost(value) | AtLeast(value):
            return value


def _unknown(
    limit: Limit, measured: Measured, terms: Terms, series: _Series, samples: int | None, threshold: float | None
) -> str | None:
    """Why nothing can be concluded yet; None when something can."""
    if terms.minimum_samples and samples is None:
        return measured.missing or "how many requests there were is not known"
    if samples is not None and samples < terms.minimum_samples:
        return f"minimumSamples asks for {terms.minimum_samples} requests"
    if not series.known:
        return measured.missing or "no number that can be"
    if threshold is None:
        return measured.missing or "the stable revision has too few requests, or no number"
    return None


@dataclass(frozen=True)
class Tally:
    """What is kept of a step's judgements; a new step begins with an empty one.

    Attributes:
        failures: failed judgements until now.
        judged_at: when it was judged last, whatever came of it; None: never.
        conclusive_at: when a judgement last passed or failed; None: never.
    """

    failures: int = 0
    judged_at: datetime | None = None
    conclusive_at: datetime | None = None

    def is_over(self, terms: Terms) -> bool:
        """True once there are as many failures as end a step."""
        return self.failures >= terms.failure_limit


def due_at(tally: Tally, terms: Terms, entered_at: datetime, now: datetime) -> datetime:
    """When a step that was entered then is to be judged next: first after one interval, and once in each.

    A record from the future, which nobody can have judged in, doesn't hold it up.
    """
    past = (moment for moment in (entered_at, tally.judged_at) if moment is not None and moment <= now)
    return max(past, default=now) + terms.interval


def counted(tally: Tally, told: Verdict, terms: Terms) -> Tally:
    """The tally with one more judgement; the same one where an interval has not passed since the last."""
    last = tally.judged_at
    if last is not None and last <= told.at < last + terms.interval:
        return tally
    if told.outcome is Outcome.INCONCLUSIVE:
        return replace(tally, judged_at=told.at)
    failures = tally.failures + (told.outcome is Outcome.FAIL)
    return Tally(failures, judged_at=told.at, conclusive_at=told.at)
