"""How long the next attempt waits: 10 s, doubling to 10 minutes, from the start again once a newer checkpoint exists."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from deepseek_operator.api.base import rfc3339

FIRST = timedelta(seconds=10)
LONGEST = timedelta(minutes=10)


@dataclass(frozen=True)
class Backoff:
    """`level` counts failures without a newer checkpoint, `step` is the newest one known at this failure."""

    level: int
    step: int | None
    not_before: str


def wait(level: int) -> timedelta:
    """10 s · 2^level, at most 10 minutes."""
    return min(LONGEST, FIRST * (1 << min(level, 10)))


def after_failure(level: int | None, before: int | None, newest_step: int | None, now: datetime) -> Backoff:
    """The wait after a failure at `now`, when `newest_step` (None: none) is the newest checkpoint that was reported.

    `level` and `before` are the level and the step of the failure before it; None when there was none.
    """
    progressed = newest_step is not None and (before is None or newest_step > before)
    reached = 0 if progressed else level or 0
    step = newest_step if progressed else before
    return Backoff(level=reached + 1, step=step, not_before=rfc3339(_up(now + wait(reached))))


def _up(moment: datetime) -> datetime:
    """Whole seconds, rounded up: a stored time must not be earlier than the wait."""
    return moment if moment.microsecond == 0 else moment.replace(microsecond=0) + timedelta(seconds=1)
