"""Keeps what is known of each namespace fresh. A namespace that never could be read lets nobody in; one that could once keeps
what was read for as long as the API server is away, since a gateway must not fall with it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from deepseek_gate.cluster import Forbidden, Unread
from deepseek_gate.knowledge import ConfigMap, Knowledge, known

log = logging.getLogger(__name__)

INTERVAL_S = 1.5
"""Pause between two reads of a namespace: short enough for 5 s, and 0.7 small lists a second and replica."""
AWAITED_S = 0.3
"""The same while a request is held there, whose client counts the seconds."""


class Source(Protocol):
    """Where ConfigMaps come from."""

    async def list_config_maps(self, namespace: str) -> list[ConfigMap]:
        """All of the gate's; raises Unread."""


class Reader:
    """`read` it from time to time, or `follow`; ask `of` for what is known."""

    def __init__(self, source: Source, namespaces: Iterable[str], monotonic: Callable[[], float]) -> None:
        self._source = source
        self._monotonic = monotonic
        self._known: dict[str, Knowledge | None] = dict.fromkeys(namespaces)
        self._read_at: dict[str, float] = {}
        self._versions: dict[str, Mapping[str, str]] = {}
        self._trouble: dict[str, str] = {}
        self._refused: set[str] = set()
        self._changes: dict[str, asyncio.Event] = {name: asyncio.Event() for name in self._known}
        self._awaited: Counter[str] = Counter()

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Those that are read."""
        return tuple(self._known)

    @property
    def is_ready(self) -> bool:
        """Each namespace was read or refused, and one was read."""
        answered = all(known is not None or name in self._refused for name, known in self._known.items())
        return answered and any(known is not None for known in self._known.values())

    def of(self, namespace: str) -> Knowledge | None:
        """What is known of a namespace; None: nothing yet, or it is none of ours."""
        return self._known.get(namespace)

    def age_s(self, namespace: str) -> float | None:
        """Seconds since it was read; None: never."""
        at = self._read_at.get(namespace)
        return None if at is None else self._monotonic() - at

    @contextmanager
    def awaited(self, namespace: str) -> Iterator[None]:
        """Within it the namespace is read more often."""
        self._awaited[namespace] += 1
        try:
            yield
        finally:
            self._awaited[namespace] -= 1

    def pause_s(self, namespace: str) -> float:
        """Until it is read again."""
        return AWAITED_S if self._awaited[namespace] else INTERVAL_S

    async def changed(self, namespace: str) -> None:
        """Returns when something else is known of it, or somebody stirs."""
        await self._changes[namespace].wait()

    def stir(self, namespace: str) -> None:
        """Lets everybody look who waits for a change."""
        self._changes[namespace].set()
        self._changes[namespace] = asyncio.Event()

    async def read(self, namespace: str) -> None:
        """Reads once. A failure is logged when it begins, and leaves what is known."""
        asked_at = self._monotonic()
        try:
            config_maps = await self._source.list_config_maps(namespace)
        except Unread as error:
            if isinstance(error, Forbidden):
                self._refused.add(namespace)
            if self._trouble.get(namespace) != str(error):
                self._trouble[namespace] = str(error)
                log.warning("namespace %s: %s", namespace, error)
            return
        if self._trouble.pop(namespace, None) is not None:
            log.info("namespace %s is read again", namespace)
        # As old as the question: what the answer holds may be as old as that.
        self._read_at[namespace] = asked_at
        self._take(namespace, config_maps)

    def _take(self, namespace: str, config_maps: list[ConfigMap]) -> None:
        versions = {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in config_maps}
        before = self._known[namespace]
        if before is not None and versions == self._versions.get(namespace):
            return
        now = known(config_maps)
        self._known[namespace], self._versions[namespace] = now, versions
        self.stir(namespace)
        log.info("namespace %s: %d keys, %d models", namespace, len(now.keys), len(now.models))
        for fault in sorted(set(now.faults) - set(before.faults if before is not None else ())):
            log.warning("%s", fault)

    async def follow(self) -> None:
        """Reads every namespace again and again, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for namespace in self._known:
                tasks.create_task(self._follow(namespace), name=f"reader of {namespace}")

    async def _follow(self, namespace: str) -> None:
        while True:
            try:
                await self.read(namespace)
            except Exception as error:
                # One namespace's surprise stops neither itself nor the others; a traceback could show what was read.
                log.error("namespace %s: %s while it was read", namespace, type(error).__name__)
            await asyncio.sleep(self.pause_s(namespace))
