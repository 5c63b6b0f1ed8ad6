"""What a pod is doing, read off its status."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from deepseek_operator.api.base import parse_time
from deepseek_operator.core.resources import Manifest, is_terminating
from deepseek_operator.workloads.obstacles import condition_of

_OVER = ("Succeeded", "Failed")
_LOST_REASONS = ("DeletionByTaintManager", "DeletionByPodGC")


def phase_of(pod: Manifest) -> str:
    """The pod's phase; Pending before the first status."""
    return str(pod.get("status", {}).get("phase") or "Pending")


def is_active(pod: Manifest) -> bool:
    """True unless the kubelet (or the pod garbage collector) said that every container is over."""
    return phase_of(pod) not in _OVER


def is_running(pod: Manifest, container: str) -> bool:
    """True when the container of that name runs and nobody asked it to stop.

    The kubelet says that the container has ended while the phase is still Running, which it leaves a moment later.
    """
    return phase_of(pod) == "Running" and not is_terminating(pod) and terminated(pod, container) is None


def has_succeeded(pod: Manifest, container: str) -> bool:
    """True once the container of that name has ended with code 0."""
    state = terminated(pod, container)
    return phase_of(pod) == "Succeeded" or (state is not None and state.get("exitCode") == 0)


def terminated(pod: Manifest, container: str) -> Mapping[str, Any] | None:
    """`state.terminated` of the container of that name, whatever others were put beside it; None while it has none."""
    statuses: list[Mapping[str, Any]] = pod.get("status", {}).get("containerStatuses") or []
    own = next((status for status in statuses if status.get("name") == container), {})
    return (own.get("state") or {}).get("terminated") or None


def is_placed(pod: Manifest) -> bool:
    """True once the scheduler chose a node."""
    return bool(pod.get("spec", {}).get("nodeName"))


def devices_held(pod: Manifest) -> Mapping[str, float]:
    """By extended resource, whose names alone have a domain, what a placed pod asks for until it is over; they are whole, and
    limits are what is asked for."""
    found: dict[str, float] = {}
    for container in (pod.get("spec") or {}).get("containers") or () if is_active(pod) and is_placed(pod) else ():
        limits = (container.get("resources") or {}).get("limits") or {}
        for resource, count in limits.items():
            if "/" in resource and str(count).isdecimal():
                found[resource] = found.get(resource, 0.0) + float(count)
    return found


def is_lost(pod: Manifest, now: datetime, beyond_s: int) -> bool:
    """True when the pod's node did not answer its deletion for `beyond_s` seconds after the grace was over."""
    deadline = parse_time(pod["metadata"].get("deletionTimestamp"))
    return deadline is not None and now > deadline + timedelta(seconds=beyond_s) and has_lost_node(pod)


def has_lost_node(pod: Manifest) -> bool:
    """True once Kubernetes says that the pod's node does not answer or is gone; a slow end alone says nothing."""
    return phase_of(pod) == "Unknown" or condition_of(pod, "DisruptionTarget").get("reason") in _LOST_REASONS
