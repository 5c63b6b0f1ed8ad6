"""A work queue with client-go's semantics: de-duplicated, single-flight per key, delayed, with per-key backoff.

A key that is added while it is being worked on is worked on once more afterwards, never at the same time. What is
due later is forgotten when work on the key begins: that pass decides anew when to look again.
"""

import asyncio
from collections import deque
from random import Random
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")

FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 300.0
FREE_REPEATS = 10
"""Passes in a row that may act and be repeated at once. More is two controllers undoing each other: back off."""


class Queue(Generic[KeyT]):
    """Keys to work on. `random` spreads the backoff (full jitter: between 0 and the present limit)."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._ready: deque[KeyT] = deque()
        self._dirty: set[KeyT] = set()
        self._processing: set[KeyT] = set()
        self._timers: dict[KeyT, asyncio.TimerHandle] = {}
        self._failures: dict[KeyT, int] = {}
        self._repeats: dict[KeyT, int] = {}
        self._arrival = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are ready to be worked on."""
        return len(self._ready)

    def add(self, key: KeyT) -> None:
        """Work on the key as soon as possible."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._arrival.set()

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
        while not self._ready:
            self._arrival.clear()
            await self._arrival.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        return key

    def done(self, key: KeyT) -> None:
        """Work on the key ended, one way or another."""
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._arrival.set()

    def close(self) -> None:
        """Drops everything that is due later."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: KeyT) -> None:
        del self._timers[key]
        self.add(key)
