"""One resource followed for ever: a list, then its changes, whatever becomes of the connection.

Any trouble ends at most the one stream that has it, which is taken up again from where it was; what happened meanwhile
is told then. A new list is made only when the server has forgotten that place, or once when it can't get past it.
What has gone since the last list is known by its absence from the new one.

    trouble                                     answer
    the stream ends, is cut, falls silent       taken up again from the last version
    an error in it but 410, garbage             the same; when that came to nothing five times, one list
    410, or a list that was cut short           a list
    403, 404, 429, 5xx, garbage, nobody there   asked again; the place is kept

An optional resource that can't be had is no trouble but a fact, told to the follower and asked about at leisure:

    403 or 404, once                            doubted: asked again soon, for a server that has just begun may say so
    403 or 404, again                           missing
    anything, while all others are well         missing: a webhook that converts it is gone, or its own server is
    a watch of it stands                        it is there
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from random import Random
from typing import Protocol

from deepseek_operator.core.resources import Manifest, Resource, uid_of
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import ClusterError, Forbidden, NotServed, Outdated, Throttled
from deepseek_operator.ports.streams import Garbled, Streams, Told

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 1.5
"""Short on purpose: who waits longer reacts late once the trouble is over, and an attempt costs one small request."""
FRUITLESS_LISTS = 20
"""Lists in a row from which no watch came to anything; each further one waits longer, for it costs the server a lot."""
LAST_LIST_BACKOFF_S = 10.0
LONGEST_WISH_S = 60.0
"""Of a Retry-After; a server that asks for more is asked earlier."""
AT_ONCE_S = 1.0
"""A stream that ends earlier without a word is a fault, as client-go has it."""
STEADY_S = 5.0
"""A stream that stood this long was well: the backoff begins anew."""
DOUBT_S = 3.0
"""Until a server that says that an optional resource is not there is asked for the second time."""
OWN_TROUBLE_S = 5.0
"""An optional resource that is down for so long while all others are well has a trouble of its own."""
STUCK = 5
"""Attempts from one place that came to nothing; then the place itself may be what the server can't get past."""


class Following(Protocol):
    """Takes what streams tell. None of it may wait."""

    def told(self, resource: Resource, type_: str | None, manifest: Manifest) -> None:
        """An object: ADDED, MODIFIED, DELETED, or None when a list shows it."""

    def listed(self, resource: Resource, namespace: str | None, version: int, uids: Collection[str]) -> None:
        """All that there was at that version; what is missing has gone."""

    def unwatched(self, resource: Resource, cause: str) -> None:
        """An attempt ended: `cause` is `end`, or the name of the trouble."""

    def missing(self, resource: Resource, namespace: str | None, why: str | None) -> None:
        """An optional resource can't be had, for that reason, told at each attempt; None, each time that a watch of it
        begins to stand: it can."""


