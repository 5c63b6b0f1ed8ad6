"""Computes beside the event loop what may take long there: one at a time per namespace, and with a deadline.

Two threads, since a namespace keeps at most one of them busy. What is computed is pure and ends by itself (sizing counts
its tries); the deadline frees the pass that waits for it, for the case that it doesn't.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

ResultT = TypeVar("ResultT")

THREADS = 2
DEADLINE_S = 60.0


class Aside:
    """The threads of one process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="aside")
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def run(self, namespace: str, compute: Callable[[], ResultT]) -> ResultT:
        """The result, computed in the namespace's turn.

        Raises:
            TimeoutError: it took longer than the deadline.
            Exception: whatever `compute` raises.
        """
        turn, waiting = self._turns.get(namespace, (asyncio.Lock(), 0))
        self._turns[namespace] = (turn, waiting + 1)
        try:
            async with turn, asyncio.timeout(DEADLINE_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, compute)
        finally:
            _, waiting = self._turns[namespace]
            if waiting == 1:
                del self._turns[namespace]
            else:
                self._turns[namespace] = (turn, waiting - 1)

    def close(self) -> None:
        """Starts nothing more; what computes ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
