"""A living group of replicas, whichever resource keeps it, and where to find those of an owner."""

from collections.abc import Sequence
from dataclasses import dataclass

from deepseek_operator.core.resources import Manifest, Ref, Resource, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.rollout import Replicas
from deepseek_operator.workloads.obstacles import Obstacle
from deepseek_operator.workloads.replicas.deployment import DeploymentKeeper
from deepseek_operator.workloads.replicas.keeper import Keeper, Pods, Wanted
from deepseek_operator.workloads.replicas.leader_worker_set import LeaderWorkerSetKeeper

KEEPERS: tuple[Keeper, ...] = (DeploymentKeeper(), LeaderWorkerSetKeeper())
"""Every resource that keeps replicas."""

RESOURCES: tuple[Resource, ...] = tuple(keeper.resource for keeper in KEEPERS)


@dataclass(frozen=True)
class Group:
    """One living group: the object, and what it tells by its keeper."""

    manifest: Manifest
    keeper: Keeper

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def is_going(self) -> bool:
        """True once it is being deleted."""
        return is_terminating(self.manifest)

    @property
    def pods(self) -> Pods:
        """The pod templates that it was made with."""
        return self.keeper.pods(self.manifest)

    @property
    def specified(self) -> int:
        """Replicas asked for by the last write."""
        return self.keeper.specified(self.manifest)

    @property
    def deadline_s(self) -> int:
        """Seconds that a replica has to become ready."""
        return self.keeper.deadline_s(self.manifest)

    @property
    def refused(self) -> Obstacle | None:
        """Why its pods are not let in; None while they are."""
        return self.keeper.refused(self.manifest)

    def counted(self, seen: int) -> Replicas:
        """What runs of it, where `seen` of its replicas are seen: its own count lags behind, or they do."""
        made, ready = self.keeper.made(self.manifest), self.keeper.ready(self.manifest)
        return Replicas(specified=self.specified, total=max(seen, made), ready=ready)


def groups(seen: Seen[object], keepers: Sequence[Keeper] = KEEPERS) -> tuple[Group, ...]:
    """All groups of the owner, those that are going included, by name."""
    found = (Group(manifest, keeper) for keeper in keepers for manifest in seen.all(keeper.resource))
    return tuple(sorted(found, key=lambda group: group.name))


def group_named(seen: Seen[object], name: str, keepers: Sequence[Keeper] = KEEPERS) -> Group | None:
    """The group of that name, on its way out or not; None when there is none."""
    for keeper in keepers:
        if (manifest := seen.child(keeper.resource, keeper.named(name))) is not None:
            return Group(manifest, keeper)
    return None


def names(name: str, nodes: int | None = None, keepers: Sequence[Keeper] = KEEPERS) -> tuple[Ref, ...]:
    """What a group of that name may be; `nodes`: pods of its replicas, None where nobody knows."""
    able = (keeper for keeper in keepers if nodes is None or keeper.keeps(nodes))
    return tuple(Ref(keeper.resource, keeper.named(name)) for keeper in able)


def keeper_for(nodes: int, keepers: Sequence[Keeper] = KEEPERS) -> Keeper:
    """The keeper of replicas that have `nodes` pods.

    Raises:
        ValueError: no resource keeps such replicas.
    """
    found = next((keeper for keeper in keepers if keeper.keeps(nodes)), None)
    if found is None:
        raise ValueError(f"nothing keeps replicas of {nodes} pods")
    return found


__all__ = ["KEEPERS", "RESOURCES", "Group", "Pods", "Wanted", "group_named", "groups", "keeper_for", "names"]
