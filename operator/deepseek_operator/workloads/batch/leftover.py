"""What attempts leave behind that nothing else would remove: Jobs that are recorded, pods that no Job controls any more."""

from collections.abc import Iterable, Sequence

from deepseek_operator.core.actions import Delete
from deepseek_operator.core.resources import POD, Manifest, Ref, controller_of, is_terminating, ref_of, uid_of
from deepseek_operator.workloads.batch.job import ended, has_failed, number_of


def loose(pods: Iterable[Manifest]) -> list[Manifest]:
    """Pods that their Job let go, or that somebody orphaned by deleting it."""
    return [pod for pod in pods if controller_of(pod) is None]


def superseded(jobs: Sequence[Manifest], current: int) -> list[Manifest]:
    """Jobs that nothing is left to learn from, of `jobs` by attempt: neither the `current` one nor the newest that failed,
    which stay for their logs."""
    failed = [job for job in jobs if has_failed(job)]
    return [job for job in jobs if number_of(job) != current and job not in failed[-1:]]


def strays(jobs: Iterable[Manifest], current: int) -> list[Manifest]:
    """Jobs of other attempts than the `current` one that could still make pods."""
    return [job for job in jobs if number_of(job) != current and not has_failed(job) and not ended(job)]


def drop(jobs: Iterable[Manifest]) -> tuple[Delete, ...]:
    """Deletes those that are not going already."""
    because = "its attempt is over and recorded"
    return tuple(Delete(ref_of(job), uid_of(job), because) for job in jobs if not is_terminating(job))


def end(pods: Iterable[Manifest]) -> tuple[Delete, ...]:
    """Ends those that are not ending already."""
    because = "its Job is gone or let it go, and nothing else would stop it"
    refs = ((Ref(POD, pod["metadata"]["name"]), pod) for pod in pods if not is_terminating(pod))
    return tuple(Delete(ref, uid_of(pod), because) for ref, pod in refs)
