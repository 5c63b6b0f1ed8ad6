"""Requests for a serving that has no replica yet: held, a bounded number of them and for a bounded time, until one is ready.

The authorizer's answer is what is held, so that Envoy keeps the request and nothing is sent twice. `telling` says of each
serving that is waited for that it is wanted.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from deepseek_gate.answers import Denied
from deepseek_gate.reader import Reader

Place: TypeAlias = tuple[str, str]
"""Namespace and serving."""
MOST_HELD = 1000
"""Of one gate. Each is a connection of Envoy's and its request in Envoy's memory."""
_STARTING = Denied(
    429, "starting", "The model is starting: try again.", "model_not_ready", "model", headers={"Retry-After": "5"}
)


class Waiting:
    """`until_ready` holds; `held` counts; `close` sends everybody away who is held."""

    def __init__(self, reader: Reader, most: int = MOST_HELD) -> None:
        self._reader = reader
        self._most = most
        self._held: Counter[Place] = Counter()
        self._begun: set[Place] = set()
        self._begins = asyncio.Event()
        self._is_closed = False

    @property
    def held(self) -> Mapping[Place, int]:
        """Requests that wait now; places that somebody waited for once stay, with 0."""
        return self._held

    async def begins(self, timeout_s: float | None = None) -> frozenset[Place]:
        """Places where nobody waited and somebody does, since this was asked last; none after the time-out."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._begins.wait()
        except TimeoutError:
            return frozenset()
        begun, self._begun = frozenset(self._begun), set()
        self._begins.clear()
        return begun

    async def until_ready(self, namespace: str, name: str) -> Denied | None:
        """None: the model has a replica, nothing is said of its replicas, or it is gone, which others tell."""
        known = self._reader.of(namespace)
        model = known.models.get(name) if known is not None else None
        if model is None or not model.is_asleep:
            return None
        if self._held.total() >= self._most or model.hold_s <= 0:
            return _STARTING
        place = (namespace, model.serving)
        if not self._held[place]:
            self._begun.add(place)
            self._begins.set()
        self._held[place] += 1
        try:
            async with asyncio.timeout(model.hold_s):
                with self._reader.awaited(namespace):
                    await self._ready(namespace, name)
        except TimeoutError:
            return _STARTING
        finally:
            self._held[place] -= 1
        return _STARTING if self._is_closed else None

    async def _ready(self, namespace: str, name: str) -> None:
        while not self._is_closed and self._is_asleep(namespace, name):
            await self._reader.changed(namespace)

    def close(self) -> None:
        """For the end of the process."""
        self._is_closed = True
        for namespace in self._reader.namespaces:
            self._reader.stir(namespace)

    def _is_asleep(self, namespace: str, name: str) -> bool:
        known = self._reader.of(namespace)
        model = known.models.get(name) if known is not None else None
        return model is not None and model.is_asleep
