"""What a container computes with: cores, memory, devices of a device plugin, and the shared memory of its collectives.

Quantities are written as the API server stores them, so that what is stored is no drift.
"""

from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.common.accelerator import Accelerator
from deepseek_operator.api.v1alpha1.common.resources import ComputeResources, ContainerResources
from deepseek_operator.domain.values.quantity import canonical, parse

SHARED_MEMORY_VOLUME = "shared-memory"
SHARED_MEMORY = "1Gi"
"""Where nobody writes a size."""


def resources(wanted: ContainerResources, accelerator: Accelerator | None = None) -> dict[str, Any]:
    """Requests and limits; devices, which can't be overcommitted, are in both. The devices of a profile come later."""
    named = accelerator is not None and accelerator.resource is not None
    devices = {str(accelerator.resource): str(accelerator.devices)} if named and accelerator is not None else {}
    parts = {
        "requests": _amounts({"cpu": wanted.cpu, "memory": wanted.memory, **devices}),
        "limits": _amounts({"cpu": wanted.cpu_limit, "memory": wanted.memory, **devices}),
    }
    return {key: amounts for key, amounts in parts.items() if amounts}


def _amounts(amounts: Mapping[str, str | None]) -> dict[str, str]:
    return {name: canonical(amount) for name, amount in amounts.items() if amount}


def shared_memory(wanted: ComputeResources) -> dict[str, Any]:
    """The volume that is mounted as /dev/shm."""
    size = canonical(wanted.shared_memory or SHARED_MEMORY)
    return {"name": SHARED_MEMORY_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": size}}


def whole_cores(cpu: str | None) -> int | None:
    """Whole cores of what was asked for, rounded down, at least one: how many threads a pod may compute with.

    It is of the request, not of the node or a limit: the number decides how sums are split, hence the last bits of a loss.
    None where nothing was asked for.
    """
    return max(1, int(parse(cpu))) if cpu is not None else None
