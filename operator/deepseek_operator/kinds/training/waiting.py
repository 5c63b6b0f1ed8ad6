"""What keeps the gang of an attempt from running, and which events must be read to know it.

A Job says only in its events that it may not make pods, and the kubelet only in those of a pod that a volume is not
mounted. They are asked for once things take longer than they should, and only for a gang that does not run.
"""

from collections.abc import Iterator
from datetime import timedelta

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.resources import JOB, POD, Manifest, Ref
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.training.gang import Gang, ended, gang_of, has_failed, is_active, is_placed, is_suspended
from deepseek_operator.workloads.obstacles import (
    Obstacle,
    condition_of,
    refused_by_events,
    uninitialized,
    unmounted,
    unplaced,
    unstarted,
)
from deepseek_operator.workloads.reasons import VOLUME_NOT_MOUNTED

PODS_ARE_LATE = timedelta(seconds=3)
"""After which a Job without all of its pods is asked why; the controller makes them within a second."""
MOUNTS_ARE_LATE = timedelta(seconds=20)
"""After which a placed pod without a sandbox is asked why; attaching a network disk takes 5 to 15 s."""
NOTHING_CAME = (
    "no pod came, and nothing says why: an admission webhook, or the Job controller; see the events of the Job"
)


def doubtful(seen: Seen[DeepSeekTraining], pods_wanted: int) -> tuple[Ref, ...]:
    """The children of the attempt under way whose events are to be read: the Job, or a pod whose volume is late."""
    attempt = seen.owner.status.attempt
    if attempt is None or attempt.verdict is not None:
        return ()
    gang = gang_of(seen, attempt)
    job = gang.job
    if job is None or ended(job) or has_failed(job) or is_suspended(job):
        return ()
    if len(gang.active) < pods_wanted:
        return (Ref(JOB, job["metadata"]["name"]),) if _is_older(seen, job, PODS_ARE_LATE) else ()
    return tuple(Ref(POD, pod["metadata"]["name"]) for pod in _unmounted(seen, gang))[:1]


def next_doubt(seen: Seen[DeepSeekTraining], gang: Gang, pods_wanted: int) -> timedelta | None:
    """How long until a Job that lacks pods is late enough to be asked; None when it is asked already, or has them."""
    if gang.job is None or len(gang.active) >= pods_wanted or _is_older(seen, gang.job, PODS_ARE_LATE):
        return None
    return PODS_ARE_LATE


def obstacle(seen: Seen[DeepSeekTraining], gang: Gang, pods_wanted: int) -> Obstacle | None:
    """The first thing to solve; None when the pods are merely on their way."""
    return next(_obstacles(seen, gang, pods_wanted), None)


def _obstacles(seen: Seen[DeepSeekTraining], gang: Gang, pods_wanted: int) -> Iterator[Obstacle]:
    if gang.job is not None and len(gang.active) < pods_wanted:
        yield from refused_by_events(seen.warnings.get(Ref(JOB, gang.job["metadata"]["name"]), ()))
    yield from unstarted(gang.active)
    yield from uninitialized(gang.active)
    yield from _unplaced(seen, gang)
    for pod in gang.active:
        yield from unmounted(seen.warnings.get(Ref(POD, pod["metadata"]["name"]), ()))


def _unplaced(seen: Seen[DeepSeekTraining], gang: Gang) -> Iterator[Obstacle]:
    """A pod whose claim is still being made is on its way, and no node more would help; later it is the storage's fault."""
    for pod in gang.active:
        for found in unplaced([pod]):
            if found.reason != VOLUME_NOT_MOUNTED or _is_older(seen, pod, MOUNTS_ARE_LATE):
                yield found


def _unmounted(seen: Seen[DeepSeekTraining], gang: Gang) -> Iterator[Manifest]:
    for pod in gang.active:
        ready = condition_of(pod, "PodReadyToStartContainers")
        if (
            is_placed(pod)
            and ready.get("status") == "False"
            and is_active(pod)
            and _is_older(seen, pod, MOUNTS_ARE_LATE)
        ):
            yield pod


def _is_older(seen: Seen[DeepSeekTraining], manifest: Manifest, age: timedelta) -> bool:
    created = parse_time(manifest["metadata"].get("creationTimestamp"))
    return created is not None and seen.now - created >= age
