"""One writer at a time: a coordination.k8s.io Lease, judged by the monotonic clock alone.

Others' clocks are never compared with ours: a Lease is free when *we* have seen it unchanged for its whole duration.
Our own holds for its duration counted from *before* the request that renewed it. Times are client-go's defaults.
"""

import asyncio
import logging
from typing import Any

from deepseek_operator.core.resources import Manifest
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import ClusterError
from deepseek_operator.ports.lease import Leases

log = logging.getLogger(__name__)

DURATION_S = 15.0
RENEW_DEADLINE_S = 10.0
RETRY_S = 2.0


class LeaseLost(Exception):
    """We led and can't any more: the process must exit, what it has under way must not end as a second writer."""


class Lease:
    """Our share in the Lease `namespace/name` under the name `identity`."""

    def __init__(self, leases: Leases, clock: Clock, namespace: str, name: str, identity: str) -> None:
        self._leases = leases
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seen: Manifest | None = None
        self._seen_spec: object = None
        self._seen_at = 0.0
        self._held_until: float | None = None
        self._problem = ""

    def left_s(self) -> float:
        """Seconds for which nobody else can hold the Lease; 0 when we do not hold it."""
        return max(0.0, self._held_until - self._clock.monotonic()) if self._held_until is not None else 0.0

    def term(self) -> tuple[str, int]:
        """Uid and version of the Lease as we saw it last, which is as we wrote it while we hold it."""
        metadata = self._seen["metadata"] if self._seen is not None else {}
        return metadata.get("uid", ""), int(metadata.get("resourceVersion", 0))

    async def acquire(self) -> None:
        """Waits until we hold the Lease."""
        while not await self._try(DURATION_S):  # noqa: ASYNC110 - it polls another process
            await asyncio.sleep(RETRY_S)
        log.info("holds the lease %s/%s as %s", self._namespace, self._name, self._identity)

    async def hold(self) -> None:
        """Renews until that fails for too long.

        Raises:
            LeaseLost: always, in the end; it never returns.
        """
        renewed_at = self._clock.monotonic()
        while True:
            await asyncio.sleep(RETRY_S)
            started = self._clock.monotonic()
            if await self._try(RENEW_DEADLINE_S - (started - renewed_at)):
                renewed_at = started
            elif self.left_s() == 0.0 or self._clock.monotonic() - renewed_at >= RENEW_DEADLINE_S:
                self._held_until = None
                raise LeaseLost(f"the lease {self._namespace}/{self._name} could not be renewed")

    async def release(self) -> None:
        """Gives the Lease back at once, so that the next replica need not wait; failure is only logged, soon."""
        if self.left_s() == 0.0 or self._seen is None:
            return
        self._held_until = None
        spec = {**self._seen["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            async with asyncio.timeout(RETRY_S):
                await self._leases.write_lease({**self._seen, "spec": spec}, RETRY_S)
        except (ClusterError, TimeoutError) as error:
            log.warning("the lease could not be released: %s %s", type(error).__name__, error)

    async def _try(self, timeout_s: float) -> bool:
        """Takes or renews the Lease if it is free or ours; False when it is not, or the API server did not help."""
        started = self._clock.monotonic()
        timeout_s = max(0.1, min(timeout_s, RENEW_DEADLINE_S / 2))
        try:
            async with asyncio.timeout(timeout_s * 2):
                live = await self._leases.read_lease(self._namespace, self._name, timeout_s)
                self._observe(live)
                if live is not None and not self._is_ours_or_free(live):
                    self._held_until = None
                    self._tell("")
                    return False
                self._seen = await self._leases.write_lease(self._wanted(live), timeout_s)
        except (ClusterError, TimeoutError) as error:
            self._tell(f"{type(error).__name__} {error}")
            return False
        self._tell("")
        self._seen_spec, self._seen_at = self._seen["spec"], started
        self._held_until = started + DURATION_S
        return True

    def _tell(self, problem: str) -> None:
        """Once for each problem: it is tried again every two seconds, for as long as an outage takes."""
        if problem and problem != self._problem:
            log.warning("lease %s/%s: %s", self._namespace, self._name, problem)
        self._problem = problem

    def _observe(self, live: Manifest | None) -> None:
        spec = live["spec"] if live is not None else None
        if spec != self._seen_spec:
            self._seen_spec, self._seen_at = spec, self._clock.monotonic()
        self._seen = live

    def _is_ours_or_free(self, live: Manifest) -> bool:
        spec: dict[str, Any] = live.get("spec") or {}
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        return self._clock.monotonic() - self._seen_at > float(spec.get("leaseDurationSeconds") or DURATION_S)

    def _wanted(self, live: Manifest | None) -> Manifest:
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before: dict[str, Any] = (live.get("spec") or {}) if live is not None else {}
        ours = before.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION_S),
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if ours or live is None else 1),
        }
        metadata = live["metadata"] if live is not None else {"name": self._name, "namespace": self._namespace}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


class AlwaysHeld:
    """No election: a single process in development."""

    def left_s(self) -> float:
        """No end."""
        return float("inf")

    def term(self) -> tuple[str, int]:
        """There is none."""
        return "", 0

    async def acquire(self) -> None:
        """At once."""

    async def hold(self) -> None:
        """For ever."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Nothing to give back."""
