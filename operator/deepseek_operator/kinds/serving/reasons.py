"""Every reason that a serving's conditions and events carry, each with what a person does about it.

The names are part of the public contract: alerts and scripts match them.
"""

from dataclasses import dataclass

from deepseek_operator.api.v1alpha1.training import result
from deepseek_operator.workloads import reasons as shared


@dataclass(frozen=True)
class Reason:
    """A cause in CamelCase, and one sentence on what to do."""

    name: str
    advice: str


def _shared(name: str) -> Reason:
    return Reason(name, {**shared.ADVICE, **result.ADVICE}[name])


AVAILABLE = Reason("Available", "Nothing to do.")
LOADING = Reason("Loading", "Wait until the replicas have loaded the model.")
ROLLING = Reason("Rolling", "Wait until the new version has replaced the old one.")
SCALING = Reason("Scaling", "Wait until the number of replicas is reached.")
ASLEEP = Reason("Asleep", "Nothing to do: the first request through the gateway wakes it.")
WAKING = Reason("Waking", "Wait until the first replica has loaded the model: requests wait at the gate.")
SUSPENDING = Reason("Suspending", "Wait until the last replica has finished its requests.")
SUSPENDED = Reason("Suspended", "Write suspend: false to serve again.")
DELETING = Reason("Deleting", "Nothing to do: the garbage collector removes the replicas.")
WAITING_FOR_TRAINING = _shared(result.WAITING_FOR_TRAINING)
WAITING_FOR_EXPORT = _shared(result.WAITING_FOR_EXPORT)
TRAINING_FAILED = _shared(result.TRAINING_FAILED)
NOT_EXPORTED = _shared(result.NOT_EXPORTED)
BASE_MISMATCH = Reason(
    "BaseMismatch", "Serve the model that the adapter was trained beside, or train an adapter beside the served one."
)
WAITING_FOR_CLAIM = _shared(shared.WAITING_FOR_CLAIM)
FETCHING = _shared(shared.FETCHING)
SOURCE_NOT_FOUND = _shared(shared.SOURCE_NOT_FOUND)
SOURCE_REFUSED = _shared(shared.SOURCE_REFUSED)
SOURCE_NOT_ALLOWED = _shared(shared.SOURCE_NOT_ALLOWED)
SOURCE_CORRUPT = _shared(shared.SOURCE_CORRUPT)
SOURCE_UNAVAILABLE = _shared(shared.SOURCE_UNAVAILABLE)
CLAIM_FULL = _shared(shared.CLAIM_FULL)
FETCH_FAILED = _shared(shared.FETCH_FAILED)
CLAIM_NOT_SHARED = Reason(
    "ClaimNotShared",
    "Serve from a claim that is ReadWriteMany or ReadOnlyMany; or run one replica, with rollout.strategy Recreate.",
)
DOES_NOT_FIT = Reason(
    shared.DOES_NOT_FIT, "Write more devices, another quantization, a shorter maxModelLength or another profile."
)
NEEDS_MULTIPLE_NODES = Reason(
    shared.NEEDS_MULTIPLE_NODES, "Write the nodes.count that the message names, or degrees that one node holds."
)
UNKNOWN_PROFILE = _shared(shared.UNKNOWN_PROFILE)
HOST_ACCESS_NOT_ALLOWED = _shared(shared.HOST_ACCESS_NOT_ALLOWED)
UNSUPPORTED = _shared(shared.UNSUPPORTED)
WAITING_FOR_CAPACITY = Reason(
    shared.WAITING_FOR_CAPACITY,
    "Free or add accelerators; during a rollout, rollout.strategy Recreate stops the old replicas first.",
)
WAITING_FOR_QUOTA = _shared(shared.WAITING_FOR_QUOTA)
IMAGE_PULL_FAILED = Reason(shared.IMAGE_PULL_FAILED, "Correct engine.image, or make the image pullable for the nodes.")
CONFIGURATION_MISSING = _shared(shared.CONFIGURATION_MISSING)
VOLUME_NOT_MOUNTED = _shared(shared.VOLUME_NOT_MOUNTED)
INIT_CONTAINER_FAILED = _shared(shared.INIT_CONTAINER_FAILED)
MODEL_NOT_FOUND = Reason(
    "ModelNotFound", "Copy the model into that folder of the claim, or correct the path in model.source.uri."
)
METRICS_UNAVAILABLE = Reason(
    "MetricsUnavailable",
    "Let an administrator look at the chart's prometheus.url, monitors, and externalMetrics or keda: replicas stay as they are.",
)
ENGINE_FAILING = Reason("EngineFailing", "Read the log of the engine container; correct the model or the engine.")
NAME_CONFLICT = _shared(shared.NAME_CONFLICT)
WAITING_FOR_PREDECESSOR = _shared(shared.WAITING_FOR_PREDECESSOR)
AUTOSCALER_OFF = Reason(
    "AutoscalerOff", "Write replicas: 1 or more, or leave it out: with 0 the autoscaler is switched off."
)
ANOTHER_AUTOSCALER = Reason(
    "AnotherAutoscaler",
    "Let one autoscaler scale DeepSeekServing itself, never what it makes: delete the named one, or leave autoscaling out.",
)
KEDA_NOT_ENABLED = Reason(
    "KEDANotEnabled",
    "Let the administrator set keda.enabled in the chart's values, or write autoscaling.backend: HPA: replicas stay as they are.",
)
NO_AUTOSCALER = Reason(
    "NoAutoscaler",
    "See kubectl describe scaledobject, and let an administrator see that KEDA runs: replicas stay as they are.",
)
UNKNOWN_ZONE = Reason(
    "UnknownZone", "Write a zone of the IANA database into autoscaling.schedules[].zone, for example Europe/Berlin."
)
FORBIDDEN = _shared(shared.FORBIDDEN)
REJECTED = _shared(shared.REJECTED)
WAITING_FOR_API = _shared(shared.WAITING_FOR_API)
ROUTE_ACCEPTED = Reason("RouteAccepted", "Nothing to do.")
ROUTE_PENDING = Reason(
    "RoutePending",
    "Let the administrator look: that Gateway must exist, and the controller of its GatewayClass must run; or correct gateway.parentRef.",
)
ROUTE_REFUSED = Reason(
    "RouteRefused",
    "Correct gateway.parentRef and gateway.hostnames, or ask the administrator to let this namespace's routes in (allowedRoutes of the listener).",
)
POLICY_ACCEPTED = Reason("PolicyAccepted", "Nothing to do.")
POLICY_PENDING = Reason("PolicyPending", "Wait until the gateway's controller has looked at the policy.")
POLICY_REFUSED = Reason(
    "PolicyRefused",
    "Edit what the message names, or let the administrator set it up: global rate limits, with a Redis, for gateway.limits.tokensPerMinute.",
)
POLICY_WITHOUT_EFFECT = Reason(
    "PolicyWithoutEffect",
    "Use a Gateway of Envoy Gateway, or set by the means of this one what the message names.",
)
GATE_NOT_ENABLED = Reason(
    "GateNotEnabled",
    "Let the administrator set gate.enabled and add this namespace to gate.namespaces in the chart's values, or leave out gateway.auth.",
)
MODELS_KNOWN = Reason("ModelsKnown", "Nothing to do.")
MODELS_ROLLING = Reason("ModelsRolling", "Wait until one version serves alone: versions know different names.")
MODEL_TAKEN = Reason(
    "ModelTaken",
    "Write other names as gateway.models, or as those of adapters; or take the name from the serving that has it: it is this one's within a minute.",
)
CACHE_USED = Reason("CacheUsed", "Nothing to do.")
CACHE_NOT_READY = Reason(
    "CacheNotReady",
    "Wait, or look at the pods of the Deployment that the message names: the image may be missing or another one than nginx with njs. Requests go to the replicas directly meanwhile.",
)
KEY_SHOWN = Reason("KeyShown", "Nothing to do.")
KEY_PENDING = Reason("KeyPending", "Wait until the gateway's controller has looked at the route, or see RouteReady.")
KEY_NOT_FOUND = Reason(
    "KeyNotFound",
    "Give the Secret that engine.apiKey names the entry credential beside the key: the word Bearer, a space and the key.",
)
KEY_WITHOUT_EFFECT = Reason(
    "KeyWithoutEffect",
    "Use a Gateway of Envoy Gateway; or leave out engine.apiKey, and let this one check clients' keys by its own means.",
)
NEW_DEFAULTS = Reason(
    "NewDefaults", "Nothing must be done. To roll out what this operator would make, annotate as the message says."
)
ROLLED_BACK = Reason("RolledBack", "Write in the spec what the message says, or remove the annotation.")
ROLLBACK_DONE = Reason("RollbackDone", "Nothing must be done: remove the annotation, which asks for nothing any more.")
UNKNOWN_REVISION = Reason(
    "UnknownRevision", "Write one of the revisions that the message lists into the annotation, or remove it."
)
CANARY = Reason("Canary", "Wait until the steps are over, or promote or roll back by annotation.")
CANARY_PAUSED = Reason("CanaryPaused", "Let it go on by the annotation that the message shows, or roll back.")
CANARY_HELD = Reason("CanaryHeld", "Look why nothing can be concluded; promote or roll back as the message shows.")
CANARY_COMPARED = Reason(
    "CanaryCompared",
    "Read the comparison; promote the new version or reject it by the annotation that the message shows.",
)
CANARY_REJECTED = Reason(
    "CanaryRejected", "Write another version, or what the message says; this one is not tried again as it is."
)
CANARY_EDITED = Reason("CanaryEdited", "Nothing must be done: to end the run now, promote it or roll back.")
TOO_LARGE = _shared(shared.TOO_LARGE)
INTERNAL_ERROR = _shared(shared.INTERNAL_ERROR)
API_UNAVAILABLE = Reason("ApiUnavailable", "Nothing to do: the operator tries again.")

ALL: tuple[Reason, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Reason))
BY_NAME = {reason.name: reason for reason in ALL}


def of_plan(refused: str) -> Reason:
    """The reason of a refused plan."""
    return {
        reason.name: reason for reason in (DOES_NOT_FIT, NEEDS_MULTIPLE_NODES, UNKNOWN_PROFILE, HOST_ACCESS_NOT_ALLOWED)
    }.get(refused, UNSUPPORTED)
