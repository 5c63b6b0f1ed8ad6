"""Once a minute, one metadata-only list per resource finds what the watches lost: ghosts and missed objects.

It is also how the process knows that its mirror is complete: ready means that a list of every resource found nothing
missing, and that the last such round is not old.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from deepseek_operator.core.resources import Resource
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import Cluster, ClusterError
from deepseek_operator.runtime.key import Key
from deepseek_operator.runtime.metrics import Metrics
from deepseek_operator.runtime.mirror import Audit, Location, Mirror

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
        found = [await self._audit(resource, settle_s, repair) for resource in self._resources]
        if None not in found:
            self._last_round = self._clock.monotonic()
        return all(audit is not None and not audit.missed for audit in found)

    async def _audit(self, resource: Resource, settle_s: float, repair: bool) -> Audit | None:
        try:
            listing = await self._cluster.list_metadata(resource)
            await asyncio.sleep(settle_s)
            audit = self._mirror.audit(resource, listing)
            self._wake(audit.woken)
            if repair:
                for location in audit.missed:
                    await self._read(location)
                self._metrics.repaired(resource.plural, len(audit.woken), len(audit.missed))
        except ClusterError as error:
            log.warning("the audit of %s failed: %s", resource.plural, error)
            return None
        return audit

    async def _read(self, at: Location) -> None:
        live = await self._cluster.get(at.resource, at.namespace, at.name)
        if live is not None:
            log.warning("the watch lost %s %s/%s", at.resource.kind, at.namespace, at.name)
            self._wake(self._mirror.observe(at.resource, live))
