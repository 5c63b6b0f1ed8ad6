"""A work queue with client-go's semantics: de-duplicated, single-flight per key, delayed, with per-key backoff.

A key that is added while it is being worked on is worked on once more afterwards, never at the same time, unless that
work says that it has looked at everything since. What is due later is forgotten when work on the key begins: that pass
decides anew when to look again.

Groups (namespaces) take turns, so that one with thousands of keys delays the others by one pass each, and no group has
all workers: what hangs there leaves some to the others. A key that is added in a storm is worked on about once a second.
"""

import asyncio
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from random import Random
from typing import Generic, TypeVar

from deepseek_operator.controller.bucket import Buckets

KeyT = TypeVar("KeyT", bound=Hashable)
_NONE = object()

FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 300.0
FREE_REPEATS = 10
"""Passes in a row that may act and be repeated at once. More is two controllers undoing each other: back off."""
BURST, PASSES_PER_S = 20, 1.0
"""Passes over one key at once, and after them; all that is added meanwhile is one pass, a second later at most."""


class Queue(Generic[KeyT]):
    """Keys to work on.

    Args:
        random: spreads the backoff (full jitter: between 0 and the present limit).
        group_of: keys of one group wait behind each other, not before those of other groups.
        most_of_group: keys of one group that are worked on at a time.
    """

    def __init__(
        self, random: Random, group_of: Callable[[KeyT], Hashable] = lambda key: None, most_of_group: int = sys.maxsize
    ) -> None:
        self._random = random
        self._group_of = group_of
        self._most_of_group = most_of_group
        self._ready: OrderedDict[Hashable, deque[KeyT]] = OrderedDict()
        self._busy: Counter[Hashable] = Counter()
        self._passes: Buckets[KeyT] = Buckets(PASSES_PER_S, BURST)
        self._dirty: set[KeyT] = set()
        self._processing: set[KeyT] = set()
        self._news: dict[KeyT, set[str]] = {}
        self._timers: dict[KeyT, asyncio.TimerHandle] = {}
        self._failures: dict[KeyT, int] = {}
        self._repeats: dict[KeyT, int] = {}
        self._arrival = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are ready to be worked on."""
        return sum(map(len, self._ready.values()))

    def add(self, key: KeyT, version: str = "") -> None:
        """Work on the key as soon as possible. `version`: of the key's own object, where an event told of nothing else."""
        if key in self._processing:
            self._news.setdefault(key, set()).add(version)
        if key in self._dirty:
            return
        if (delay_s := self._passes.wait_s(key, asyncio.get_running_loop().time())) > 0:
            self.add_after(key, delay_s)
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._append(key)

    def add_after(self, key: KeyT, delay_s: float) -> None:
        """Work on the key in `delay_s` seconds; of two such wishes the earlier one counts."""
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        waiting = self._timers.get(key)
        if waiting is not None:
            if waiting.when() <= loop.time() + delay_s:
                return
            waiting.cancel()
        self._timers[key] = loop.call_later(delay_s, self._due, key)

    def retry(self, key: KeyT, at_least_s: float = 0.0) -> float:
        """Work on the key again after its backoff, and no earlier than asked; returns the seconds until then."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        limit_s = min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures, 20))
        delay_s = max(at_least_s, self._random.uniform(0, limit_s))
        self.add_after(key, delay_s)
        return delay_s

    def repeat(self, key: KeyT) -> None:
        """Work on the key again because the last pass acted: at once, with backoff after `FREE_REPEATS` in a row."""
        repeats = self._repeats.get(key, 0) + 1
        self._repeats[key] = repeats
        if repeats <= FREE_REPEATS:
            self._failures.pop(key, None)
            self.add(key)
        else:
            self.retry(key)

    def forget(self, key: KeyT) -> None:
        """The last pass left nothing to do: the key's backoff starts anew."""
        self._failures.pop(key, None)
        self._repeats.pop(key, None)

    async def get(self) -> KeyT:
        """The next key, waited for; `done` must follow."""
        while (group := self._next_group()) is _NONE:
            self._arrival.clear()
            await self._arrival.wait()
        keys = self._ready[group]
        key = keys.popleft()
        if keys:
            self._ready.move_to_end(group)
        else:
            del self._ready[group]
        self._busy[group] += 1
        self._passes.reserve(key, asyncio.get_running_loop().time())
        self._dirty.discard(key)
        self._processing.add(key)
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        return key

    def caught_up(self, key: KeyT, own: str | None = None) -> None:
        """The work on the key looks at everything from here on: what was added so far needs no work of its own.

        `own`: it does not, and has written this version of the key's object: of that alone nobody needs to tell it.
        """
        if key in self._processing and (own is None or self._news.get(key, set()) <= {own}):
            self._dirty.discard(key)
            self._news.pop(key, None)

    def done(self, key: KeyT) -> None:
        """Work on the key ended, one way or another."""
        self._processing.discard(key)
        self._news.pop(key, None)
        group = self._group_of(key)
        self._busy[group] -= 1
        if not self._busy[group]:
            del self._busy[group]
        if key in self._dirty:
            self._append(key)
        self._arrival.set()  # Another of its group may be worked on now.

    def close(self) -> None:
        """Drops everything that is due later."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _append(self, key: KeyT) -> None:
        self._ready.setdefault(self._group_of(key), deque()).append(key)
        self._arrival.set()

    def _next_group(self) -> Hashable:
        return next((group for group in self._ready if self._busy[group] < self._most_of_group), _NONE)

    def _due(self, key: KeyT) -> None:
        del self._timers[key]
        self.add(key)
