"""What is true of a training, from what was seen before the pass's actions ran.

Records (attempt, volume, counters, result) are carried over as they were written; only what is shown is new. Progress
and workers are display: nothing is decided from them.
"""

from collections.abc import Mapping, Sequence

from deepseek_operator.api.base import Condition, rfc3339
from deepseek_operator.api.v1alpha1.training.progress import ProgressStatus, StragglerStatus
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus, TrainingSummary
from deepseek_operator.core.actions import Done, Failure
from deepseek_operator.core.conditions import Verdict, columns, find, merged, reconciling, stalled
from deepseek_operator.kinds.training.devices import plan_of_job
from deepseek_operator.kinds.training.ending import last_words, reported
from deepseek_operator.kinds.training.in_place import restarted
from deepseek_operator.kinds.training.losses import losses
from deepseek_operator.kinds.training.reasons import Reason, with_advice
from deepseek_operator.kinds.training.report import Report, failure, from_mapping, memory, number, own_metrics, whole
from deepseek_operator.kinds.training.rollbacks import rollbacks
from deepseek_operator.kinds.training.saving import SAVE_WARNING, saving
from deepseek_operator.kinds.training.step import Step
from deepseek_operator.kinds.training.straggling import straggling
from deepseek_operator.kinds.training.unmeasured import unmeasured
from deepseek_operator.kinds.training.view import View
from deepseek_operator.workloads.device_plan import warning_of
from deepseek_operator.workloads.last_words import tail
from deepseek_operator.workloads.refusal import refusal
from deepseek_operator.workloads.withdrawn import withdrawn


def display(view: View, step: Step, done: Done) -> TrainingStatus:
    """The status to write after the pass that decided `step`."""
    before = view.status
    if view.owner.metadata.is_deleting:
        return before
    meta = view.owner.metadata
    status, progress = before, before.progress
    if view.running_attempt is not None:
        status = reported(before, _said(view))
        progress = _progress(view) or last_words(before.progress, view.reports)
    slow = _straggler(view, progress)
    status = status.model_copy(update={"straggler": slow})
    status = status.model_copy(update={"uid": meta.uid, "progress": progress, "observed_generation": meta.generation})
    refused, final = _refused(step, done.failure), [says for says in step.says if says.type in ("Complete", "Failed")]
    says = (*refused, *final) if refused is not None else step.says
    told = (
        *says,
        *warning_of(before.plan),
        *_withdrawn(view),
        *losses(status.data),
        *rollbacks(status.rollbacks, view.spec),
        *restarted(status.in_place_restarts),
        *_saving(view, status),
        *straggling(status.straggler),
        *unmeasured(progress),
    )
    conditions = merged(told, before.conditions, meta.generation, view.now)
    return status.model_copy(
        update={"phase": step.phase, "conditions": conditions, "summary": _summary(view, status, conditions)}
    )


def _withdrawn(view: View) -> tuple[Verdict, ...]:
    """What is said where the attempt runs with access to nodes that is no longer allowed."""
    job = view.gang.job
    if job is None or view.running_attempt is None:
        return ()
    plan = plan_of_job(job) or view.status.plan
    running = ((plan.profile, job["spec"]["template"]),) if plan is not None else ()
    return withdrawn(running, view.owner.metadata.namespace, view.configuration, "attempt")


def _saving(view: View, status: TrainingStatus) -> tuple[Verdict, ...]:
    """Of what goes on or may go on; what is over saves nothing any more."""
    if status.result is not None:
        return ()
    return saving(status.last_checkpoint, view.spec, was_told=find(status.conditions, SAVE_WARNING) is not None)


def _straggler(view: View, progress: ProgressStatus | None) -> StragglerStatus | None:
    """As rank 0 says now, or has said last; of what has ended, or starts again, nothing is known."""
    if view.running_attempt is None or progress is None:
        return None
    said = view.seen.progress
    if not isinstance(said, Mapping):
        return view.status.straggler if view.all_run else None
    return from_mapping(said).straggler


def _said(view: View) -> tuple[Report, ...]:
    """What rank 0 says while it runs, before what ended pods have left."""
    said = view.seen.progress
    live = (from_mapping(said),) if isinstance(said, Mapping) else ()
    return (*live, *view.reports)


def _progress(view: View) -> ProgressStatus | None:
    """Rank 0's progress in the status's form; None when it was not asked or did not answer."""
    said = view.seen.progress
    if not isinstance(said, Mapping):
        return None
    state, before = said.get("state"), view.status.progress
    progress = ProgressStatus(
        state=tail(state)[:32] if isinstance(state, str) else "",
        step=whole(said.get("step")),
        first_step=whole(said.get("firstStep")),
        max_steps=whole(said.get("maxSteps")),
        loss=number(said.get("loss")),
        gradient_norm=number(said.get("gradientNorm")),
        eval_loss=number(said.get("evalLoss")),
        accuracy=number(said.get("accuracy")),
        tokens_per_second=number(said.get("tokensPerSecond")),
        metrics=list(own_metrics(said.get("metrics"))),
        evaluation_failure=failure(said.get("evaluationFailure")),
        mfu=number(said.get("mfu")),
        expert_imbalance=number(said.get("expertImbalance")),
        device_memory=memory(said.get("deviceMemoryBytes")),
        host_memory=memory(said.get("hostMemoryBytes")),
        eta_seconds=_seconds(said.get("etaSeconds")),
        observed_at=rfc3339(view.now),
    )
    # A trainer that still starts says the same each time it is asked: that is no news, and not written.
    asked_at = before.observed_at if before is not None and progress.step is None else None
    return (
        before if asked_at is not None and progress.model_copy(update={"observed_at": asked_at}) == before else progress
    )


def _seconds(value: object) -> int | None:
    """Whole seconds of a finite number; None for anything else."""
    if isinstance(value, float) and 0 <= value < 1e9:
        return round(value)
    return whole(value)


def _refused(step: Step, failure: Failure | None) -> tuple[Verdict, ...] | None:
    """What the API server's refusal of an action means; None when it will pass by itself, or nothing was refused."""
    found = refusal(failure)
    if found is None:
        return None
    reason, serves = Reason(found.reason), any((says.type, says.status) == ("Ready", "True") for says in step.says)
    verdict = stalled if found.is_final else reconciling
    return verdict(reason, with_advice(reason, found.message), serves=serves)


def _summary(view: View, status: TrainingStatus, conditions: Sequence[Condition]) -> TrainingSummary:
    progress = status.progress
    eta_s = progress.eta_seconds if progress is not None and view.all_run else None
    present = view.size if status.result == "Complete" else view.workers + view.gang.succeeded
    return TrainingSummary(
        **columns(conditions),
        workers=f"{present}/{view.size}",
        progress=progress_text(progress, view.spec) or None,
        eta=duration_text(eta_s) if eta_s is not None else None,
    )


def progress_text(progress: ProgressStatus | None, spec: TrainingSpec) -> str:
    """`420/1200 (35 %)`; `420` when the last step is not known; empty before the first word."""
    if progress is None or progress.step is None:
        return ""
    last = progress.max_steps or spec.hyperparameters.max_steps
    if not last or progress.step > last:
        return str(progress.step)
    return f"{progress.step}/{last} ({100 * progress.step // last} %)"


def duration_text(seconds: int) -> str:
    """`3m20s`, `2h5m`, `4d3h`: the two largest units."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for unit, size in units:
        count, seconds = divmod(seconds, size)
        if parts or count:
            parts.append(f"{count}{unit}" if count else "")
    return "".join(parts[:2]) or "0s"
