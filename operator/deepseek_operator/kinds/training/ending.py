"""What the status becomes when an attempt has its verdict: counters, waits, and whether that was the end of it all."""

from collections.abc import Sequence
from datetime import datetime

from deepseek_operator.api.base import rfc3339
from deepseek_operator.api.v1alpha1.common.attempts import AttemptRecord, AttemptStatus, PodFailure
from deepseek_operator.api.v1alpha1.training.progress import BestCheckpoint, LastCheckpoint, ProgressStatus
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.kinds.training import ancestry
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.report import MAX_EXPORTS, Report
from deepseek_operator.workloads.batch.backoff import after_failure
from deepseek_operator.workloads.batch.verdict import Outcome, sentence

_HISTORY = 20
CURVE_NAME = "metrics.jsonl"
"""The curve's file beside the attempt's checkpoints; the contract of the pods names it."""


def ended(
    status: TrainingStatus,
    attempt: AttemptStatus,
    verdict: Outcome,
    cause: PodFailure,
    said: Sequence[Report],
    spec: TrainingSpec,
    now: datetime,
) -> TrainingStatus:
    """The status with the verdict on `attempt` recorded. Only a crash counts towards `maxRestarts`."""
    early = next((report for report in said if report.stopped_early is not None), None)
    if verdict == "Complete" and early is not None:
        cause = PodFailure(cause=Reason.STOPPED_EARLY, message=_enough(early, spec))
    max_restarts, folder = spec.failure_policy.max_restarts, spec.checkpoints.volume.sub_path
    progress = _last_progress(status.progress, said, verdict)
    base = reported(status, said).model_copy(
        update={
            "attempt": attempt.model_copy(update={"verdict": verdict}),
            "progress": progress,
            "ancestry": ancestry.extended(status.ancestry, attempt),
            "history": [*status.history, _history(status, attempt, verdict, cause, said, folder, now)][-_HISTORY:],
        }
    )
    match verdict:
        case "Complete":
            return _complete(base, cause)
        case "Invalid":
            return _final(base, "Failed", sentence(cause))
        case "Stopped":
            return base.model_copy(update={"not_before": None})
        case "Disruption":
            return _backed_off(base.model_copy(update={"disruptions": base.disruptions + 1}), now)
        case "Crash" if status.restarts >= max_restarts:
            crashes = status.restarts + 1
            return _final(
                base, "Failed", f"crash {crashes}, and failurePolicy.maxRestarts is {max_restarts}: {sentence(cause)}"
            )
        case "Crash":
            return _backed_off(base.model_copy(update={"restarts": base.restarts + 1}), now)


def reported(status: TrainingStatus, said: Sequence[Report]) -> TrainingStatus:
    """The status with the newest checkpoint, the best one, the exports, the data and the ways back that the pods named."""
    latest = next((report.latest for report in said if report.latest is not None), None)
    best = next((report.best for report in said if report.best is not None), None)
    data = next((report.data for report in said if report.data is not None), None)
    in_place = next((report.in_place_restarts for report in said if report.in_place_restarts is not None), None)
    rollbacks = next((report.rollbacks for report in said if report.rollbacks is not None), None)
    preflight = next((report.preflight for report in said if report.preflight is not None), None)
    exports = sorted({*status.exports, *(step for report in said for step in report.exports)})[-MAX_EXPORTS:]
    return status.model_copy(
        update={
            "last_checkpoint": _timed(latest, status.last_checkpoint),
            "best_checkpoint": best or _still_best(status.best_checkpoint),
            "exports": exports,
            "data": data or status.data,
            "rollbacks": rollbacks or status.rollbacks,
            "in_place_restarts": in_place or status.in_place_restarts,
            "preflight": preflight or status.preflight,
        }
    )


def _still_best(known: BestCheckpoint | None) -> BestCheckpoint | None:
    """What was recorded, unless by an earlier release for one batch's loss: that ranks nothing and is not exported."""
    return known if known is None or known.metric != "loss" else None


