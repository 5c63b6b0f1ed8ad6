"""What is worth an event: a transition between two statuses, told once."""

from pydantic.alias_generators import to_camel

from deepseek_operator.api.base import Condition
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.conditions import find, headline
from deepseek_operator.core.kind import Event
from deepseek_operator.core.names import owner_label
from deepseek_operator.kinds.training.anew import goes_with_it
from deepseek_operator.kinds.training.in_place import CRASH_WARNING
from deepseek_operator.kinds.training.losses import DATA_WARNING
from deepseek_operator.kinds.training.reasons import Reason
from deepseek_operator.kinds.training.rollbacks import DIVERGENCE_WARNING
from deepseek_operator.kinds.training.saving import SAVE_WARNING
from deepseek_operator.kinds.training.straggling import STRAGGLER_WARNING
from deepseek_operator.kinds.training.unmeasured import EVALUATION_WARNING
from deepseek_operator.workloads.batch.evicting import evictions
from deepseek_operator.workloads.withdrawn import HOST_ACCESS_WITHDRAWN

_NOTE_LENGTH = 1024
_QUIET = frozenset(
    {
        Reason.STARTING,
        Reason.STOPPING,
        Reason.BACKING_OFF,
        Reason.CHECKPOINT_VOLUME_FULL,
        Reason.ENDING,
        Reason.COMPLETE,
        Reason.STOPPED_EARLY,
        Reason.TOO_MANY_RESTARTS,
        Reason.INVALID_CONFIGURATION,
        Reason.DIVERGED,
    }
)
"""Reasons that a more telling event of the attempt or of the result already announces."""
_KEEPS_AWAY = frozenset(
    {
        Reason.WAITING_FOR_QUOTA,
        Reason.WAITING_FOR_CAPACITY,
        Reason.FORBIDDEN,
        Reason.REJECTED,
        Reason.IMAGE_PULL_FAILED,
        Reason.CONFIGURATION_MISSING,
        Reason.VOLUME_NOT_MOUNTED,
        Reason.INIT_CONTAINER_FAILED,
        Reason.WAITING_FOR_CLAIM,
        Reason.SOURCE_NOT_FOUND,
        Reason.SOURCE_REFUSED,
        Reason.SOURCE_NOT_ALLOWED,
        Reason.SOURCE_CORRUPT,
        Reason.SOURCE_UNAVAILABLE,
        Reason.CLAIM_FULL,
        Reason.FETCH_FAILED,
    }
)
"""What keeps pods away is a warning, as it is for every other workload."""


