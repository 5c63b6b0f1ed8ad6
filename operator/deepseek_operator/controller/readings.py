"""Asks the metrics store what an analysis wants to know, beside the passes: no pass waits for Prometheus.

An answer that comes at once is used at once; a later one wakes its owner when all of its answers are there. An owner that
asks nothing costs nothing. How many queries are asked at a time is bounded, for each namespace by less than for all, and
below the threads of the adapter: an analysis never takes autoscaling's turn.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from deepseek_operator.controller.key import Key
from deepseek_operator.core.seen import Answer, Question, Unavailable
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.signals import Series

MOST, MOST_OF_NAMESPACE = 4, 2
"""Queries that are asked at a time; each takes at most the ten seconds of the adapter."""
PATIENCE_S = 0.05
"""What a pass waits for answers. A store on the same network answers a query over minutes within milliseconds."""


@dataclass
class _Known:
    """What one owner's questions came to, by expression, and when each was asked."""

    answers: dict[str, tuple[datetime, Answer]] = field(default_factory=dict)
    under_way: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    waits: bool = False


class Readings:
    """The answers to the questions of all owners.

    Args:
        wake: is told of an owner whose answers have come after its pass went on.
    """

    def __init__(self, store: Series, clock: Clock, wake: Callable[[Key], None] = lambda key: None) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake
        self._known: dict[Key, _Known] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(MOST)
        self._turns_of: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MOST_OF_NAMESPACE))

    @property
    def count(self) -> int:
        """Owners of whom something is kept: those that asked at their last pass."""
        return len(self._known)

    async def answers(self, key: Key, questions: Sequence[Question]) -> Mapping[str, Answer]:
        """Answers to those of the questions that have one from when they ask for, by expression."""
        if not questions:
            self.forget(key)
            return {}
        known = self._known.setdefault(key, _Known())
        wanted = {question.query: question.since for question in questions}
        known.answers = {query: told for query, told in known.answers.items() if query in wanted}
        for query, since in wanted.items():
            if query not in known.under_way and not self._has(known, query, since):
                known.under_way[query] = task = asyncio.create_task(self._ask(key, known, query))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if known.under_way:
            await asyncio.wait(known.under_way.values(), timeout=PATIENCE_S)
            known.waits = bool(known.under_way)
        return {query: known.answers[query][1] for query, since in wanted.items() if self._has(known, query, since)}

    def forget(self, key: Key) -> None:
        """The owner is gone, or asks nothing any more. What is under way ends by its own limit, and wakes nobody."""
        self._known.pop(key, None)

    async def close(self) -> None:
        """Asks nothing any more."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def _has(known: _Known, query: str, since: datetime) -> bool:
        return query in known.answers and known.answers[query][0] >= since

    async def _ask(self, key: Key, known: _Known, query: str) -> None:
        try:
            async with self._turns_of[key.namespace], self._turns:
                at = self._clock.now()
                known.answers[query] = at, await self._asked(query, at)
        finally:
            del known.under_way[query]
        if known.waits and not known.under_way and self._known.get(key) is known:
            known.waits = False
            self._wake(key)

    async def _asked(self, query: str, at: datetime) -> Answer:
        try:
            return await self._store.read_all(query, at)
        except Exception as error:  # Whatever it is, it is no data and nobody's end.
            return Unavailable(f"{type(error).__name__}: {error}"[:256])
