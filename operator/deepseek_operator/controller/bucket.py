"""Token buckets: how many acts per second, how many at once; for all, for each of many, and for groups that take turns."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
_ROUNDING = 1e-9
"""Of a token: who waited for it as long as was said has it."""


class TokenBucket:
    """At most `burst` at once and `rate_per_s` over time, in the order asked. Time is the event loop's."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at: float | None = None

    async def take(self) -> None:
        """Waits until a token is there. A token is reserved at the call, so that waiters are served in order."""
        wait_s = self.reserve(asyncio.get_running_loop().time())
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def reserve(self, now: float) -> float:
        """Takes a token, also one that is not there yet; seconds until it is."""
        self._tokens = self._left(now) - 1
        self._filled_at = now
        return max(0.0, -self._tokens / self._rate_per_s)

    def wait_s(self, now: float) -> float:
        """Seconds until a token is there; none is taken."""
        missing = 1 - self._left(now)
        return missing / self._rate_per_s if missing > _ROUNDING else 0.0

    def is_full(self, now: float) -> bool:
        """Whether it is as good as a new one."""
        return self._left(now) >= self._burst

    def _left(self, now: float) -> float:
        elapsed_s = now - self._filled_at if self._filled_at is not None else 0.0
        return min(float(self._burst), self._tokens + elapsed_s * self._rate_per_s)


class Buckets(Generic[KeyT]):
    """A bucket for each key. Who may have all of a burst again is forgotten, so only the keys of a storm are held."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._used: OrderedDict[KeyT, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """Keys that are held."""
        return len(self._used)

    def reserve(self, key: KeyT, now: float) -> float:
        """Takes a token of that key, also one that is not there yet; seconds until it is."""
        bucket = self._used.pop(key, None) or TokenBucket(self._rate_per_s, self._burst)
        wait_s = bucket.reserve(now)
        self._used[key] = bucket
        while next(iter(self._used.values())).is_full(now):
            self._used.popitem(last=False)
        return wait_s

    def wait_s(self, key: KeyT, now: float) -> float:
        """Seconds until a token of that key is there; none is taken."""
        bucket = self._used.get(key)
        return bucket.wait_s(now) if bucket is not None else 0.0


class FairBucket:
    """A bucket whose waiters take turns by group (namespace): one that asks for many delays the others by one each.

    A group that is alone may have all of the rate.
    """

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._bucket = TokenBucket(rate_per_s, burst)
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, group: Hashable) -> None:
        """Waits until a token is there and it is the group's turn; within a group the order is that of the calls."""
        loop = asyncio.get_running_loop()
        if not self._waiting and self._bucket.wait_s(loop.time()) <= 0:
            self._bucket.reserve(loop.time())
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(group, deque()).append(turn)
        self._grant()
        await turn

    def _grant(self) -> None:
        """Gives out what is there; the next one comes when a token does."""
        loop = asyncio.get_running_loop()
        while self._waiting and (wait_s := self._bucket.wait_s(loop.time())) <= 0:
            if not (turn := self._next()).done():  # Else nobody waits any more.
                self._bucket.reserve(loop.time())
                turn.set_result(None)
        if self._waiting and self._timer is None:
            self._timer = loop.call_later(wait_s, self._due)

    def _due(self) -> None:
        self._timer = None
        self._grant()

    def _next(self) -> asyncio.Future[None]:
        group, turns = next(iter(self._waiting.items()))
        turn = turns.popleft()
        if turns:
            self._waiting.move_to_end(group)
        else:
            del self._waiting[group]
        return turn
