"""Every reason that a DeepSeekTraining's conditions can carry, and what to do about each. The documentation is made from it."""

from collections.abc import Mapping
from enum import StrEnum

from deepseek_operator.api.v1alpha1.training import result
from deepseek_operator.workloads import reasons as shared


class Reason(StrEnum):
    """Why a condition is what it is: CamelCase causes, stable names that alerts may match."""

    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    BACKING_OFF = "BackingOff"
    ENDING = "AttemptEnding"
    NODE_UNREACHABLE = "NodeUnreachable"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    STOPPED_EARLY = "StoppedEarly"
    WAITING_FOR_CLAIM = shared.WAITING_FOR_CLAIM
    WAITING_FOR_CAPACITY = shared.WAITING_FOR_CAPACITY
    WAITING_FOR_QUOTA = shared.WAITING_FOR_QUOTA
    IMAGE_PULL_FAILED = shared.IMAGE_PULL_FAILED
    CONFIGURATION_MISSING = shared.CONFIGURATION_MISSING
    VOLUME_NOT_MOUNTED = shared.VOLUME_NOT_MOUNTED
    INIT_CONTAINER_FAILED = shared.INIT_CONTAINER_FAILED
    WAITING_FOR_TRAINING = result.WAITING_FOR_TRAINING
    WAITING_FOR_EXPORT = result.WAITING_FOR_EXPORT
    TRAINING_FAILED = result.TRAINING_FAILED
    NOT_EXPORTED = result.NOT_EXPORTED
    FETCHING = shared.FETCHING
    SOURCE_NOT_FOUND = shared.SOURCE_NOT_FOUND
    SOURCE_REFUSED = shared.SOURCE_REFUSED
    SOURCE_NOT_ALLOWED = shared.SOURCE_NOT_ALLOWED
    SOURCE_CORRUPT = shared.SOURCE_CORRUPT
    SOURCE_UNAVAILABLE = shared.SOURCE_UNAVAILABLE
    CLAIM_FULL = shared.CLAIM_FULL
    FETCH_FAILED = shared.FETCH_FAILED
    WAITING_FOR_PREDECESSOR = shared.WAITING_FOR_PREDECESSOR
    FORBIDDEN = shared.FORBIDDEN
    INVALID_SPEC = "InvalidSpec"
    FIXED_FIELD_CHANGED = "FixedFieldChanged"
    DOES_NOT_FIT = shared.DOES_NOT_FIT
    UNKNOWN_PROFILE = shared.UNKNOWN_PROFILE
    HOST_ACCESS_NOT_ALLOWED = shared.HOST_ACCESS_NOT_ALLOWED
    UNSUPPORTED = shared.UNSUPPORTED
    NAME_CONFLICT = shared.NAME_CONFLICT
    REJECTED = shared.REJECTED
    CHECKPOINT_VOLUME_FULL = "CheckpointVolumeFull"
    CHECKPOINT_VOLUME_LOST = "CheckpointVolumeLost"
    INVALID_CONFIGURATION = "InvalidConfiguration"
    DIVERGED = "Diverged"
    TOO_MANY_RESTARTS = "TooManyRestarts"
    EXAMPLES_LEFT_OUT = "ExamplesLeftOut"
    COMPLETIONS_CUT = "CompletionsCut"
    ROLLED_BACK = "RolledBack"
    RESTARTED_IN_PLACE = "RestartedInPlace"
    GRACE_TOO_SHORT = "GraceTooShort"
    SLOW_RANK = "SlowRank"
    EVALUATION_FAILED = "EvaluationFailed"
    TOO_LARGE = shared.TOO_LARGE
    INTERNAL_ERROR = shared.INTERNAL_ERROR


ADVICE: Mapping[Reason, str] = {
    **{reason: said[reason] for said in (shared.ADVICE, result.ADVICE) for reason in Reason if reason in said},
    Reason.STARTING: "Nothing: pods are being made, scheduled or started; the message says how far they are.",
    Reason.RUNNING: "Nothing: every worker runs.",
    Reason.STOPPING: "Nothing: the pods save a checkpoint and stop.",
    Reason.BACKING_OFF: "Nothing: the next attempt starts when the wait named in the message is over.",
    Reason.ENDING: "Nothing: the attempt is over and its last pods are going.",
    Reason.NODE_UNREACHABLE: "Bring the node back or delete the Node object; a shared volume goes on without it.",
    Reason.SUSPENDED: "Set spec.suspend to false to go on from the newest checkpoint.",
    Reason.COMPLETE: "Nothing: serve the export, or start another training with checkpoints.resume.from.",
    Reason.STOPPED_EARLY: "Nothing: it is complete, and its best checkpoint is exported; more patience or a smaller minDelta let a new training go on.",
    Reason.WAITING_FOR_CAPACITY: "Free or add nodes that fit, or ask for less.",
    Reason.IMAGE_PULL_FAILED: "Correct trainer.image, or make the image pullable for the nodes.",
    Reason.INVALID_SPEC: "Edit the spec as the message says.",
    Reason.FIXED_FIELD_CHANGED: "Undo the edit, or make a new training with checkpoints.resume.from.",
    Reason.DOES_NOT_FIT: "Write more devices, shorter sequences or another accelerator.profile; the message names what would fit.",
    Reason.CHECKPOINT_VOLUME_FULL: "Make room on the claim: a larger checkpoints.volume.size, a smaller keepLast, or delete what is not needed.",
    Reason.CHECKPOINT_VOLUME_LOST: "Make a new training: the claim that held the checkpoints is gone or another one.",
    Reason.INVALID_CONFIGURATION: "Read the message of the trainer and correct the spec: it starts anew, or, where it had learnt, make a new training.",
    Reason.DIVERGED: "Write a lower learningRate, more warmupSteps or gradientClipNorm in a new training with checkpoints.resume.from.",
    Reason.EXAMPLES_LEFT_OUT: "Write a larger hyperparameters.sequenceLength, or take the long examples out of the file; the message has the numbers.",
    Reason.COMPLETIONS_CUT: "Write a larger hyperparameters.sequenceLength if answers are meant to end; the message has the numbers.",
    Reason.EVALUATION_FAILED: "Read the trainer's log, which has the program's own words, and correct evaluation.command; the training goes on without its metrics, and checkpoints without them are never the best by them.",
    Reason.ROLLED_BACK: "Nothing, where it happens once: the training goes on without the batches that led there. Look at that data, or write a lower learningRate.",
    Reason.RESTARTED_IN_PLACE: "Nothing, where it happens once: the training goes on from its last checkpoint. Where one node's name comes again, look at that node; else read the log of that pod.",
    Reason.GRACE_TOO_SHORT: "Write the trainer.pod.terminationGracePeriodSeconds that the message names, before the next drain.",
    Reason.SLOW_RANK: "Look at the node that the message names; drain it, and the training goes on elsewhere from a save.",
    Reason.TOO_MANY_RESTARTS: "Find the cause in the kept Job's logs, then make a new training with resume.from.",
}


def with_advice(reason: Reason, message: str) -> str:
    """What the cluster says, and what a person does about it."""
    return f"{message.rstrip('. ')}. {ADVICE[reason]}"
