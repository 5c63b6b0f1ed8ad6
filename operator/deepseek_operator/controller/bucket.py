"""A token bucket: how many acts per second, how many at once."""

import asyncio


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
        return max(0.0, (1 - self._left(now)) / self._rate_per_s)

    def is_full(self, now: float) -> bool:
        """Whether it is as good as a new one."""
        return self._left(now) >= self._burst

    def _left(self, now: float) -> float:
        elapsed_s = now - self._filled_at if self._filled_at is not None else 0.0
        return min(float(self._burst), self._tokens + elapsed_s * self._rate_per_s)
