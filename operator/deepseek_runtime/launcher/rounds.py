"""Whether a gang whose process has crashed starts again inside its pods, as a rule over what it had told.

Another attempt costs the pods: their places, images and claims. Processes that start again inside them cost what was not
saved. So a crash is answered in place, up to a number of times, as long as that leads somewhere: the run had made a step,
and since the crash before it a checkpoint was saved. A crash that comes back in the same place ends the attempt, and the
operator counts it, waits longer each time, and may find another node.
"""

from collections.abc import Mapping
from dataclasses import dataclass

CAUSE_CHARACTERS = 400
"""A pod's last words have 4096 bytes for all that it says."""

Told = Mapping[str, object]
"""Fields of /progress as the workers told them: of a run that has ended, the last ones."""


@dataclass(frozen=True)
class Restarted:
    """The last restart in place: the how-maniest of the attempt, why, and the step that was made last before it."""

    count: int
    cause: str
    step: int | None


class Rounds:
    """`most` restarts in place. `follows_crash`: the attempt before this one crashed, so that the first crash here counts as
    one that came back unless something was saved since."""

    def __init__(self, most: int, *, follows_crash: bool) -> None:
        self._most = most
        self._follows_crash = follows_crash
        self._saved_before: int | None = None
        self.last: Restarted | None = None

    @property
    def count(self) -> int:
        return self.last.count if self.last is not None else 0

    def refusal(self, told: Told) -> str | None:
        """Why a run that has told this does not start again in place; None where it does."""
        step, first = _whole(told.get("step")), _whole(told.get("firstStep"))
        if self._most == 0:
            return "failurePolicy.maxInPlaceRestarts is 0"
        if self.count >= self._most:
            return f"it has started again in place {self.count} times, and failurePolicy.maxInPlaceRestarts is {self._most}"
        if step is None or first is None or step < first:
            return "it had made no step"
        if (self.count or self._follows_crash) and _saved(told) <= self._before(first):
            return "no checkpoint was saved since the crash before"
        return None

    def begin(self, told: Told, cause: str) -> Restarted:
        """Another one, after a run that has told this."""
        self._saved_before = _saved(told)
        self.last = Restarted(self.count + 1, cause[:CAUSE_CHARACTERS], _whole(told.get("step")))
        return self.last

    def _before(self, first: int) -> int:
        """The newest checkpoint at the crash before: an attempt begins behind the one that the last attempt had left."""
        return first - 1 if self._saved_before is None else self._saved_before


def _saved(told: Told) -> int:
    """Step of the newest checkpoint; -1 where none is there."""
    latest = told.get("latest")
    step = _whole(latest.get("step")) if isinstance(latest, Mapping) else None
    return -1 if step is None else step


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
