"""What keeps the gang of an attempt from running, and which events must be read to know it.

A Job says only in its events that it may not make pods, and the kubelet only in those of a pod that a volume is not
mounted. They are asked for once things take longer than they should, and only for a gang that does not run.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from deepseek_operator.api.base import parse_time
from deepseek_operator.core.resources import JOB, POD, Manifest, Ref
from deepseek_operator.core.seen import Warning
from deepseek_operator.workloads.batch.gang import Gang
from deepseek_operator.workloads.batch.job import ended, has_failed, is_suspended
from deepseek_operator.workloads.obstacles import (
    Obstacle,
    condition_of,
    refused_by_events,
    uninitialized,
    unmounted,
    unplaced,
    unstarted,
)
from deepseek_operator.workloads.pod.state import is_active, is_placed
from deepseek_operator.workloads.reasons import VOLUME_NOT_MOUNTED

PODS_ARE_LATE = timedelta(seconds=3)
"""After which a Job without all of its pods is asked why; the controller makes them within a second."""
MOUNTS_ARE_LATE = timedelta(seconds=20)
"""After which a placed pod without a sandbox is asked why; attaching a network disk takes 5 to 15 s."""
NOTHING_CAME = (
    "no pod came, and nothing says why: an admission webhook, or the Job controller; see the events of the Job"
)


Warnings: TypeAlias = Mapping[Ref, Sequence[Warning]]


def doubtful(gang: Gang, pods_wanted: int, now: datetime) -> tuple[Ref, ...]:
    """The children of an attempt under way whose events are to be read: the Job, or a pod whose volume is late."""
    job = gang.job
    if job is None or ended(job) or has_failed(job) or is_suspended(job):
        return ()
    if len(gang.active) < pods_wanted:
        return (Ref(JOB, job["metadata"]["name"]),) if _is_older(now, job, PODS_ARE_LATE) else ()
    return tuple(Ref(POD, pod["metadata"]["name"]) for pod in _unmounted(gang, now))[:1]


def next_doubt(gang: Gang, pods_wanted: int, now: datetime) -> timedelta | None:
    """How long until a Job that lacks pods is late enough to be asked; None when it is asked already, or has them."""
    if gang.job is None or len(gang.active) >= pods_wanted or _is_older(now, gang.job, PODS_ARE_LATE):
        return None
    return PODS_ARE_LATE


def obstacle(gang: Gang, pods_wanted: int, warnings: Warnings, now: datetime) -> Obstacle | None:
    """The first thing to solve; None when the pods are merely on their way."""
    return next(_obstacles(gang, pods_wanted, warnings, now), None)


def _obstacles(gang: Gang, pods_wanted: int, warnings: Warnings, now: datetime) -> Iterator[Obstacle]:
    if gang.job is not None and len(gang.active) < pods_wanted:
        yield from refused_by_events(warnings.get(Ref(JOB, gang.job["metadata"]["name"]), ()))
    yield from unstarted(gang.active)
    yield from uninitialized(gang.active)
    yield from _unplaced(gang, now)
    for pod in gang.active:
        yield from unmounted(warnings.get(Ref(POD, pod["metadata"]["name"]), ()))


def _unplaced(gang: Gang, now: datetime) -> Iterator[Obstacle]:
    """A pod whose claim is still being made is on its way, and no node more would help; later it is the storage's fault."""
    for pod in gang.active:
        for found in unplaced([pod]):
            if found.reason != VOLUME_NOT_MOUNTED or _is_older(now, pod, MOUNTS_ARE_LATE):
                yield found


def _unmounted(gang: Gang, now: datetime) -> Iterator[Manifest]:
    for pod in gang.active:
        ready = condition_of(pod, "PodReadyToStartContainers")
        if (
            is_placed(pod)
            and ready.get("status") == "False"
            and is_active(pod)
            and _is_older(now, pod, MOUNTS_ARE_LATE)
        ):
            yield pod


def _is_older(now: datetime, manifest: Manifest, age: timedelta) -> bool:
    created = parse_time(manifest["metadata"].get("creationTimestamp"))
    return created is not None and now - created >= age
