"""What a resource that keeps replicas alive must be able to say: how it is written, and what a living one tells.

A Deployment keeps replicas of one pod each, a LeaderWorkerSet those that span several nodes. A further one is a file of
its own beside these and an entry in `group.KEEPERS`; a kind that has replicas changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from deepseek_operator.core.resources import Manifest, Resource
from deepseek_operator.workloads.obstacles import Obstacle

PULL_SECONDS = 600
"""For placing a pod and pulling its image, before loading begins. Once this and loading are over without a ready pod,
`kubectl rollout status` and Argo CD call the Deployment failed; Kubernetes' own 600 seconds in all are less than a large
model takes to load."""


def loading_seconds(template: Manifest) -> int:
    """How long a replica has to become ready: to be placed, to pull, and as long as the startup probe lets it load."""
    probes = (container.get("startupProbe") or {} for container in template["spec"]["containers"])
    loading = (int(probe.get("periodSeconds", 0)) * int(probe.get("failureThreshold", 0)) for probe in probes)
    return PULL_SECONDS + sum(loading)


def stored_template(stored: Manifest) -> Manifest:
    """A pod template as the API server stored it, without what a decoder left empty."""
    metadata = {key: value for key, value in (stored.get("metadata") or {}).items() if value is not None}
    return {"metadata": metadata, "spec": stored["spec"]}


@dataclass(frozen=True)
class Pods:
    """The pods of one replica.

    Attributes:
        leader: the template of the one that answers requests; of the only one, where there is one.
        worker: the template of each of the others; None where there are none.
        nodes: how many they are, one a node.
    """

    leader: Manifest
    worker: Manifest | None = None
    nodes: int = 1

    def __post_init__(self) -> None:
        if (self.worker is None) != (self.nodes == 1):
            raise ValueError(f"a replica of {self.nodes} pods has workers exactly where it has more than one")

    @property
    def templates(self) -> tuple[Manifest, ...]:
        """Each template, the leader's first."""
        return (self.leader,) if self.worker is None else (self.leader, self.worker)


@dataclass(frozen=True)
class Wanted:
    """What a group is asked to keep.

    Attributes:
        replicas: how many.
        selector: labels of the pods that answer, one a replica, and of no others; it can never change.
        pods: of each replica; they never change while the group lives.
        deadline_s: seconds that a replica has to be placed, to pull and to become ready.
    """

    replicas: int
    selector: Mapping[str, str]
    pods: Pods
    deadline_s: int


class Keeper(Protocol):
    """One such resource. `live` is always an object of that resource."""

    resource: Resource

    def keeps(self, nodes: int) -> bool:
        """Whether it is the one for replicas of so many pods."""

    def named(self, group: str) -> str:
        """What its object is called, for a group of that name."""

    def spec(self, wanted: Wanted) -> dict[str, Any]:
        """`spec` of the object."""

    def pods(self, live: Manifest) -> Pods:
        """The pod templates that it was made with, as the API server stored them."""

    def specified(self, live: Manifest) -> int:
        """Replicas asked for by the last write."""

    def made(self, live: Manifest) -> int:
        """Replicas that exist, by its own count."""

    def ready(self, live: Manifest) -> int:
        """Replicas that serve."""

    def deadline_s(self, live: Manifest) -> int:
        """Seconds that a replica has to become ready."""

    def refused(self, live: Manifest) -> Obstacle | None:
        """Why its pods are not let in by the API server; None while they are."""
