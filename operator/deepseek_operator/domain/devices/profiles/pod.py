"""What a pod must ask of the cluster to run on a profile's devices."""

from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_operator.domain.devices.profiles.profile import Companion, PodPatch, Profile, Toleration


@dataclass(frozen=True)
class PodNeeds:
    """The part of a pod that follows from its accelerators alone.

    ``resources`` are both requests and limits (extended resources may not be overcommitted), in the order device,
    companions. ``node_selector`` and ``tolerations`` place the pod; ``patch`` is the administrator's.
    """

    resources: Mapping[str, str]
    node_selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    shared_memory_gib: int
    patch: PodPatch


def pod_needs(profile: Profile, devices: int, nodes: int = 1) -> PodNeeds:
    """Return what one pod with ``devices`` accelerators, one of ``nodes`` pods that work together, asks for.

    Raises ValueError where a node of this profile has fewer devices.
    """
    most = profile.accelerator.per_node
    if not 0 < devices <= most:
        raise ValueError(f"{profile.name} has {most} devices per node, {devices} were asked of one pod")
    asked = (item for item in profile.companions if nodes > 1 or not item.multi_node_only)
    device = {} if profile.vendor == "cpu" else {profile.accelerator.resource: str(devices)}
    return PodNeeds(
        resources={**device, **{item.resource: _quantity(item, devices) for item in asked}},
        node_selector=dict(sorted(profile.node_selector.items())),
        tolerations=profile.tolerations,
        shared_memory_gib=profile.shared_memory_gib,
        patch=profile.pod_patch,
    )


def _quantity(companion: Companion, devices: int) -> str:
    return f"{companion.quantity * (devices if companion.per_device else 1)}{companion.unit}"