class Stream:
    """The watch of one resource in one namespace (None: in all).

    Attributes:
        problem: what ended the last attempt, as a sentence; None when it just ended, or all is well again.
        missing: why an optional resource can't be had, as a sentence; None: it can, or that is not known yet.

    `others_stand`: whether all is well with what every cluster has. `missing_s`: seconds between two attempts to watch
    an optional resource that is missing, down to half of it.
    """

    def __init__(
        self,
        source: Streams,
        resource: Resource,
        namespace: str | None,
        follower: Following,
        clock: Clock,
        random: Random,
        others_stand: Callable[[], bool] = lambda: False,
        missing_s: float = 30.0,
    ) -> None:
        self._source = source
        self._resource = resource
        self._namespace = namespace
        self._follower = follower
        self._clock = clock
        self._random = random
        self._others_stand = others_stand
        self._missing_s = missing_s
        self._version: str | None = None
        self._failures = self._stuck = self._fruitless_lists = self._refusals = 0
        self._has_listed = False
        self._stood_at: float | None = None
        self._down_since: float | None = clock.monotonic()
        self._told_cause = ""
        self.problem: str | None = None
        self.missing: str | None = None

    def __str__(self) -> str:
        return f"the watch of {self._resource.plural}" + (f" in {self._namespace}" if self._namespace else "")

    @property
    def is_optional(self) -> bool:
        """Not every cluster has the resource, so nothing else waits for it."""
        return self._resource.is_optional

    @property
    def down_s(self) -> float:
        """Seconds since anything was heard of the resource; 0 while its watch stands."""
        now = self._clock.monotonic()
        if self._down_since is None or (self._stood_at is not None and now - self._stood_at >= STEADY_S):
            return 0.0
        return now - self._down_since

    async def run(self) -> None:
        """Follows the resource until it is cancelled; raises nothing else."""
        while True:
            trouble = await self._attempt()
            await asyncio.sleep(self._rest_s(trouble))

    async def _attempt(self) -> Exception | None:
        """A list where one is needed, then a watch to its end; returns what ended it, None when the server just did."""
        try:
            await self._follow()
        except Exception as error:  # Not only a ClusterError: what nobody foresaw must not end a watch either.
            return error
        return None

    async def _follow(self) -> None:
        self._has_listed = False
        if self._version is None:
            self._version = await self._list()
            self._has_listed = True
        async with self._source.watch(self._resource, self._namespace, self._version) as events:
            self._stood_at, is_silent = self._clock.monotonic(), True
            self._appear()
            async for told in events:
                is_silent = False
                self._take(told)
            if is_silent and self._clock.monotonic() - self._stood_at < AT_ONCE_S:
                raise Garbled("the stream ended at once")

    async def _list(self) -> str:
        uids: set[str] = set()
        version = ""
        async for page in self._source.pages(self._resource, self._namespace):
            version = page.resource_version
            for manifest in page.items:
                uids.add(uid_of(manifest))
                self._observe(None, manifest)
        self._down_since = None
        self._follower.listed(self._resource, self._namespace, int(version), uids)
        return version

    def _take(self, told: Told) -> None:
        if told.type is not None:
            self._observe(told.type, told.manifest)
        self._version, self._stuck = told.version, 0
        self._recover()

    def _observe(self, type_: str | None, manifest: Manifest) -> None:
        """One object that can't be taken must not keep others from being told of; an audit tries it again."""
        try:
            self._follower.told(self._resource, type_, manifest)
        except Exception:
            metadata = manifest["metadata"]
            log.exception("%s %s/%s can't be taken", self._resource.kind, metadata["namespace"], metadata["name"])

    def _rest_s(self, trouble: Exception | None) -> float:
        """Judges an attempt that has ended; returns the seconds until the next one."""
        self._follower.unwatched(self._resource, type(trouble).__name__ if trouble is not None else "end")
        stood_s = self._clock.monotonic() - self._stood_at if self._stood_at is not None else None
        was_steady = stood_s is not None and stood_s >= STEADY_S
        self._stood_at = None
        if was_steady:
            self._failures = 0
            self._recover()
        self._failures += 1
        if trouble is None:
            return self._backoff_s(self._failures, LAST_BACKOFF_S)
        if self._is_missing(trouble):
            return self._miss(trouble)
        if self._refusals:
            return DOUBT_S
        self._fall(trouble)
        self._stuck += stood_s is not None
        if isinstance(trouble, Outdated) or self._stuck == STUCK:
            self._version = None
        wish_s = min(trouble.retry_after_s, LONGEST_WISH_S) if isinstance(trouble, Throttled) else 0.0
        if self._has_listed and self._version is None:
            self._fruitless_lists += 1
        list_s = self._backoff_s(self._fruitless_lists - FRUITLESS_LISTS, LAST_LIST_BACKOFF_S)
        return max(wish_s, list_s, self._backoff_s(self._failures, LAST_BACKOFF_S))

    def _backoff_s(self, failures: int, last_s: float) -> float:
        if failures <= 0:
            return 0.0
        return min(last_s, FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 20)) * self._random.uniform(0.5, 1)

    def _is_missing(self, trouble: Exception) -> bool:
        """Counts the answers in a row that say so."""
        if not self._resource.is_optional:
            return False
        self._refusals = self._refusals + 1 if isinstance(trouble, NotServed | Forbidden) else 0
        return self.missing is not None or self._refusals > 1 or self._is_alone()

    def _is_alone(self) -> bool:
        return self.down_s >= OWN_TROUBLE_S and self._others_stand()

    def _miss(self, trouble: Exception) -> float:
        """Tells that it can't be had, and why as long as that is for reasons of its own; returns the seconds of rest."""
        cause = type(trouble).__name__
        is_own = self._refusals > 0 or self._others_stand()
        if self.missing is None or (is_own and cause != self._told_cause):
            self.missing, self._told_cause = str(trouble), cause
            log.info("%s: %s; it is asked for now and then", self, trouble)
        self._version = self._down_since = self.problem = None
        self._failures = self._stuck = self._fruitless_lists = 0
        self._follower.missing(self._resource, self._namespace, self.missing)
        return self._missing_s * self._random.uniform(0.5, 1)

    def _appear(self) -> None:
        if self.missing is not None:
            self._recover()
        self._refusals, self.missing = 0, None
        if self._resource.is_optional:
            self._follower.missing(self._resource, self._namespace, None)

    def _fall(self, trouble: Exception) -> None:
        self.problem, cause = f"{self}: {trouble}", type(trouble).__name__
        if self._down_since is None:
            self._down_since = self._clock.monotonic()
        if isinstance(trouble, Outdated):  # It is what a quiet resource's watch ends with now and then.
            log.debug("%s: %s", self, trouble)
            return
        if cause != self._told_cause:
            foreseen = isinstance(trouble, ClusterError)
            log.warning("%s: %s: %s", self, cause, trouble, exc_info=None if foreseen else trouble)
        self._told_cause = cause

    def _recover(self) -> None:
        if self._told_cause:
            log.info("%s stands again", self)
        self.problem = self._down_since = None
        self._told_cause = ""
        self._fruitless_lists = 0
