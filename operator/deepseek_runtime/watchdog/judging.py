"""Whether an engine stands still: it has work and makes no tokens, or does not answer at all.

A sign of life is an answer that tells of no work, or of other tokens than the last one: a saturated engine gives one at
every look. Nothing is a stall before the first answer: loading takes as long as it takes, and has its own bound.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """What an engine tells at one look: requests that it has, running and waiting, and a count that every token moves."""

    running: float
    waiting: float
    tokens: float

    @property
    def has_work(self) -> bool:
        return self.running + self.waiting > 0


@dataclass(frozen=True)
class Stall:
    """For how long there was no sign of life, in seconds, and what was told last; `is_silent`: it does not even answer."""

    seconds: float
    last: Told
    is_silent: bool

    @property
    def message(self) -> str:
        """One sentence with the numbers."""
        if self.is_silent:
            return f"the engine has not answered for its metrics, and made no token that was seen, for {self.seconds:.0f} s"
        had = f"{self.last.running:.0f} requests running and {self.last.waiting:.0f} waiting"
        return f"the engine made no token for {self.seconds:.0f} s with {had}"


class Judge:
    """Adds up the time between looks without a sign of life.

    `longest_look_s`: what passes between two looks at most. More means that nobody looked, as on a node that was
    suspended, and what the engine did meanwhile is not held against it.
    """

    def __init__(self, limit_s: float, longest_look_s: float) -> None:
        self._limit_s, self._longest_look_s = limit_s, longest_look_s
        self._last: Told | None = None
        self._looked_s = 0.0
        self._still_s: float | None = None

    def look(self, told: Told | None, now_s: float) -> Stall | None:
        """`told`: None where the engine did not answer; `now_s`: on any clock that only goes forward."""
        last, passed_s = self._last, min(now_s - self._looked_s, self._longest_look_s)
        self._looked_s = now_s
        if told is not None:
            self._last = told
        if last is None:
            return None
        if told is not None and (not told.has_work or told.tokens != last.tokens):
            self._still_s = None
            return None
        # Work that was not there at the last look may have come just now.
        began_s = passed_s if last.has_work else 0.0
        self._still_s = self._still_s + passed_s if self._still_s is not None else began_s
        return Stall(self._still_s, told or last, told is None) if self._still_s > self._limit_s else None
