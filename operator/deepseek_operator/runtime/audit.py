"""Once a minute, one metadata-only list per resource finds what the watches lost: ghosts and missed objects.

It is also how the process knows that its mirror is complete: ready means that a list of every resource found nothing
missing, and that the last such round is not old.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from deepseek_operator.core.resources import Resource
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import Cluster, ClusterError, Listing
from deepseek_operator.runtime.key import Key
from deepseek_operator.runtime.metrics import Metrics
from deepseek_operator.runtime.mirror import Location, Mirror

log = logging.getLogger(__name__)

SETTLE_S = 2.0
"""Between a list and its comparison: what was on its way then has arrived by now."""
FIRST_SETTLE_S = 0.5
PATIENT_ROUNDS = 20
"""First rounds in which the watches are only waited for; after them what is missing is read one by one."""
STALE_ROUNDS = 3


class Auditor:
    """Keeps the mirror honest and knows whether it is."""

    def __init__(
        self,
        cluster: Cluster,
        mirror: Mirror,
        clock: Clock,
        metrics: Metrics,
        resources: Iterable[Resource],
        wake: Callable[[Iterable[Key]], None],
        interval_s: float,
    ) -> None:
        self._cluster = cluster
        self._mirror = mirror
        self._clock = clock
        self._metrics = metrics
        self._resources = tuple(resources)
        self._wake = wake
        self._interval_s = interval_s
        self._last_round: float | None = None
        self._synced = asyncio.Event()

    @property
    def is_fresh(self) -> bool:
        """The mirror was complete once, and a full round ended recently."""
        if self._last_round is None or not self._synced.is_set():
            return False
        return self._clock.monotonic() - self._last_round < STALE_ROUNDS * self._interval_s

    async def synced(self) -> None:
        """Waits until the mirror is complete for the first time."""
        await self._synced.wait()

    async def run(self) -> None:
        """Rounds for ever."""
        for attempt in range(PATIENT_ROUNDS):
            if await self._round(FIRST_SETTLE_S, repair=attempt == PATIENT_ROUNDS - 1):
                break
        self._synced.set()
        log.info("the mirror is complete: %s objects", sum(self._mirror.sizes().values()))
        while True:
            await asyncio.sleep(self._interval_s)
            await self._round(SETTLE_S, repair=True)

    async def _round(self, settle_s: float, repair: bool) -> bool:
        """Audits every resource once. True when every list was answered and nothing was missing."""
        listings = [await self._list(resource) for resource in self._resources]
        await asyncio.sleep(settle_s)
        pairs = zip(self._resources, listings, strict=True)
        missed = [await self._compare(at, listing, repair) for at, listing in pairs if listing is not None]
        if None in listings:
            return False
        self._last_round = self._clock.monotonic()
        return sum(missed) == 0

    async def _list(self, resource: Resource) -> Listing | None:
        try:
            return await self._cluster.list_metadata(resource)
        except ClusterError as error:
            log.warning("the audit of %s failed: %s", resource.plural, error)
            return None

    async def _compare(self, resource: Resource, listing: Listing, repair: bool) -> int:
        """Number of objects that the watch had not told of."""
        audit = self._mirror.audit(resource, listing)
        self._wake(audit.woken)
        if repair:
            self._metrics.repaired(resource.plural, len(audit.woken), len(audit.missed))
            for location in audit.missed:
                await self._read(location)
        return len(audit.missed)

    async def _read(self, at: Location) -> None:
        try:
            live = await self._cluster.get(at.resource, at.namespace, at.name)
        except ClusterError as error:
            log.warning(
                "%s %s/%s, which the watch lost, can't be read: %s", at.resource.kind, at.namespace, at.name, error
            )
            return
        if live is not None:
            log.warning("the watch lost %s %s/%s", at.resource.kind, at.namespace, at.name)
            self._wake(self._mirror.observe(at.resource, live))
