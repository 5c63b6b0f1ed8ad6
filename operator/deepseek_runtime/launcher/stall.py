"""Whether the workers of this pod have stopped moving.

Nothing is a stall before a rank's first heartbeat: loading and the meeting of the ranks take as long
as they take, within a limit of their own (see `keeper`). Afterwards a rank whose heartbeat has not
changed for the limit is stalled. Only changes are compared, on the keeper's own monotonic clock.
"""

from collections.abc import Mapping


class StallWatch:
    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._seen: dict[str, tuple[str, float]] = {}

    @property
    def has_begun(self) -> bool:
        """Whether any rank has had its first heartbeat."""
        return bool(self._seen)

    def stalled(self, beats: Mapping[str, str], now_s: float) -> dict[str, float]:
        """Once a rank is over the limit: all that have been silent for more than half of it, with the seconds; empty means all is well.

        Ranks wait for each other in every step, so that one which hangs silences the others: who passes the limit first
        is chance, and often not the one that hangs.
        """
        for name, beat in beats.items():
            if name not in self._seen or self._seen[name][0] != beat:
                self._seen[name] = (beat, now_s)
        if self._limit_s is None:
            return {}
        silences = {name: now_s - since for name, (_, since) in sorted(self._seen.items())}
        if max(silences.values(), default=0.0) <= self._limit_s:
            return {}
        return {name: silence for name, silence in silences.items() if silence > self._limit_s / 2}
