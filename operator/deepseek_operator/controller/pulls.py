"""Asks pods for their progress beside the passes: no pass waits for a pod that is slow to answer.

An answer that comes at once is used at once. One that doesn't is used by the pass that it wakes when it comes, and until
then the last one stands; that pod is waited for no more. How many are asked at a time is bounded, for each namespace by
less than for all: progress is for display, and late is soon enough for it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from deepseek_operator.controller.key import Key
from deepseek_operator.core.resources import Manifest, uid_of
from deepseek_operator.core.seen import Unavailable
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.signals import Progress

Said = Mapping[str, object] | Unavailable

MOST, MOST_OF_NAMESPACE = 32, 8
"""Pods that are asked at a time; each takes at most the two seconds of the adapter."""
PATIENCE_S = 0.05
"""What a pass waits for an answer. A trainer's comes within a few milliseconds."""


@dataclass
class _Asked:
    uid: str
    at: float
    answer: Said
    is_slow: bool = False


class Pulls:
    """Bounds how often a pod is asked, how many are, and how long a pass waits.

    Args:
        interval: between two pulls of one pod; the last answer stands meanwhile.
        wake: is told of an owner whose pod has answered after its pass went on.
    """

    def __init__(
        self,
        progress: Progress,
        clock: Clock,
        interval: timedelta,
        wake: Callable[[Key], None] = lambda key: None,
    ) -> None:
        self._progress = progress
        self._clock = clock
        self._interval_s = interval.total_seconds()
        self._wake = wake
        self._last: dict[Key, _Asked] = {}
        self._under_way: dict[Key, asyncio.Task[None]] = {}
        self._of_namespace: Counter[str] = Counter()

    async def said(self, key: Key, pod: Manifest) -> Said:
        """What the pod said last, at most an interval ago unless it is slow. An owner has one such pod at a time."""
        last = self._last.get(key)
        if last is None or last.uid != uid_of(pod):
            last = self._last[key] = _Asked(uid_of(pod), float("-inf"), Unavailable("it has not answered yet"))
        is_due = self._clock.monotonic() - last.at >= self._interval_s
        if not is_due or key in self._under_way or not self._has_room(key):
            return last.answer
        task = self._under_way[key] = asyncio.create_task(self._pull(key, pod, last))
        self._of_namespace[key.namespace] += 1
        if not last.is_slow:
            await asyncio.wait({task}, timeout=PATIENCE_S)
            last.is_slow = not task.done()
        return last.answer

    def forget(self, key: Key) -> None:
        """The owner is gone."""
        self._last.pop(key, None)

    async def close(self) -> None:
        """Asks nobody any more."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pull(self, key: Key, pod: Manifest, asked: _Asked) -> None:
        started = self._clock.monotonic()
        try:
            asked.answer = await self._progress.pull(pod)
        except Exception as error:  # For display only: whatever it is, the training goes on.
            asked.answer = Unavailable(f"{type(error).__name__}: {error}"[:256])
        finally:
            del self._under_way[key]
            self._of_namespace[key.namespace] -= 1
        asked.at = self._clock.monotonic()
        if asked.is_slow and self._last.get(key) is asked:
            asked.is_slow = asked.at - started > PATIENCE_S
            self._wake(key)

    def _has_room(self, key: Key) -> bool:
        return len(self._under_way) < MOST and self._of_namespace[key.namespace] < MOST_OF_NAMESPACE
