"""What keeps pods away, as the cluster itself says it: a quota, a policy, the scheduler, the kubelet.

One derivation and one set of reasons for everything that makes pods. Messages are quoted, because they name what is
missing better than we could; numbers that change by the second are left out, so that a condition does not flap.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Warning
from deepseek_operator.workloads.last_words import words
from deepseek_operator.workloads.reasons import (
    CONFIGURATION_MISSING,
    FORBIDDEN,
    IMAGE_PULL_FAILED,
    INIT_CONTAINER_FAILED,
    REJECTED,
    VOLUME_NOT_MOUNTED,
    WAITING_FOR_CAPACITY,
    WAITING_FOR_QUOTA,
)

_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)  # fmt: skip
_CONFIGURATION = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_MOUNT_EVENTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume", "VolumeFailedDelete"})
_REFUSED_EVENT = "FailedCreate"
_QUOTA_WORDS = ("exceeded quota", "failed quota", "usage per")
"""Of the ResourceQuota plug-in (a limit, and a quota that makes a field obligatory) and of LimitRanger."""
_VOLUME_WORDS = (
    "unbound immediate PersistentVolumeClaims",
    "didn't find available persistent volumes to bind",
    "volume node affinity conflict",
    "no available volume zone",
    "persistentvolumeclaim ",
    "persistentvolume ",
)
"""Of the scheduler's plug-ins VolumeBinding, VolumeZone and VolumeRestrictions."""
_LACK = "Insufficient "
"""The scheduler's word for a resource that nodes lack: then more nodes may help as well."""
_BACK_OFF = re.compile(r'^[Bb]ack-off pulling image "[^"]*"(: (ErrImagePull: )?)?')
_LENGTH = 1024
_REPEATED = 2
"""Restarts from which on an init container is said to fail: one may be a node's that was started anew."""


@dataclass(frozen=True)
class Obstacle:
    """One cause, in the cluster's words."""

    reason: str
    message: str


def refused(told: str) -> Obstacle:
    """A pod that the API server does not let in: `told` are its own words, in a controller's event or condition."""
    if any(word in told for word in _QUOTA_WORDS):
        return Obstacle(WAITING_FOR_QUOTA, told[:_LENGTH])
    return Obstacle(REJECTED if " is invalid: " in told else FORBIDDEN, told[:_LENGTH])


def refused_by_events(warnings: Iterable[Warning]) -> Iterator[Obstacle]:
    """What the events of a Job say of pods that it could not make; the newest first, as they are given."""
    for warning in warnings:
        if warning.reason == _REFUSED_EVENT:
            yield refused(warning.note)


def unplaced(pods: Iterable[Manifest]) -> Iterator[Obstacle]:
    """Pods that the scheduler finds no node for."""
    for pod in pods:
        placed = condition_of(pod, "PodScheduled")
        if placed.get("status") == "False" and placed.get("reason") == "Unschedulable":
            said = str(placed.get("message") or "the scheduler gives no message")
            yield Obstacle(VOLUME_NOT_MOUNTED if _is_of_a_volume(said) else WAITING_FOR_CAPACITY, said[:_LENGTH])


def _is_of_a_volume(said: str) -> bool:
    """True when no node more would help: a claim that is not bound, or whose volume is elsewhere."""
    return any(word in said for word in _VOLUME_WORDS) and _LACK not in said


def unstarted(pods: Iterable[Manifest]) -> Iterator[Obstacle]:
    """Containers that the kubelet can't start: the image, or what it refers to."""
    for pod in pods:
        status = pod.get("status") or {}
        for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            waiting = (container.get("state") or {}).get("waiting") or {}
            reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
            if reason in _IMAGE:
                yield Obstacle(IMAGE_PULL_FAILED, _unpulled(reason, message, str(container.get("image") or "")))
            elif reason in _CONFIGURATION:
                yield Obstacle(CONFIGURATION_MISSING, _told(reason, message))


def uninitialized(pods: Iterable[Manifest]) -> Iterator[Obstacle]:
    """Init containers, sidecars among them, that end with an error again and again: nothing behind them begins.

    Told in the same words while one runs once more and while the kubelet waits.
    """
    for pod in pods:
        for container in (pod.get("status") or {}).get("initContainerStatuses") or ():
            ended = (container.get("lastState") or {}).get("terminated") or {}
            done = ((container.get("state") or {}).get("terminated") or {}).get("exitCode") == 0
            is_over = done or container.get("started") is True
            if ended.get("exitCode") and container.get("restartCount", 0) >= _REPEATED and not is_over:
                said = words(str(ended.get("message") or ""))
                how = f"init container {container['name']} ends with exit code {ended['exitCode']}"
                yield Obstacle(INIT_CONTAINER_FAILED, f"{how}{': ' + said if said else ''}"[:_LENGTH])


def unmounted(warnings: Iterable[Warning]) -> Iterator[Obstacle]:
    """What the events of a placed pod say of its volumes."""
    for warning in warnings:
        if warning.reason in _MOUNT_EVENTS:
            yield Obstacle(VOLUME_NOT_MOUNTED, _told(warning.reason, warning.note))


def condition_of(manifest: Manifest, type_: str) -> Mapping[str, Any]:
    """The condition of that type; empty when there is none."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == type_), {})


def _unpulled(reason: str, message: str, image: str) -> str:
    """The same words while the kubelet tries and while it waits: the cause is then quoted behind its back-off."""
    cause = _BACK_OFF.sub("", message)
    return _told("ErrImagePull" if reason == "ImagePullBackOff" else reason, cause or image)


def _told(reason: str, message: str) -> str:
    return f"{reason}: {message}".rstrip(": ")[:_LENGTH]
