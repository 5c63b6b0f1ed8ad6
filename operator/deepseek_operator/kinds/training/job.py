"""The Job of one attempt, and what it says about the attempt when nothing else does any more.

It is write-once: its template is immutable, so an upgrade of the operator changes the next attempt, never this one.
Its annotation bears the records that belong to the attempt; a wiped status is read back from it.
"""

import json

from deepseek_operator.api.base import StatusModel
from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.api.v1alpha1.common.fetch import FetchStatus
from deepseek_operator.api.v1alpha1.training.status import OriginStatus, TrainingStatus, VolumeStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import handed_on
from deepseek_operator.core.resources import GROUP, JOB, Manifest, annotations_of, uid_of
from deepseek_operator.kinds.training import ancestry
from deepseek_operator.kinds.training.devices import PLAN, plan_of_job
from deepseek_operator.kinds.training.owner import owner_of
from deepseek_operator.kinds.training.pod import Attempt, placed, pod_spec
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.workloads.batch.job import attempt_labels, job_spec, number_of
from deepseek_operator.workloads.pod.template import with_settings

RECORD = f"{GROUP}/record"
STAY = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
"""No autoscaler empties a node to save it while a gang runs there: one moved pod restarts them all. Drains are obeyed."""


class JobRecord(StatusModel):
    """What the annotation holds: the digests of the settings, the volume, and the counters at the start."""

    digest: str = ""
    fixed_digest: str = ""
    volume: VolumeStatus | None = None
    origin: OriginStatus | None = None
    sources: list[FetchStatus] | None = None
    restarts: int = 0
    disruptions: int = 0


def job(attempt: Attempt, configuration: Configuration) -> Manifest:
    """The Job of the attempt: its pods all at once, each on one node."""
    owner = owner_of(attempt.owner)
    labels = attempt_labels(owner.labels, attempt.number)
    template = {"metadata": {"labels": labels, "annotations": STAY}, "spec": pod_spec(attempt, configuration)}
    rendered = placed(with_settings(template, attempt.spec.trainer.pod), attempt, configuration)
    handed = {**handed_on(attempt.owner.metadata.labels), **labels}
    return {
        **owner.child(JOB, attempt.job, labels=handed, annotations=_annotations(attempt)),
        "spec": job_spec(attempt.spec.nodes.number, rendered, TRAINER.container),
    }


def _annotations(attempt: Attempt) -> dict[str, str]:
    plan = attempt.plan
    planned = {PLAN: json.dumps(plan.to_wire(), separators=(",", ":"), sort_keys=True)} if plan is not None else {}
    return {RECORD: _record(attempt.status), **planned}


def _record(status: TrainingStatus) -> str:
    record = JobRecord(
        digest=status.attempt.digest if status.attempt else "",
        fixed_digest=status.fixed_digest,
        volume=status.volume,
        origin=status.origin,
        sources=status.sources or None,
        restarts=status.restarts,
        disruptions=status.disruptions,
    )
    return json.dumps(record.to_wire(), separators=(",", ":"), sort_keys=True)


def record_of(job: Manifest) -> JobRecord:
    """The annotation as written; an empty record when it can't be read."""
    try:
        return JobRecord.model_validate_json(annotations_of(job).get(RECORD, "{}"))
    except ValueError:
        return JobRecord()


def recovered(status: TrainingStatus, job: Manifest, now: str) -> TrainingStatus:
    """A wiped status with the records of `job`, the newest one, written back."""
    record = record_of(job)
    return status.model_copy(
        update={
            "fixed_digest": record.fixed_digest,
            "volume": record.volume,
            "origin": record.origin,
            "sources": record.sources or [],
            "restarts": record.restarts,
            "disruptions": record.disruptions,
            "plan": plan_of_job(job),
            "ancestry": ancestry.from_job(job),
            "attempt": AttemptStatus(
                number=number_of(job),
                job=job["metadata"]["name"],
                digest=record.digest,
                job_uid=uid_of(job),
                recorded_at=now,
            ),
        }
    )
