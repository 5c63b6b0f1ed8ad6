"""Lets writes through only while we surely lead, no faster than agreed, and namespaces in turns.

A write that starts now may reach the API server as late as its time limit allows; so it starts only with more lease
left than that. A process that is frozen between this check and its write can't keep to it: what it sends when it goes on
is refused by the API server, where the chart's fence is installed. That one hears by a watch who the writer is, so it may
refuse the first writes of a new one too; those are asked again soon, and nobody else ever learns of it.

Reads pass freely: a replica that does not lead keeps its mirror warm.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from deepseek_operator.controller.bucket import FairBucket
from deepseek_operator.core.actions import Propagation
from deepseek_operator.core.kind import Event
from deepseek_operator.core.resources import Manifest, Resource
from deepseek_operator.core.seen import Warning
from deepseek_operator.ports.cluster import Cluster, Fenced, Listing

log = logging.getLogger(__name__)

HEARD_S = 10.0
"""An API server hears of a new writer within milliseconds. One that has not after so long is asked no more for this write: the
error goes where all errors go."""
_FIRST_S, _LONGEST_S = 0.05, 1.0

T = TypeVar("T")


class NotLeading(Exception):
    """The lease is lost, or ends before a write that starts now would have to. The process must exit."""


@dataclass(frozen=True)
class FencedCluster:
    """A `Cluster` whose writes ask the lease first.

    Attributes:
        lease_left_s: seconds that our lease still holds, by the monotonic clock; 0 when it is lost.
        write_timeout_s: time limit of one write request in the adapter below, in seconds.
        bucket: of all writes; where it is empty, each namespace waits for one write of each other.
    """

    cluster: Cluster
    lease_left_s: Callable[[], float]
    write_timeout_s: float
    bucket: FairBucket

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        return await self.cluster.get(resource, namespace, name)

    async def list_owned(self, resource: Resource, namespace: str, owner_uid: str) -> Listing:
        return await self.cluster.list_owned(resource, namespace, owner_uid)

    async def list_pods_of_job(self, namespace: str, job_uid: str) -> Listing:
        return await self.cluster.list_pods_of_job(namespace, job_uid)

    async def list_warnings(self, namespace: str, uid: str) -> Sequence[Warning]:
        return await self.cluster.list_warnings(namespace, uid)

    async def list_metadata(self, resource: Resource) -> Listing:
        return await self.cluster.list_metadata(resource)

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        return await self._written(namespace, lambda: self.cluster.create(resource, namespace, manifest))

    async def apply(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        return await self._written(namespace, lambda: self.cluster.apply(resource, namespace, manifest))

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, propagation: Propagation) -> None:
        await self._written(namespace, lambda: self.cluster.delete(resource, namespace, name, uid, propagation))

    async def put_status(self, resource: Resource, manifest: Manifest) -> Manifest:
        namespace = manifest["metadata"]["namespace"]
        return await self._written(namespace, lambda: self.cluster.put_status(resource, manifest))

    async def publish(self, resource: Resource, regarding: Manifest, event: Event) -> None:
        namespace = regarding["metadata"]["namespace"]
        await self._written(namespace, lambda: self.cluster.publish(resource, regarding, event))

    async def _written(self, namespace: str, write: Callable[[], Awaitable[T]]) -> T:
        await self.bucket.take(namespace)
        waited_s, wait_s = 0.0, _FIRST_S
        while True:
            self._check()
            try:
                return await write()
            except Fenced as error:
                self._check()  # Whoever was frozen in the middle of the write has the true reason here.
                if waited_s >= HEARD_S:
                    raise
                log.info("asked again in %.2f s, for the API server has not heard yet who writes: %s", wait_s, error)
            await asyncio.sleep(wait_s)
            waited_s, wait_s = waited_s + wait_s, min(2 * wait_s, _LONGEST_S)

    def _check(self) -> None:
        left_s = self.lease_left_s()
        if left_s <= self.write_timeout_s:
            raise NotLeading(f"{left_s:.1f} s of the lease are left, a write may take {self.write_timeout_s:.1f} s")
