"""What the operator tells a metrics store of trainings, from their statuses.

The pods of the built-in trainer and of the launcher tell `deepseek_training_…` of themselves, at each scrape, while they
live; these are the operator's own words, at most 30 s older, of every training that exists: one that ended, waits or starts
again has its last numbers, and `progress_timestamp_seconds` says how old they are.
"""

from collections.abc import Callable, Iterable

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.progress import BestCheckpoint, LastCheckpoint, ProgressStatus
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.metrics import Metric, Number, Read, Row, moment, number, observed, read_off
from deepseek_operator.kinds.training.pod import DEFAULT_EVERY_SECONDS

PREFIX = "deepseek_operator_training_"


def _info(owner: DeepSeekTraining) -> Iterable[Row]:
    spec = owner.spec
    yield (spec.model.name or "", spec.trainer.type, spec.objective, spec.method.type), 1.0


def _claim(owner: DeepSeekTraining) -> Iterable[Row]:
    volume = owner.status.volume
    return (((volume.claim_name,), 1.0),) if volume is not None else ()


def _interval(owner: DeepSeekTraining) -> Number:
    policy = owner.spec.checkpoints
    return None if policy.every_steps is not None else policy.every_seconds or DEFAULT_EVERY_SECONDS


def _own(owner: DeepSeekTraining) -> Iterable[Row]:
    progress = owner.status.progress
    for told in progress.metrics if progress is not None else ():
        yield from (((told.name,), value) for _, value in number(told.value))


def _best(owner: DeepSeekTraining) -> Iterable[Row]:
    best = owner.status.best_checkpoint
    return (((best.metric,), value) for _, value in number(best.value)) if best is not None and best.metric else ()


def _restarts(owner: DeepSeekTraining) -> Iterable[Row]:
    status = owner.status
    yield ("crash",), status.restarts
    yield ("disruption",), status.disruptions
    yield ("in_place",), status.in_place_restarts.count if status.in_place_restarts is not None else 0
    yield ("divergence",), status.rollbacks.count if status.rollbacks is not None else 0


def _failure(owner: DeepSeekTraining) -> Iterable[Row]:
    """Of the attempts that are told of, the last that crashed or was disrupted."""
    for ended in reversed(owner.status.history):
        if ended.verdict in ("Crash", "Disruption") and (at := moment(ended.ended_at)) is not None:
            yield (ended.verdict, ended.cause), at
            return


def _workers(place: int) -> Callable[[DeepSeekTraining], Number]:
    """Of the summary, 3/4: what is, and what is wanted."""
    return lambda owner: owner.status.summary.workers.partition("/")[place] or None


_owner: Read[DeepSeekTraining] = read_off(PREFIX, lambda owner: owner)
_status: Read[TrainingStatus] = read_off(PREFIX, lambda owner: owner.status)
_progress: Read[ProgressStatus] = read_off(PREFIX, lambda owner: owner.status.progress)
_saved: Read[LastCheckpoint] = read_off(PREFIX, lambda owner: owner.status.last_checkpoint)
_ranked: Read[BestCheckpoint] = read_off(PREFIX, lambda owner: owner.status.best_checkpoint)

METRICS: tuple[Metric, ...] = (
    Metric(
        f"{PREFIX}info",
        "1, with what is trained and how; model is empty for a custom one.",
        _info,
        ("model", "trainer", "objective", "method"),
    ),
    *observed(PREFIX),
    _status(
        "attempt",
        "Number of the present attempt, or of the last.",
        lambda at: at.attempt.number if at.attempt else None,
    ),
    _status(
        "attempt_running_timestamp_seconds",
        "When all of its pods were first seen running, seconds since 1970.",
        lambda at: moment(at.attempt.running_at) if at.attempt else None,
    ),
    _owner("workers", "Pods that run or have succeeded.", _workers(0)),
    _owner("workers_wanted", "Pods of the whole gang.", _workers(2)),
    _progress("step", "Last optimizer step.", lambda told: told.step),
    _progress(
        "attempt_first_step", "Optimizer step that the present attempt began with.", lambda told: told.first_step
    ),
    _progress("steps_wanted", "Optimizer steps in all.", lambda told: told.max_steps),
    _progress("loss", "Last training loss, nats per token.", lambda told: told.loss),
    _progress("eval_loss", "Last loss on held-out data, nats per token.", lambda told: told.eval_loss),
    _progress("accuracy_ratio", "Last accuracy on held-out data, 0 to 1.", lambda told: told.accuracy),
    Metric(f"{PREFIX}own_metric", "What evaluation.command printed last, by its name.", _own, ("metric",)),
    _progress(
        "gradient_norm", "Norm of the last step's gradients before they were clipped.", lambda told: told.gradient_norm
    ),
    _progress(
        "tokens_per_second", "Tokens trained on per second by the whole gang.", lambda told: told.tokens_per_second
    ),
    _progress(
        "model_flops_utilization_ratio",
        "Work of the model done, of what the devices could do at their peak, 0 to 1.",
        lambda told: told.mfu,
    ),
    _progress("eta_seconds", "Seconds to the last step, when the pods were asked last.", lambda told: told.eta_seconds),
    _progress(
        "progress_timestamp_seconds",
        "When rank 0 was asked last for what is told here, seconds since 1970.",
        lambda told: moment(told.observed_at),
    ),
    _saved("checkpoint_step", "Step of the newest healthy checkpoint.", lambda saved: saved.step),
    _saved(
        "checkpoint_timestamp_seconds",
        "When that checkpoint was complete, seconds since 1970.",
        lambda saved: moment(saved.time),
    ),
    _saved("checkpoint_bytes", "Bytes of all its files.", lambda saved: saved.size_bytes),
    _saved("checkpoint_save_seconds", "Seconds from its first byte to its last.", lambda saved: saved.seconds),
    _saved(
        "checkpoint_blocked_seconds", "Those of them in which no step was made.", lambda saved: saved.blocked_seconds
    ),
    _status(
        "checkpoint_planned_bytes",
        "Bytes of one checkpoint as they were planned, under accelerator.profile.",
        lambda at: at.plan.checkpoint_bytes if at.plan else None,
    ),
    _owner("checkpoint_interval_steps", "checkpoints.everySteps.", lambda owner: owner.spec.checkpoints.every_steps),
    _owner(
        "checkpoint_interval_seconds",
        "checkpoints.everySeconds, or its default; none where everySteps is written.",
        _interval,
    ),
    _ranked("best_checkpoint_step", "Step of the best evaluated checkpoint.", lambda best: best.step),
    Metric(f"{PREFIX}best_checkpoint_value", "What ranks that checkpoint, by the metric's name.", _best, ("metric",)),
    Metric(f"{PREFIX}claim_info", "1, with the claim that holds the checkpoints.", _claim, ("persistentvolumeclaim",)),
    Metric(
        f"{PREFIX}restarts_total",
        "Starts after a crash or a disruption; in_place: inside the living pods of the present attempt; divergence: to an earlier checkpoint because numbers were not finite.",
        _restarts,
        ("cause",),
    ),
    Metric(
        f"{PREFIX}failure_timestamp_seconds",
        "When an attempt last crashed or was disrupted, seconds since 1970, with its cause in one word.",
        _failure,
        ("verdict", "cause"),
    ),
)
