"""Tells the operator which servings are waited for: a mark in the Lease that it has made of each that may sleep.

A mark is worth something by being another one than before, so it is made again while somebody waits: one that was lost, or
that came while the operator was away, is repaired by the next. Nothing but the mark is told, and nothing is made: a Lease that
is not there is a serving that does not sleep.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from deepseek_gate.cluster import Untold
from deepseek_gate.waiting import Place, Waiting

log = logging.getLogger(__name__)

AGAIN_S = 5.0
"""Between two marks while somebody waits."""
LEAST_S = 1.0
"""Between two marks of one serving, whatever comes and goes; and before one that failed is tried again."""
WAITING = "deepseek-operator.io/waiting"
"""Annotation: how many wait at this gate, for people."""


def lease_of(serving: str) -> str:
    """Name of its Lease."""
    return f"{serving}-serve"


class Sink(Protocol):
    """Where marks go."""

    async def mark_lease(self, namespace: str, name: str, patch: Mapping[str, object]) -> None:
        """Merges; raises Untold."""


class Telling:
    """`follow` it. `holder` is this gate's name, for people."""

    def __init__(
        self, sink: Sink, waiting: Waiting, holder: str, now: Callable[[], datetime], monotonic: Callable[[], float]
    ) -> None:
        self._sink = sink
        self._waiting = waiting
        self._holder = holder
        self._now = now
        self._monotonic = monotonic
        self._due: dict[Place, float] = {}
        self._told: dict[Place, float] = {}
        self._trouble: dict[Place, str] = {}

    async def follow(self) -> None:
        """Tells until it is cancelled."""
        while True:
            for place in await self._waiting.begins(self._left_s()):
                self._due[place] = self._told.get(place, -LEAST_S) + LEAST_S
            now, held = self._monotonic(), self._waiting.held
            self._due = {place: at for place, at in self._due.items() if held[place]}
            self._told = {place: at for place, at in self._told.items() if held[place] or now - at < LEAST_S}
            await asyncio.gather(*(self._tell(place) for place, at in list(self._due.items()) if at <= now))

    def _left_s(self) -> float | None:
        """Until somebody must be told again; None: nobody waits."""
        return max(0.0, min(self._due.values()) - self._monotonic()) if self._due else None

    async def _tell(self, place: Place) -> None:
        namespace, serving = place
        at = self._told[place] = self._monotonic()
        marked = self._now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        patch: dict[str, object] = {
            "metadata": {"annotations": {WAITING: str(self._waiting.held[place])}},
            "spec": {"holderIdentity": self._holder, "renewTime": marked},
        }
        try:
            await self._sink.mark_lease(namespace, lease_of(serving), patch)
        except Exception as error:  # Whatever it is, the next second is another try.
            self._due[place] = at + LEAST_S
            words = str(error) if isinstance(error, Untold) else type(error).__name__
            if self._trouble.get(place) != words:
                self._trouble[place] = words
                log.warning("namespace %s: nobody is told that %s is waited for: %s", namespace, serving, words)
            return
        self._due[place] = at + AGAIN_S
        if self._trouble.pop(place, None) is not None:
            log.info("namespace %s: it is told again that %s is waited for", namespace, serving)