def last_words(before: ProgressStatus | None, said: Sequence[Report]) -> ProgressStatus | None:
    """Progress with the numbers that ended pods left: what was pulled while they ran is older by up to an interval."""
    told: dict[str, object] = {}
    for name in ("step", "first_step", "loss", "gradient_norm", "eval_loss", "accuracy", "metrics"):
        values = (getattr(report, name) for report in said)
        if (value := next((value for value in values if value not in (None, ())), None)) is not None:
            told[name] = list(value) if isinstance(value, tuple) else value
    return (before or ProgressStatus()).model_copy(update=told) if told else before


def _timed(new: LastCheckpoint | None, old: LastCheckpoint | None) -> LastCheckpoint | None:
    """The newest; of the same step with the times that were known before, which last words leave out.

    What a save takes is known from the one before, where nothing is known of this one.
    """
    if new is None or old is None:
        return new or old
    if new.step != old.step:
        return new.model_copy(update={"seconds": new.seconds or old.seconds})
    measured = ("time", "size_bytes", "seconds", "blocked_seconds", "blocked_share")
    kept = {name: getattr(new, name) or getattr(old, name) for name in measured}
    return new.model_copy(update=kept)


def _history(
    status: TrainingStatus,
    attempt: AttemptStatus,
    verdict: Outcome,
    cause: PodFailure,
    said: Sequence[Report],
    folder: str | None,
    now: datetime,
) -> AttemptRecord:
    steps = last_words(_own(status.progress, attempt), said)
    first = steps.first_step if steps is not None else None
    # Only the built-in trainer tells its first step, and it begins the curve before that.
    has_curve = first is not None and status.uid and attempt.incarnation
    curve = "/".join(filter(None, (folder, status.uid, attempt.incarnation, CURVE_NAME)))
    return AttemptRecord(
        number=attempt.number,
        verdict=verdict,
        cause=cause.cause,
        message=sentence(cause)[:1024],
        ended_at=rfc3339(now),
        job=attempt.job,
        first_step=first,
        last_step=steps.step if steps is not None else None,
        loss=steps.loss if steps is not None else None,
        curve=curve if has_curve else None,
    )


def _own(progress: ProgressStatus | None, attempt: AttemptStatus) -> ProgressStatus | None:
    """What was pulled from the attempt's own pods: until they answer, progress is that of the attempt before it."""
    if progress is None or progress.observed_at is None or attempt.running_at is None:
        return None
    return progress if progress.observed_at >= attempt.running_at else None


def _last_progress(before: ProgressStatus | None, said: Sequence[Report], verdict: Outcome) -> ProgressStatus | None:
    progress = last_words(before, said)
    if verdict == "Complete":
        progress = (progress or ProgressStatus()).model_copy(update={"state": "Complete"})
    return progress.model_copy(update={"eta_seconds": None}) if progress is not None else None


def _complete(status: TrainingStatus, cause: PodFailure) -> TrainingStatus:
    exports = f"; exported steps {', '.join(map(str, status.exports))}" if status.exports else ""
    return _final(status, "Complete", f"{cause.message or 'all workers succeeded'}{exports}")


def _enough(report: Report, spec: TrainingSpec) -> str:
    """`stopped early at step 420: none of the last 3 evaluations was better than that of step 300 by more than 0.001`."""
    assert report.stopped_early is not None
    best, evaluations = report.stopped_early
    delta = spec.early_stopping.min_delta if spec.early_stopping is not None else "0"
    by = f" by more than {delta}" if float(delta) else ""
    none = "the last evaluation was no" if evaluations == 1 else f"none of the last {evaluations} evaluations was"
    return f"stopped early at step {report.step}: {none} better than that of step {best}{by}"


def _final(status: TrainingStatus, result: str, message: str) -> TrainingStatus:
    # Nothing is waited for any more.
    waits = {"not_before": None, "backoff_level": None, "step_at_failure": None}
    return status.model_copy(update={"result": result, "result_message": message[:2048], **waits})


def _backed_off(status: TrainingStatus, now: datetime) -> TrainingStatus:
    newest = status.last_checkpoint.step if status.last_checkpoint is not None else None
    wait = after_failure(status.backoff_level, status.step_at_failure, newest, now)
    return status.model_copy(
        update={"backoff_level": wait.level, "step_at_failure": wait.step, "not_before": wait.not_before}
    )
