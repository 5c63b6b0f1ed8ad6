"""What the requests of one load came to: whether the objective held, and how exactly that is known.

"P99 of at most 500 ms" is "of a hundred requests at most one is slower". So what is counted are misses, a request that was
refused, cut off or given up among them: it was not answered in time either. The number of requests is fixed before, by the
quantile; so a load that has had more misses than that allows is broken for certain, and is ended at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil, exp, floor, inf, lgamma, log

CONFIDENCE = 0.95
LEAST = 100
"""Requests of any load: with fewer, one in seven loads at four fifths of what a replica holds would count as broken."""


class Measure(Enum):
    """What of a request is held to a limit, by the name of the serving's signal."""

    FIRST_TOKEN = "TimeToFirstToken"
    BETWEEN_TOKENS = "InterToken"
    LAST_TOKEN = "EndToEnd"


@dataclass(frozen=True)
class Objective:
    """`quantile` (0 to 1) of the requests are to have `measure` within `limit_s`; of gaps between tokens, of all gaps."""

    measure: Measure
    limit_s: float
    quantile: float


@dataclass(frozen=True)
class Answer:
    """One request that was answered to its end; times in seconds since it was sent.

    Attributes:
        first_s: until the first token.
        gaps_s: between two pieces of the answer, one fewer than there are.
        last_s: until the end.
        prompt, tokens: as the server counts them; 0 where it does not say.
    """

    first_s: float
    gaps_s: tuple[float, ...]
    last_s: float
    prompt: int = 0
    tokens: int = 0

    def of(self, measure: Measure) -> tuple[float, ...]:
        """Its samples."""
        match measure:
            case Measure.FIRST_TOKEN:
                return (self.first_s,)
            case Measure.BETWEEN_TOKENS:
                return self.gaps_s
            case Measure.LAST_TOKEN:
                return (self.last_s,)


@dataclass(frozen=True)
class Quantile:
    """A quantile of some samples.

    Attributes:
        bounds: between which it lies with a confidence of 95 %, whatever the distribution is; the upper one is infinite where
            there are too few samples to say. None for gaps: those of one answer are no samples of their own.
    """

    value: float
    samples: int
    bounds: tuple[float, float] | None


class Verdict(Enum):
    """Of one load."""

    HELD = "Held"
    BROKEN = "Broken"
    UNDECIDED = "Undecided"
    """Its time was over before there were requests enough to say."""


def needed(quantile: float) -> int:
    """The fewest requests of which a quantile's confidence interval has an upper end at all: 368 for 0.99; and `LEAST`.

    With n requests the largest is above the quantile but with probability quantile^n, which is to be at most 2.5 %.
    """
    return max(LEAST, ceil(log((1 - CONFIDENCE) / 2) / log(quantile)))


def allowed(quantile: float, samples: int) -> int:
    """Misses with which the quantile of so many samples is still within its limit."""
    return floor((1 - quantile) * samples + 1e-9)


def misses(answers: Iterable[Answer], failures: int, objective: Objective) -> int:
    """Requests that missed the objective: those that failed, and the late ones; of gaps, late gaps, and all failures."""
    return failures + sum(took > objective.limit_s for one in answers for took in one.of(objective.measure))


def is_lost(answers: Sequence[Answer], failures: int, objectives: Iterable[Objective], planned: int) -> bool:
    """Whether no further answer of the `planned` ones can save an objective. One about gaps can be saved while no more
    requests have failed than any other would allow: an answer that never comes has no gaps."""
    return any(
        (failures if one.measure is Measure.BETWEEN_TOKENS else misses(answers, failures, one))
        > allowed(one.quantile, planned)
        for one in objectives
    )


def verdict(answers: Sequence[Answer], failures: int, objectives: Sequence[Objective], planned: int) -> Verdict:
    """Of a load that is over."""
    if is_lost(answers, failures, objectives, planned):
        return Verdict.BROKEN
    if len(answers) + failures < planned:
        return Verdict.UNDECIDED
    samples = [sum(len(one.of(each.measure)) for one in answers) + failures for each in objectives]
    held = all(
        misses(answers, failures, one) <= allowed(one.quantile, count)
        for one, count in zip(objectives, samples, strict=True)
    )
    return Verdict.HELD if held else Verdict.BROKEN


def quantile_of(answers: Iterable[Answer], failures: int, measure: Measure, quantile: float) -> Quantile | None:
    """The quantile of a measure, failures counting as slower than all; None without any sample."""
    ordered = [*sorted(took for one in answers for took in one.of(measure)), *[inf] * failures]
    if not ordered:
        return None
    at = max(ceil(quantile * len(ordered) - 1e-9), 1) - 1
    bounds = None if measure is Measure.BETWEEN_TOKENS else _bounds(ordered, quantile)
    return Quantile(ordered[at], len(ordered), bounds)


def _bounds(ordered: Sequence[float], quantile: float) -> tuple[float, float]:
    """Two order statistics: how many of n samples lie below a quantile is binomial (David and Nagaraja, Order Statistics,
    7.1)."""
    count, doubt = len(ordered), (1 - CONFIDENCE) / 2
    below = _at_most(count, quantile)
    low = next(rank for rank, part in enumerate(below) if part > doubt)
    high = next((rank for rank, part in enumerate(below) if part >= 1 - doubt), count)
    return ordered[max(low - 1, 0)], ordered[high] if high < count else inf


def _at_most(count: int, quantile: float) -> list[float]:
    """Probabilities that at most 0, 1, … `count` of the samples lie below the quantile."""
    found, total = [], 0.0
    for below in range(count + 1):
        ways = lgamma(count + 1) - lgamma(below + 1) - lgamma(count - below + 1)
        total += exp(ways + below * log(quantile) + (count - below) * log(1 - quantile))
        found.append(total)
    return found
