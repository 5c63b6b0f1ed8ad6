"""The Job of one attempt: an Indexed Job that runs all pods or none, and what it says of its end."""

from collections.abc import Mapping
from typing import Any

from deepseek_operator.core.names import ATTEMPT_LABEL
from deepseek_operator.core.ownership import restored
from deepseek_operator.core.resources import JOB, Manifest
from deepseek_operator.workloads.obstacles import condition_of

LAST_NUMBER = 999_999_999
"""Of attempts. Nobody comes that far, but somebody may write it."""


def job_spec(pods: int, template: Manifest, container: str) -> dict[str, Any]:
    """No retry of its own: every failure of a pod fails the Job, and what then happens is decided by its owner."""
    return {
        "completionMode": "Indexed",
        "completions": pods,
        "parallelism": pods,
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                # The disruption first: the Job's own reason then names it when both rules match one pod.
                {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {"action": "FailJob", "onExitCodes": {"containerName": container, "operator": "NotIn", "values": [0]}},
            ]
        },
        "template": template,
    }


def attempt_labels(labels: Mapping[str, str], attempt: int) -> dict[str, str]:
    """Labels of an attempt's Job and pods: `labels` are those of every child of the owner."""
    return {**labels, ATTEMPT_LABEL: str(attempt)}


def marks(job: Manifest, labels: Mapping[str, str], reference: Mapping[str, Any]) -> Manifest | None:
    """Labels and owner of a living Job that somebody took away or changed, to be put back; None when all are there.

    Whoever made himself its controller meanwhile has it: the server allows one.
    """
    return restored(JOB, job, attempt_labels(labels, number_of(job)), [reference])


def size_of(job: Manifest) -> int:
    """Pods that the Job has."""
    return int(job["spec"].get("parallelism") or 1)


def active_of(job: Manifest) -> int:
    """Pods of the Job that are neither over nor going, as the Job controller counts them."""
    return int((job.get("status") or {}).get("active") or 0)


def number_of(job: Manifest) -> int:
    """The attempt that a Job is of: by its name, which nobody can change; 0 when it names none."""
    return attempt_number(str(job["metadata"]["name"]).rpartition("-")[2])


def attempt_number(text: str) -> int:
    """A number as it was written into a name or label; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(LAST_NUMBER)) else 0


def job_condition(job: Manifest, type_: str) -> Mapping[str, Any] | None:
    """The Job's condition of that type if it is True."""
    condition = condition_of(job, type_)
    return condition if condition.get("status") == "True" else None


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
