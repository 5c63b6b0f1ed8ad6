"""Which earlier attempts a new one may resume from: those recorded here, oldest first, and no others.

A directory of an attempt that is not in the list is a zombie's. With the records lost (a wiped status and no Job to
read them back from) the list is empty although earlier attempts were numbered; then the training's own folder is
named as the one to resume from, so that work is never begun anew in silence.
"""

import json
from collections.abc import Sequence

from deepseek_operator.api.v1alpha1.common.attempts import Ancestor, AttemptStatus
from deepseek_operator.api.v1alpha1.training.checkpoints import ResumeFrom
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.resources import Manifest

LIMIT = 512
"""Ancestors kept, about 65 KB of environment: one variable may hold 128 KiB on Linux (MAX_ARG_STRLEN). Older ones are
dropped; that loses a checkpoint only if 512 attempts in a row saved none."""

ENVIRONMENT_NAME = "DEEPSEEK_RESUME_ANCESTRY"


def extended(ancestry: Sequence[Ancestor], attempt: AttemptStatus) -> list[Ancestor]:
    """The ancestry once `attempt` has ended; an attempt whose Job was never seen is no ancestor."""
    if not attempt.job_uid or any(ancestor.attempt == attempt.number for ancestor in ancestry):
        return list(ancestry)
    newest = Ancestor(attempt=attempt.number, job_uid=attempt.job_uid, incarnation=attempt.incarnation)
    return [*ancestry, newest][-LIMIT:]


def to_environment(ancestry: Sequence[Ancestor]) -> str:
    """The JSON list of `DEEPSEEK_RESUME_ANCESTRY`."""
    return json.dumps([ancestor.to_wire() for ancestor in ancestry], separators=(",", ":"))


def from_job(job: Manifest) -> list[Ancestor]:
    """The ancestry that a Job was made with; empty when it holds none that can be read."""
    containers = job.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or [{}]
    text = next((e.get("value") for e in containers[0].get("env") or () if e.get("name") == ENVIRONMENT_NAME), None)
    try:
        return [Ancestor.model_validate(entry) for entry in json.loads(text or "[]")][:LIMIT]
    except (ValueError, TypeError):
        return []


def resume_from(status: TrainingStatus, wanted: ResumeFrom | None, uid: str, attempt: int) -> ResumeFrom | None:
    """What `DEEPSEEK_RESUME_FROM` names: the spec's choice, or this training itself when its ancestry was lost."""
    if attempt > 1 and not status.ancestry:
        return ResumeFrom(training_uid=uid, checkpoint="Latest")
    return wanted
