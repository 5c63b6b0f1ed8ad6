"""What a resource that keeps replicas alive must be able to say: how it is written, and what a living one tells.

A Deployment keeps replicas of one pod each. One whose replicas span several nodes (a LeaderWorkerSet) is another keeper,
in a file of its own beside `deployment` and an entry in `group.KEEPERS`; a kind that has replicas changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from deepseek_operator.core.resources import Manifest, Resource
from deepseek_operator.workloads.obstacles import Obstacle


@dataclass(frozen=True)
class Wanted:
    """What a group is asked to keep.

    Attributes:
        replicas: how many.
        selector: labels of its pods and of no others; it can never change.
        template: of a pod; it never changes while the group lives.
        deadline_s: seconds that a replica has to be placed, to pull and to become ready.
        nodes: pods of one replica, one a node.
    """

    replicas: int
    selector: Mapping[str, str]
    template: Manifest
    deadline_s: int
    nodes: int = 1


class Keeper(Protocol):
    """One such resource. `live` is always an object of that resource."""

    resource: Resource

    def keeps(self, nodes: int) -> bool:
        """Whether it is the one for replicas of so many pods."""

    def spec(self, wanted: Wanted) -> dict[str, Any]:
        """`spec` of the object."""

    def template(self, live: Manifest) -> Manifest:
        """The pod template that it was made with, as the API server stored it."""

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
