"""Once a minute, one metadata-only list per resource finds what the watches lost: ghosts and missed objects.

Reading such a list costs as much as it is long. Where there are more than `A_ROUND` objects, rounds come that much more seldom:
so the cost at rest does not grow with them, only the time until something that a watch has lost is found.

It is also how the process knows that its mirror is complete: ready means that a list of every resource found nothing
missing, and that the last such round is not old. An optional resource that can't be had is left out; what can be had is
for its watch to say.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from deepseek_operator.controller.entries import Location
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.resources import Resource
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import Cluster, ClusterError, Listing

log = logging.getLogger(__name__)

SETTLE_S = 2.0
"""Between a list and its comparison: what was on its way then has arrived by now."""
FIRST_SETTLE_S = 0.5
PATIENT_ROUNDS = 20
"""First rounds in which the watches are only waited for; after them what is missing is read one by one."""
RETRY_S = 5.0
"""Between two first rounds when a list was refused."""
STALE_ROUNDS = 3
A_ROUND = 5_000
"""Objects in a round of the usual interval: 500 trainings, 200 servings and what they own, with their pods. Such a round takes a
quarter of a second of processor time."""


class HistoryLost(Exception):
    """A list is older than the one before it: the API server's store was restored, and nothing mirrored counts."""


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
        self._refused: tuple[str, ...] = ()
        self._listed_at: dict[Resource, int] = {}

    @property
    def is_fresh(self) -> bool:
        """The mirror was complete once, and a full round ended recently."""
        if self._last_round is None or not self._synced.is_set():
            return False
        return self._clock.monotonic() - self._last_round < STALE_ROUNDS * self._rest_s

    @property
    def _rest_s(self) -> float:
        """Between two rounds, by how much there is to read."""
        return self._interval_s * max(1.0, sum(self._mirror.sizes().values()) / A_ROUND)

    async def synced(self) -> None:
        """Waits until the mirror is complete for the first time."""
        await self._synced.wait()

    async def run(self) -> None:
        """Rounds for ever.

        Raises:
            HistoryLost: the process must begin anew.
        """
        attempt = 0
        while not await self._round(FIRST_SETTLE_S, repair=attempt >= PATIENT_ROUNDS):
            attempt += 1
        self._synced.set()
        log.info("the mirror is complete: %s objects", sum(self._mirror.sizes().values()))
        while True:
            await asyncio.sleep(self._rest_s)
            await self._round(SETTLE_S, repair=True)

    async def _round(self, settle_s: float, repair: bool) -> bool:
        """Audits every resource once. True when every list was answered, and what was missing (if anything) read.

        Without `repair` also that of each optional resource it is decided whether it can be had.
        """
        asked = [resource for resource in self._resources if not self._mirror.lacks(resource)]
        answers = [(resource, await self._list(resource)) for resource in asked]
        listings = [(resource, answer) for resource, answer in answers if isinstance(answer, Listing)]
        failures = [(resource, answer) for resource, answer in answers if isinstance(answer, ClusterError)]
        refusals = [(resource, error) for resource, error in failures if not resource.is_optional]
        self._tell(refusals)
        is_whole = not refusals
        await asyncio.sleep(settle_s if is_whole else RETRY_S)
        missed = [await self._compare(resource, listing, repair) for resource, listing in listings]
        if is_whole:
            self._wake(self._mirror.forsake(resource for resource in self._resources if resource.is_owner))
            self._last_round = self._clock.monotonic()
        is_decided = all(self._mirror.lacks(resource) for resource, _ in failures)
        return is_whole and (repair or (is_decided and sum(missed) == 0))

    async def _list(self, resource: Resource) -> Listing | ClusterError:
        try:
            return await self._cluster.list_metadata(resource)
        except ClusterError as error:
            return error

    def _tell(self, refusals: Sequence[tuple[Resource, ClusterError]]) -> None:
        """One line when other lists are refused than in the last round, whatever their number."""
        refused = tuple(resource.plural for resource, _ in refusals)
        if refused != self._refused and refusals:
            log.warning("the audit can't list %s: %s", ", ".join(refused), refusals[0][1])
        elif refused != self._refused:
            log.info("the audit can list everything again")
        self._refused = refused

    async def _compare(self, resource: Resource, listing: Listing, repair: bool) -> int:
        """Number of objects that the watch had not told of.

        An optional resource may come back from a server that counts anew; the store's own age shows in the others.
        """
        before, now = self._listed_at.get(resource, -1), int(listing.resource_version)
        if now < before and not resource.is_optional:
            raise HistoryLost(f"{resource.plural} were listed at version {before} and now at {now}")
        self._listed_at[resource] = now
        audit = self._mirror.audit(resource, listing)
        self._wake(audit.woken)
        if repair:
            self._metrics.repaired(resource.plural, len(audit.woken), len(audit.missed))
            await self._repair(resource, audit.missed)
        return len(audit.missed)

    async def _repair(self, resource: Resource, missed: Sequence[Location]) -> None:
        """Reads what the watch did not tell of; one line for all of it, since a watch that is cut loses thousands."""
        read = 0
        problem: Exception | None = None
        for at in missed:
            try:
                live = await self._cluster.get(at.resource, at.namespace, at.name)
                woken = self._mirror.observe(at.resource, live) if live is not None else None
            except Exception as error:  # Refused, or an object that can't be borne: the others are read all the same.
                problem = error
                continue
            if woken is not None:
                read += 1
                self._wake(woken)
        if read or problem:
            first = f"{missed[0].namespace}/{missed[0].name}"
            told = f"; not all could be read: {problem}" if problem else ""
            log.warning("the watch of %s lost %s objects, %s among them%s", resource.plural, read, first, told)
