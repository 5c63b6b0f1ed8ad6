"""How many replicas the signals of every autoscaled serving want; evaluated in the background.

Nobody who asks ever waits for Prometheus: an answer is the last wish, or none when it is older than two intervals.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import SERVING
from deepseek_operator.kinds.serving.signals import queries, wanted
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.signals import Signals

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """How many replicas the signals of one serving wanted, and when."""

    replicas: int
    at: datetime


@dataclass(frozen=True)
class _Evaluation:
    wish: Wish | None
    monotonic: float


class SignalBoard:
    """Evaluates all servings every interval. No pass waits for it: the autoscaler asks, and its answer is what wakes."""

    def __init__(
        self,
        mirror: Mirror,
        signals: Signals,
        clock: Clock,
        configuration: Configuration,
        interval_s: float,
    ) -> None:
        self._mirror = mirror
        self._signals = signals
        self._clock = clock
        self._configuration = configuration
        self._interval_s = interval_s
        self._last: dict[Key, _Evaluation] = {}
        self._broken: set[Key] = set()

    def wish(self, namespace: str, name: str) -> Wish | None:
        """The last wish for a serving; None when there is none younger than two intervals."""
        last = self._last.get(Key(SERVING, namespace, name))
        if last is None or self._clock.monotonic() - last.monotonic > 2 * self._interval_s:
            return None
        return last.wish

    async def run(self) -> None:
        """Evaluates for ever."""
        while True:
            await self.evaluate()
            await asyncio.sleep(self._interval_s)

    async def evaluate(self) -> None:
        """One evaluation of every serving that the mirror knows."""
        keys = [key for key in self._mirror.owners() if key.resource == SERVING]
        for gone in self._last.keys() - set(keys):
            del self._last[gone]
        self._broken &= set(keys)
        await asyncio.gather(*(self._evaluate(key) for key in keys))

    async def _evaluate(self, key: Key) -> None:
        manifest = self._mirror.get(key.resource, key.namespace, key.name)
        if manifest is None:
            return
        now, monotonic = self._clock.now(), self._clock.monotonic()
        try:
            owner = DeepSeekServing.model_validate(manifest)
            asked = queries(owner, self._configuration)
            answers = await asyncio.gather(*(self._signals.read(query, now) for _, query in asked))
            samples = {name: answer for (name, _), answer in zip(asked, answers, strict=True)}
            replicas = wanted(owner, samples) if asked else None
        except Exception:
            if key not in self._broken:
                log.exception("%s: its signals can't be evaluated; its autoscaler holds", key)
            self._broken.add(key)
            self._last.pop(key, None)
            return
        self._broken.discard(key)
        wish = Wish(replicas, now) if replicas is not None else None
        self._last.pop(key, None)
        if asked:
            self._last[key] = _Evaluation(wish, monotonic)
