"""Every reason that a serving's conditions and events carry, each with what a person does about it.

The names are part of the public contract: alerts and scripts match them.
"""

from dataclasses import dataclass

from deepseek_operator.workloads import reasons as shared


@dataclass(frozen=True)
class Reason:
    """A cause in CamelCase, and one sentence on what to do."""

    name: str
    advice: str


AVAILABLE = Reason("Available", "Nothing to do.")
LOADING = Reason("Loading", "Wait until the replicas have loaded the model.")
ROLLING = Reason("Rolling", "Wait until the new version has replaced the old one.")
SCALING = Reason("Scaling", "Wait until the number of replicas is reached.")
SUSPENDING = Reason("Suspending", "Wait until the last replica has finished its requests.")
SUSPENDED = Reason("Suspended", "Write suspend: false to serve again.")
DELETING = Reason("Deleting", "Nothing to do: the garbage collector removes the replicas.")
WAITING_FOR_TRAINING = Reason("WaitingForTraining", "Create the DeepSeekTraining, or write another model.fromTraining.")
WAITING_FOR_EXPORT = Reason("WaitingForExport", "Wait until the training has exported a model.")
TRAINING_FAILED = Reason(
    "TrainingFailed", "Write model.fromTraining of another training: this one has failed and exported nothing."
)
NOT_EXPORTED = Reason("NotExported", "Write one of the exported steps, or Latest, as model.fromTraining.checkpoint.")
CLAIM_NOT_FOUND = Reason("ClaimNotFound", "Create the PersistentVolumeClaim that holds the model.")
CLAIM_NOT_SHARED = Reason(
    "ClaimNotShared",
    "Serve from a claim that is ReadWriteMany or ReadOnlyMany; or run one replica, with rollout.strategy Recreate.",
)
DOES_NOT_FIT = Reason(
    shared.DOES_NOT_FIT, "Write more devices, another quantization, a shorter maxModelLength or another profile."
)
NEEDS_MULTIPLE_NODES = Reason(
    shared.NEEDS_MULTIPLE_NODES, "Write what fits one node: another profile, quantization or maxModelLength."
)
UNKNOWN_PROFILE = Reason(
    shared.UNKNOWN_PROFILE, "Write one of the profiles that the message names, or ask the administrator for one."
)
HOST_ACCESS_NOT_ALLOWED = Reason(
    shared.HOST_ACCESS_NOT_ALLOWED,
    "Write another accelerator.profile, or ask an administrator to allow this one in the namespace as the message says.",
)
UNSUPPORTED = Reason(shared.UNSUPPORTED, "Write what the message offers: this engine or device can't do it.")
WAITING_FOR_CAPACITY = Reason(
    shared.WAITING_FOR_CAPACITY,
    "Free or add accelerators; during a rollout, rollout.strategy Recreate stops the old replicas first.",
)
WAITING_FOR_QUOTA = Reason(
    shared.WAITING_FOR_QUOTA, "Raise the namespace's quota, or ask for less; write what it makes obligatory."
)
IMAGE_PULL_FAILED = Reason(shared.IMAGE_PULL_FAILED, "Correct engine.image, or make the image pullable for the nodes.")
CONFIGURATION_MISSING = Reason(
    shared.CONFIGURATION_MISSING, "Create the Secret or other object that the message names, or correct its name."
)
VOLUME_NOT_MOUNTED = Reason(shared.VOLUME_NOT_MOUNTED, "Look at the model's claim, and at the storage behind it.")
INIT_CONTAINER_FAILED = Reason(
    shared.INIT_CONTAINER_FAILED,
    "Read that container's log; it comes from the accelerator's profile or from a webhook of the cluster.",
)
MODEL_NOT_FOUND = Reason(
    "ModelNotFound", "Copy the model into that folder of the claim, or correct the path in model.source.uri."
)
METRICS_UNAVAILABLE = Reason(
    "MetricsUnavailable",
    "Let an administrator look at the chart's prometheus.url, externalMetrics and monitors: replicas stay as they are.",
)
ENGINE_FAILING = Reason("EngineFailing", "Read the log of the engine container; correct the model or the engine.")
NAME_CONFLICT = Reason(shared.NAME_CONFLICT, "Delete or rename the object of that name, or rename this resource.")
WAITING_FOR_PREDECESSOR = Reason(
    shared.WAITING_FOR_PREDECESSOR, "Wait until the object of a deleted resource of this name is gone."
)
AUTOSCALER_OFF = Reason(
    "AutoscalerOff", "Write replicas: 1 or more, or leave it out: with 0 the autoscaler is switched off."
)
FORBIDDEN = Reason(
    shared.FORBIDDEN, "Let an administrator read the message: an admission policy or RBAC refuses a child."
)
REJECTED = Reason(shared.REJECTED, "Correct the spec as the API server's message says.")
NEW_DEFAULTS = Reason(
    "NewDefaults", "Nothing must be done. To roll out what this operator would make, annotate as the message says."
)
TOO_LARGE = Reason(shared.TOO_LARGE, shared.TOO_LARGE_ADVICE)
INTERNAL_ERROR = Reason(shared.INTERNAL_ERROR, shared.INTERNAL_ERROR_ADVICE)
API_UNAVAILABLE = Reason("ApiUnavailable", "Nothing to do: the operator tries again.")

ALL: tuple[Reason, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Reason))
BY_NAME = {reason.name: reason for reason in ALL}


def of_plan(refused: str) -> Reason:
    """The reason of a refused plan."""
    return {
        reason.name: reason for reason in (DOES_NOT_FIT, NEEDS_MULTIPLE_NODES, UNKNOWN_PROFILE, HOST_ACCESS_NOT_ALLOWED)
    }.get(refused, UNSUPPORTED)
