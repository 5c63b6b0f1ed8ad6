"""Facts about an attempt's Job and pods, read off what was seen: who belongs to it, who still runs, who is lost."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.core.names import ATTEMPT_LABEL
from deepseek_operator.core.ownership import job_uid_of
from deepseek_operator.core.resources import (
    JOB,
    POD,
    Manifest,
    annotations_of,
    controller_of,
    is_terminating,
    labels_of,
    uid_of,
)
from deepseek_operator.core.seen import Seen
from deepseek_operator.workloads.batch.job import attempt_number, job_condition
from deepseek_operator.workloads.pod.state import has_succeeded, is_active, is_placed, is_running

COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Gang:
    """The Job of the recorded attempt (None: not there) and its pods, by rank; `container` is the one that counts."""

    job: Manifest | None
    pods: tuple[Manifest, ...]
    container: str

    @cached_property
    def active(self) -> tuple[Manifest, ...]:
        """Pods whose containers may still run, terminating ones included."""
        return tuple(pod for pod in self.pods if is_active(pod))

    @cached_property
    def running(self) -> int:
        """Pods whose container runs."""
        return sum(is_running(pod, self.container) for pod in self.pods)

    @cached_property
    def succeeded(self) -> int:
        """Pods whose container has ended with code 0."""
        return sum(has_succeeded(pod, self.container) for pod in self.pods)

    @cached_property
    def placed(self) -> int:
        """Pods that have a node and may still run."""
        return sum(is_placed(pod) for pod in self.active)

    def all_run(self, size: int) -> bool:
        """True when all `size` pods run; one that has succeeded before the others is not missed."""
        return bool(self.pods) and self.running + self.succeeded >= size

    @cached_property
    def failed_at(self) -> datetime | None:
        """When the Job decided to fail; it deletes the remaining pods only after that."""
        if self.job is None:
            return None
        moments = [job_condition(self.job, kind) for kind in ("FailureTarget", "Failed")]
        return min((when for c in moments if c and (when := parse_time(c.get("lastTransitionTime")))), default=None)


def gang_of(seen: Seen[object], attempt: AttemptStatus, container: str) -> Gang:
    """The attempt's Job, only if it is the very one that was recorded, and that one's pods."""
    job = seen.child(JOB, attempt.job)
    if job is not None and attempt.job_uid and uid_of(job) != attempt.job_uid:
        job = None
    uid = attempt.job_uid or (uid_of(job) if job is not None else "")
    pods = [pod for pod in seen.all(POD) if (job_uid_of(pod) == uid if uid else attempt_of(pod) == attempt.number)]
    return Gang(job, tuple(sorted(pods, key=lambda pod: (rank_of(pod) or 0, pod["metadata"]["name"]))), container)


def gang_of_try(seen: Seen[object], name: str, known: str, container: str) -> Gang:
    """The Job of that name and its pods, of a try that is recorded by the Job's name and, once it was seen, its uid.

    Args:
        known: the recorded uid; empty: not seen yet, and whatever has the name and is not going is it.
    """
    live = seen.child(JOB, name)
    if live is not None and (uid_of(live) != known if known else is_terminating(live)):
        live = None
    uid = known or (uid_of(live) if live is not None else "")
    pods = tuple(pod for pod in seen.all(POD) if uid and job_uid_of(pod) == uid)
    return Gang(live, pods, container)


def attempt_of(pod: Manifest) -> int:
    """The attempt that a pod is of: by the name of its Job, by its label once no Job controls it; 0 for none."""
    maker = controller_of(pod) or {}
    is_of_job = maker.get("kind") == JOB.kind
    return attempt_number(str(maker["name"]).rpartition("-")[2] if is_of_job else labels_of(pod).get(ATTEMPT_LABEL, ""))


def rank_of(pod: Manifest) -> int | None:
    """Completion index; None when the pod carries none. The Job controller itself goes by the annotation."""
    text = annotations_of(pod).get(COMPLETION_INDEX) or labels_of(pod).get(COMPLETION_INDEX, "")
    return int(text) if text.isascii() and text.isdigit() else None


def rank_zero(pods: Iterable[Manifest]) -> Manifest | None:
    """The pod of rank 0, whose uid is the attempt's incarnation."""
    return next((pod for pod in pods if rank_of(pod) == 0), None)
