"""Requests for a serving that has no replica yet: held, a bounded number of them and for a bounded time, until one is ready.

The authorizer's answer is what is held, so that Envoy keeps the request and nothing is sent twice. How many wait for which
serving is a metric, by which whoever scales it learns that it is wanted.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping

from deepseek_gate.answers import Denied
from deepseek_gate.reader import Reader

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
        self._held: Counter[tuple[str, str]] = Counter()
        self._is_closed = False

    @property
    def held(self) -> Mapping[tuple[str, str], int]:
        """Requests that wait now, by namespace and serving; those that somebody waited for once stay, with 0."""
        return self._held

    async def until_ready(self, namespace: str, name: str) -> Denied | None:
        """None: the model has a replica, nothing is said of its replicas, or it is gone, which others tell."""
        known = self._reader.of(namespace)
        model = known.models.get(name) if known is not None else None
        if model is None or not model.is_asleep:
            return None
        if self._held.total() >= self._most:
            return _STARTING
        place = (namespace, model.serving)
        self._held[place] += 1
        try:
            async with asyncio.timeout(model.hold_s):
                while not self._is_closed and self._is_asleep(namespace, name):
                    await self._reader.changed(namespace)
        except TimeoutError:
            return _STARTING
        finally:
            self._held[place] -= 1
        return _STARTING if self._is_closed else None

    def close(self) -> None:
        """For the end of the process."""
        self._is_closed = True
        for namespace in self._reader.namespaces:
            self._reader.stir(namespace)

    def _is_asleep(self, namespace: str, name: str) -> bool:
        known = self._reader.of(namespace)
        model = known.models.get(name) if known is not None else None
        return model is not None and model.is_asleep
