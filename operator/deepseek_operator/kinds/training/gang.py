"""Facts about an attempt's Job and pods, read off what was seen: who belongs to it, who still runs, who is lost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.attempts import AttemptStatus
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

CONTAINER = "trainer"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
_OVER = ("Succeeded", "Failed")
_LOST_REASONS = ("DeletionByTaintManager", "DeletionByPodGC")


@dataclass(frozen=True)
class Gang:
    """The Job of the recorded attempt (None: not there) and its pods, by rank."""

    job: Manifest | None
    pods: tuple[Manifest, ...]

    @property
    def active(self) -> tuple[Manifest, ...]:
        """Pods whose containers may still run, terminating ones included."""
        return tuple(pod for pod in self.pods if is_active(pod))

    @property
    def is_over(self) -> bool:
        """True when the Job has ended by its own conditions; what its pods still do is another question."""
        return self.job is not None and ended(self.job)

    @property
    def failed_at(self) -> datetime | None:
        """When the Job decided to fail; it deletes the remaining pods only after that."""
        if self.job is None:
            return None
        moments = [job_condition(self.job, kind) for kind in ("FailureTarget", "Failed")]
        return min((when for c in moments if c and (when := parse_time(c.get("lastTransitionTime")))), default=None)


def gang_of(seen: Seen[DeepSeekTraining], attempt: AttemptStatus) -> Gang:
    """The attempt's Job, only if it is the very one that was recorded, and that one's pods."""
    job = seen.child(JOB, attempt.job)
    if job is not None and attempt.job_uid and uid_of(job) != attempt.job_uid:
        job = None
    uid = attempt.job_uid or (uid_of(job) if job is not None else "")
    pods = [pod for pod in seen.all(POD) if (job_uid_of(pod) == uid if uid else attempt_of(pod) == attempt.number)]
    return Gang(job, tuple(sorted(pods, key=lambda pod: (rank_of(pod) or 0, pod["metadata"]["name"]))))


def number_of(job: Manifest) -> int:
    """The attempt that a Job is of: by its name, which nobody can change; 0 when it names none."""
    return _number(str(job["metadata"]["name"]).rpartition("-")[2])


def attempt_of(pod: Manifest) -> int:
    """The attempt that a pod is of: by the name of its Job, by its label once no Job controls it; 0 for none."""
    maker = controller_of(pod) or {}
    is_of_job = maker.get("kind") == JOB.kind
    return _number(str(maker["name"]).rpartition("-")[2] if is_of_job else labels_of(pod).get(ATTEMPT_LABEL, ""))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def rank_of(pod: Manifest) -> int | None:
    """Completion index; None when the pod carries none. The Job controller itself goes by the annotation."""
    text = annotations_of(pod).get(COMPLETION_INDEX) or labels_of(pod).get(COMPLETION_INDEX, "")
    return int(text) if text.isascii() and text.isdigit() else None


def rank_zero(pods: Iterable[Manifest]) -> Manifest | None:
    """The pod of rank 0, whose uid is the attempt's incarnation."""
    return next((pod for pod in pods if rank_of(pod) == 0), None)


def phase_of(pod: Manifest) -> str:
    """The pod's phase; Pending before the first status."""
    return str(pod.get("status", {}).get("phase") or "Pending")


def is_active(pod: Manifest) -> bool:
    """True unless the kubelet (or the pod garbage collector) said that every container is over."""
    return phase_of(pod) not in _OVER


def is_running(pod: Manifest) -> bool:
    """True when the pod's container runs and nobody asked it to stop.

    The kubelet says that the container has ended while the phase is still Running, which it leaves a moment later.
    """
    return phase_of(pod) == "Running" and not is_terminating(pod) and terminated(pod) is None


def has_succeeded(pod: Manifest) -> bool:
    """True once the pod's container has ended with code 0."""
    state = terminated(pod)
    return phase_of(pod) == "Succeeded" or (state is not None and state.get("exitCode") == 0)


def terminated(pod: Manifest) -> Mapping[str, Any] | None:
    """`state.terminated` of the trainer's container, whatever others were put beside it; None while it has none."""
    statuses: list[Mapping[str, Any]] = pod.get("status", {}).get("containerStatuses") or []
    own = next((status for status in statuses if status.get("name") == CONTAINER), {})
    return (own.get("state") or {}).get("terminated") or None


def is_placed(pod: Manifest) -> bool:
    """True once the scheduler chose a node."""
    return bool(pod.get("spec", {}).get("nodeName"))


def pod_condition(pod: Manifest, type_: str) -> Mapping[str, Any] | None:
    """The pod's condition of that type, whatever its status."""
    conditions: Iterable[Mapping[str, Any]] = pod.get("status", {}).get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == type_), None)


def job_condition(job: Manifest, type_: str) -> Mapping[str, Any] | None:
    """The Job's condition of that type if it is True."""
    condition = pod_condition(job, type_)
    return condition if condition is not None and condition.get("status") == "True" else None


def ended(job: Manifest) -> bool:
    """True once the Job is Complete or Failed: its pods are then over too."""
    return is_complete(job) or job_condition(job, "Failed") is not None


def is_suspended(job: Manifest | None) -> bool:
    """True when an admission controller (Kueue) or a person holds the Job's pods back; the operator never does."""
    return job is not None and bool(job["spec"].get("suspend"))


def is_complete(job: Manifest) -> bool:
    """True once every index succeeded."""
    return job_condition(job, "Complete") is not None


def has_failed(job: Manifest) -> bool:
    """True from the moment that the Job decided to fail."""
    return any(job_condition(job, kind) is not None for kind in ("FailureTarget", "Failed"))


def is_lost(pod: Manifest, now: datetime, beyond_s: int) -> bool:
    """True when the pod's node did not answer its deletion for `beyond_s` seconds after the grace was over."""
    deadline = parse_time(pod["metadata"].get("deletionTimestamp"))
    return deadline is not None and now > deadline + timedelta(seconds=beyond_s) and has_lost_node(pod)


def has_lost_node(pod: Manifest) -> bool:
    """True once Kubernetes says that the pod's node does not answer or is gone; a slow end alone says nothing."""
    condition = pod_condition(pod, "DisruptionTarget")
    return phase_of(pod) == "Unknown" or (condition is not None and condition.get("reason") in _LOST_REASONS)
