"""What the shell needs of a Kubernetes API server, in nine verbs and nine errors.

Adapters own connections, time limits, retries and credentials, and translate every library error into one of these.
`adapters/kube.py` is the real one, `adapters/memory.py` the one of the tests and of `plan -f`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from deepseek_operator.core.actions import Propagation
from deepseek_operator.core.kind import Event
from deepseek_operator.core.names import MANAGED_BY, MANAGER
from deepseek_operator.core.resources import Manifest, Resource, labels_of
from deepseek_operator.core.seen import Warning

NOWHERE = "1"
"""A resourceVersion that no object has: the storage is at 1 before anything was written."""


class ClusterError(Exception):
    """Something that the API server said, or did not say; the text is for a condition's message."""


class Conflict(ClusterError):
    """409: somebody was faster, the uid is another, or (on create) the name is taken. Look again."""


class Forbidden(ClusterError):
    """403 by RBAC or an admission policy."""


class Fenced(ClusterError):
    """403 by the chart's fence: as far as this API server has heard, another pod is the writer."""


class QuotaExceeded(Forbidden):
    """403 by a ResourceQuota or LimitRange."""


class Rejected(ClusterError):
    """400 or 422: the object can never be stored like this."""


class NotServed(ClusterError):
    """404 for a whole resource: its definition is not there (any more)."""


class Outdated(ClusterError):
    """410: the version or the page that was asked for is too old to be told; list anew."""


class Throttled(ClusterError):
    """429; `retry_after_s` is the server's wish in seconds, 0 when it named none."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unreachable(ClusterError):
    """No answer, or 5xx: the request may or may not have been carried out."""


@dataclass(frozen=True)
class Listing:
    """A list at one moment: `resource_version` is that of the list, items in no particular order."""

    resource_version: str
    items: Sequence[Manifest]


def is_watched(resource: Resource, manifest: Manifest) -> bool:
    """True when the mirror's watch of the resource delivers the object. A removed label ends it for a living one."""
    return resource.is_watched_whole or labels_of(manifest).get(MANAGED_BY) == MANAGER


class Cluster(Protocol):
    """The API server. Every method may raise any `ClusterError`; absence is None, never an error."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        """A quorum read of one object."""

    async def list_owned(self, resource: Resource, namespace: str, owner_uid: str) -> Listing:
        """A quorum read of all objects that carry the owner's uid label."""

    async def list_pods_of_job(self, namespace: str, job_uid: str) -> Listing:
        """A quorum read of all pods that the Job controller labelled with the Job's uid, whatever other labels say."""

    async def list_warnings(self, namespace: str, uid: str) -> Sequence[Warning]:
        """Warning events of the object of that uid, newest first, at most 50."""

    async def list_metadata(self, resource: Resource) -> Listing:
        """Metadata of every object of the resource that the mirror watches, cluster-wide; one request (paged)."""

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        """POST. Raises Conflict when the name is taken."""

    async def apply(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        """Server-side apply with our field manager and force.

        A metadata.uid in it must be that of the object, and so must a metadata.resourceVersion where there is one (else
        Conflict): with `NOWHERE` an object is made and none is ever changed.
        """

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, propagation: Propagation) -> None:
        """DELETE with a uid precondition. Absence is success; another uid raises Conflict."""

    async def put_status(self, resource: Resource, manifest: Manifest) -> Manifest:
        """PUT /status of the whole object as it was read; raises Conflict when resourceVersion or uid moved on."""

    async def publish(self, resource: Resource, regarding: Manifest, event: Event) -> None:
        """Publishes an event about an object; failures are the adapter's to log, never raised."""
