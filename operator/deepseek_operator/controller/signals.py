"""How many replicas the signals of every owner that load scales want; evaluated in the background.

Nobody who asks ever waits for Prometheus: an answer is the last wish, or none when it is older than two intervals.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kinds import Kinds, Wanted
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import NoData, Signal, SignalWish
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.signals import Signals

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """How many replicas the signals of one owner wanted, and when."""

    replicas: int
    at: datetime


@dataclass(frozen=True)
class _Evaluation:
    wish: Wish | None
    monotonic: float


@dataclass(frozen=True)
class _Known:
    """What came of one version of an owner. While neither it nor the answers change, nothing is derived again: reading an
    owner costs more than all else, and at rest each would be read every interval. One that asks nothing is not looked at.

    Attributes:
        version: uid and resourceVersion.
        asked: names and expressions.
        samples: their last answers; None before the first.
    """

    version: tuple[str, int]
    asked: tuple[tuple[str, str], ...]
    samples: Mapping[str, Signal] | None
    found: Wanted


class SignalBoard:
    """Evaluates every owner of a kind with a demand, every interval. No pass waits for it: the autoscaler asks, and its
    answer is what wakes."""

    def __init__(
        self,
        mirror: Mirror,
        signals: Signals,
        clock: Clock,
        configuration: Configuration,
        kinds: Kinds,
        interval_s: float,
        wake: Callable[[Key], None] = lambda key: None,
    ) -> None:
        self._mirror = mirror
        self._signals = signals
        self._clock = clock
        self._configuration = configuration
        self._scaled = {entry.resource: (entry, entry.demand) for entry in kinds if entry.demand is not None}
        self._interval_s = interval_s
        self._wake = wake
        self._told: dict[Key, tuple[SignalWish, ...]] = {}
        self._last: dict[Key, _Evaluation] = {}
        self._known: dict[Key, _Known] = {}
        self._broken: set[Key] = set()

    def wish(self, word: str, namespace: str, name: str) -> Wish | None:
        """The last wish for an owner of the kind of that word; None when there is none younger than two intervals."""
        scaled = (entry.resource for entry, _ in self._scaled.values() if entry.word == word)
        last = next((self._last.get(Key(resource, namespace, name)) for resource in scaled), None)
        if last is None or self._clock.monotonic() - last.monotonic > 2 * self._interval_s:
            return None
        return last.wish

    def wishes(self, key: Key, owner: Any) -> tuple[SignalWish, ...]:
        """What the owner's signals last said; before the first evaluation what they will say where that is known without
        asking, so that a new owner's first status tells it and no second one is due for it; else nothing."""
        told = self._told.get(key)
        if told is None and key.resource in self._scaled:
            _, demand = self._scaled[key.resource]
            told = demand.presumed(owner, self._configuration, self._signals.unavailable or NoData())
            if told:  # So that the first answer is news only where it says otherwise.
                self._told[key] = told
        return told or ()

    async def run(self) -> None:
        """Evaluates for ever."""
        while True:
            await self.evaluate()
            await asyncio.sleep(self._interval_s)

    async def evaluate(self) -> None:
        """One evaluation of every such owner that the mirror knows."""
        versions = {
            key: (uid, version) for resource in self._scaled for key, uid, version in self._mirror.versions(resource)
        }
        kept: tuple[dict[Key, Any], ...] = (self._last, self._told, self._known)
        for of_owners in kept:
            for gone in of_owners.keys() - versions.keys():
                del of_owners[gone]
        self._broken &= versions.keys()
        await asyncio.gather(*(self._evaluate(key) for key, version in versions.items() if self._asks(key, version)))

    def _asks(self, key: Key, version: tuple[str, int]) -> bool:
        known = self._known.get(key)
        return known is None or known.version != version or bool(known.asked)

    async def _evaluate(self, key: Key) -> None:
        manifest = self._mirror.get(key.resource, key.namespace, key.name)
        if manifest is None:
            return
        now, monotonic = self._clock.now(), self._clock.monotonic()
        try:
            known = self._known[key] = await self._read(key, manifest, now)
        except Exception:
            if key not in self._broken:
                log.exception("%s: its signals can't be evaluated; its autoscaler holds", key)
            self._broken.add(key)
            self._last.pop(key, None)
            self._known.pop(key, None)
            return
        self._broken.discard(key)
        found = known.found
        wish = Wish(found.replicas, now) if found.replicas is not None else None
        if known.asked:
            self._last[key] = _Evaluation(wish, monotonic)
            self._tell(key, found.wishes)
        else:  # Whoever changed that has woken it.
            self._last.pop(key, None)
            self._told.pop(key, None)

    async def _read(self, key: Key, manifest: Manifest, now: datetime) -> _Known:
        """Asks for the samples, and derives what they want where they or the owner are other than before.

        Raises:
            Exception: whatever the kind raises on an owner that it can't bear.
        """
        entry, demand = self._scaled[key.resource]
        version = (manifest["metadata"]["uid"], int(manifest["metadata"]["resourceVersion"]))
        known, owner = self._known.get(key), None
        if known is None or known.version != version:
            owner = entry.definition.model.model_validate(manifest)
            known = _Known(version, demand.queries(owner, self._configuration), None, Wanted(None))
        answers = await asyncio.gather(*(self._signals.read(query, now) for _, query in known.asked))
        samples = {name: answer for (name, _), answer in zip(known.asked, answers, strict=True)}
        if not known.asked or samples == known.samples:
            return known
        owner = owner or entry.definition.model.model_validate(manifest)
        return replace(known, samples=samples, found=demand.wanted(owner, self._configuration, samples))

    def _tell(self, key: Key, wishes: tuple[SignalWish, ...]) -> None:
        """What says the same as before keeps its value: a status that followed each reading would be written for ever."""
        before = {wish.name: wish for wish in self._told.get(key, ())}
        told = tuple(before[wish.name] if wish.says_as(before.get(wish.name)) else wish for wish in wishes)
        if told != self._told.get(key, ()):
            self._told[key] = told
            self._wake(key)