def events(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    """Events of the step from `before` to `after`, in the order in which things happened."""
    return (
        *_verdict(before, after),
        *_attempt(before, after),
        *_result(before, after),
        *_condition(before, after),
        *_losses(before, after),
        *_rollbacks(before, after),
        *_restarted(before, after),
        *_preflight(before, after),
        *_appeared(before, after, SAVE_WARNING, "Save"),
        *_appeared(before, after, STRAGGLER_WARNING, "Train"),
        *_appeared(before, after, EVALUATION_WARNING, "Evaluate"),
        *evictions(before.sources, after.sources),
        *_prepared(before, after),
        *_withdrawn(before, after),
    )


def farewell(owner: DeepSeekTraining) -> tuple[Event, ...]:
    """What a deleted training leaves behind, and how it is used or removed; nothing when its claim goes with it."""
    meta, status = owner.metadata, owner.status
    if status.volume is None or not status.volume.made or goes_with_it(owner.spec, status):
        return ()
    claim, newest = status.volume.claim_name, status.last_checkpoint
    step = f" up to step {newest.step}" if newest is not None else ""
    note = (
        f"PersistentVolumeClaim {claim} is kept with the checkpoints{step}. Go on from them in a new training: "
        f"checkpoints.volume.claimName {claim} and checkpoints.resume.from.trainingUID {meta.uid}. "
        f"Remove it: kubectl delete pvc {claim} -n {meta.namespace}. "
        f"List such claims: kubectl get pvc -n {meta.namespace} -l {owner_label(TRAINING)}"
    )
    return (_normal("CheckpointsRetained", "KeepClaim", note),)


def _attempt(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    new, old = after.attempt, before.attempt
    if new is None:
        return ()
    found: list[Event] = []
    if old is None or old.number != new.number:
        found.append(_normal("AttemptStarted", "StartAttempt", f"attempt {new.number} as Job {new.job}"))
    elif new.stopping is not None and old.stopping is None:
        found.append(_normal("AttemptStopping", "StopAttempt", f"attempt {new.number} saves and stops: {new.stopping}"))
    return tuple(found)


def _verdict(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    new, old = after.attempt, before.attempt
    if (
        new is None
        or new.verdict is None
        or (old is not None and (old.number, old.verdict) == (new.number, new.verdict))
    ):
        return ()
    told = after.history[-1].message if after.history else new.verdict
    match new.verdict:
        case "Crash":
            return (_warning("AttemptCrashed", "JudgeAttempt", f"attempt {new.number}: {told}"),)
        case "Invalid":
            reason = after.history[-1].cause if after.history else Reason.INVALID_CONFIGURATION
            return (_warning(reason, "JudgeAttempt", f"attempt {new.number}: {told}"),)
        case "Disruption":
            note = f"attempt {new.number}: {told}; not counted as a restart"
            if after.history and after.history[-1].cause == Reason.CHECKPOINT_VOLUME_FULL:
                return (_warning(Reason.CHECKPOINT_VOLUME_FULL, "JudgeAttempt", note),)
            return (_normal("AttemptDisrupted", "JudgeAttempt", note),)
        case "Stopped":
            return (_normal("AttemptStopped", "JudgeAttempt", f"attempt {new.number}: {told}"),)
        case "Complete":
            return ()


def _result(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    if after.result == before.result:
        return ()
    match after.result:
        case "Complete":
            return (_normal("Complete", "FinishTraining", after.result_message),)
        case "Failed":
            return (_warning("Failed", "FinishTraining", after.result_message),)
        case None:
            return ()


def _condition(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    new, old = _telling(after), _telling(before)
    if new is None or new.reason in _QUIET or (old is not None and old.reason == new.reason):
        return ()
    make = _warning if new.type == "Stalled" or new.reason in _KEEPS_AWAY else _normal
    return (make(new.reason, "Reconcile", new.message),)


def _losses(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    """What the sequence length costs, told when it comes to light and when it becomes another thing."""
    new, old = find(after.conditions, DATA_WARNING), find(before.conditions, DATA_WARNING)
    if new is None or (old is not None and old.reason == new.reason):
        return ()
    return (_warning(new.reason, "ReadData", new.message),)


def _rollbacks(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    """Each time that it went back. A later attempt from before that checkpoint may go the same way again."""
    new = find(after.conditions, DIVERGENCE_WARNING)
    if new is None or after.rollbacks == before.rollbacks:
        return ()
    return (_warning(new.reason, "Rollback", new.message),)


def _restarted(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    """Each time that its processes started again in their pods."""
    new = find(after.conditions, CRASH_WARNING)
    if new is None or after.in_place_restarts == before.in_place_restarts:
        return ()
    return (_warning(new.reason, "RestartProcesses", new.message),)


def _preflight(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    """What an attempt found before it began, once; what it did not find ends it, and is told then."""
    new = after.preflight
    if new is None or before.preflight is not None:
        return ()
    volume = (
        f"the checkpoint volume writes {new.write_megabytes_per_second} and reads {new.read_megabytes_per_second} MB/s"
    )
    told = [
        *([f"collectives {new.collective_megabytes_per_second} MB/s"] if new.collective_megabytes_per_second else []),
        *([f"{volume} from node {new.node or 'unknown'}, the slowest"] if new.write_megabytes_per_second else []),
    ]
    note = "; ".join([f"devices, collectives and volume were tried in {new.seconds} s", *told])
    return (_normal("PreflightPassed", "Preflight", note),)


def _appeared(before: TrainingStatus, after: TrainingStatus, type_: str, action: str) -> tuple[Event, ...]:
    """A warning that was not there before."""
    new = find(after.conditions, type_)
    return (
        (_warning(new.reason, action, new.message),)
        if new is not None and find(before.conditions, type_) is None
        else ()
    )


def _prepared(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    """What became of the datasets, told once for each preparation."""
    new = after.data.prepared if after.data is not None else None
    old = before.data.prepared if before.data is not None else None
    if new is None or new == old:
        return ()
    reasons = {to_camel(name): count for name, count in new.dropped if count}
    told = ", ".join(f"{count:,} {name}" for name, count in reasons.items())
    dropped = f"{sum(reasons.values()):,} dropped ({told})" if reasons else "none dropped"
    note = (
        f"{new.read:,} records read, {dropped}; {new.sequences:,} sequences of {new.tokens:,} tokens in all are in"
        f" datasets/{new.digest} on the checkpoint volume"
    )
    return (_normal("DataPrepared", "ReadData", note),)


def _withdrawn(before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
    """A permission that went while the attempt runs."""
    return _appeared(before, after, HOST_ACCESS_WITHDRAWN, "Reconcile")


def _telling(status: TrainingStatus) -> Condition | None:
    """The condition that says most: Stalled or Reconciling if True, else Ready."""
    for type_ in ("Stalled", "Reconciling"):
        condition = find(status.conditions, type_)
        if condition is not None and condition.status == "True":
            return condition
    return headline(status.conditions)


def _normal(reason: str, action: str, note: str) -> Event:
    return Event("Normal", reason, action, note[:_NOTE_LENGTH])


def _warning(reason: str, action: str, note: str) -> Event:
    return Event("Warning", reason, action, note[:_NOTE_LENGTH])
