"""Runs a coroutine test on a loop whose clock jumps to the next timer; nothing really waits."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta

import looptime

START = datetime(2026, 1, 1, tzinfo=UTC)


def in_virtual_time(main: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """A plain test function that runs `main` from second 0."""

    def test() -> None:
        loop = looptime.new_event_loop(start=0)
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()

    test.__doc__ = main.__doc__
    return test


def elapsed_s() -> float:
    """Seconds since the test began."""
    return asyncio.get_running_loop().time()


class LoopClock:
    """A `Clock` that shows the loop's time; `skew_s` sets the wall clock apart."""

    def __init__(self, skew_s: float = 0.0) -> None:
        self.skew_s = skew_s

    def now(self) -> datetime:
        return START + timedelta(seconds=elapsed_s() + self.skew_s)

    def monotonic(self) -> float:
        return elapsed_s()
