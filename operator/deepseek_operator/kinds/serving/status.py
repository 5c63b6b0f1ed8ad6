"""What is true of a serving, from one look: counts, address, conditions, and the strings of the printed columns.

Ready means that the floor is ready: the replicas asked for, or `minReplicas` under autoscaling. It does not go away
because a rollout or a wish for more replicas can't be met; Reconciling says that, with the cause.
"""

from collections.abc import Mapping, Sequence

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel, RevisionStatus, ServingStatus, ServingSummary
from deepseek_operator.core.actions import Done, Failure
from deepseek_operator.core.conditions import Verdict, columns, merged, ready, reconciling, resting, stalled
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import OWNER_UID, serving_service
from deepseek_operator.core.ownership import left_by
from deepseek_operator.core.resources import SERVING, Manifest, controller_of, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.rollout import NONE, Replicas
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.children import SERVICE_PORT
from deepseek_operator.kinds.serving.gate import running_replicas
from deepseek_operator.kinds.serving.labels import replica_selector, revision_of
from deepseek_operator.kinds.serving.model import reference_digest
from deepseek_operator.kinds.serving.obstacles import Obstacle, obstacle
from deepseek_operator.kinds.serving.reasons import Reason
from deepseek_operator.kinds.serving.revision import model_of
from deepseek_operator.kinds.serving.rollout import (
    Target,
    living_pods,
    running_revisions,
    target,
    wanted_replicas,
)
from deepseek_operator.kinds.serving.scaling import blindness, scaling_of, scaling_status
from deepseek_operator.kinds.serving.update import update_of
from deepseek_operator.workloads.device_plan import warning_of

MAX_PREVIOUS = 16


def status(seen: Seen[DeepSeekServing], done: Done, configuration: Configuration) -> ServingStatus:
    """The status to write; records are kept as they are."""
    owner, before = seen.owner, seen.owner.status
    goal, running = target(seen), running_revisions(seen)
    phase, verdicts = _verdicts(seen, done, goal, running)
    current = RevisionStatus(name=goal.revision, **_counts(running.get(goal.revision))) if goal.revision else None
    others = [RevisionStatus(name=name, **_counts(r)) for name, r in running.items() if name != goal.revision]
    complete = goal.revision is not None and _is_complete(seen, goal.revision, running)
    made = sum(_made(replicas) for replicas in running.values())
    ready_replicas = sum(replicas.serving for replicas in running.values())
    said = (*verdicts, *scaling_of(seen), *warning_of(before.plan), *update_of(seen, goal, configuration))
    conditions = merged(said, before.conditions, owner.metadata.generation, seen.now)
    return ServingStatus(
        observed_generation=owner.metadata.generation,
        conditions=conditions,
        phase=phase,
        replicas=min(made, running_replicas(seen)),
        ready_replicas=ready_replicas,
        selector=",".join(f"{key}={value}" for key, value in sorted(replica_selector(owner).items())),
        url=f"http://{serving_service(owner.metadata.name)}.{owner.metadata.namespace}.svc:{SERVICE_PORT}",
        resolved=before.resolved,
        plan=before.plan,
        current=current,
        previous=others[-MAX_PREVIOUS:],
        stable=goal.revision if complete and goal.revision and not owner.spec.suspend else before.stable,
        running_replicas=before.running_replicas,
        autoscaling=scaling_status(seen),
        summary=ServingSummary(
            **columns(conditions),
            replicas=f"{ready_replicas}/{wanted_replicas(seen)}",
            model=_models_told(seen, goal, running),
        ),
    )


def _counts(replicas: Replicas | None) -> dict[str, int]:
    replicas = replicas or NONE
    return {"replicas": _made(replicas), "ready": replicas.serving}


def _made(replicas: Replicas) -> int:
    """Pods of the replicas asked for; those that are ending have no place in it."""
    return min(replicas.total, replicas.specified)


def _is_complete(seen: Seen[DeepSeekServing], revision: str, running: Mapping[str, Replicas]) -> bool:
    """Only the target runs, as many as wanted, and all serve. Those that are ending are no replicas any more."""
    alone = all(name == revision or (r.specified, r.total) == (0, 0) for name, r in running.items())
    replicas, wanted = running.get(revision, NONE), wanted_replicas(seen)
    ending = sum(revision_of(pod) == revision and is_terminating(pod) for pod in living_pods(seen))
    stay = replicas.total - min(ending, max(replicas.total - wanted, 0))
    return alone and replicas.specified == stay == replicas.serving == wanted


def _models_told(seen: Seen[DeepSeekServing], goal: Target, running: Mapping[str, Replicas]) -> str:
    """What answers, and where that is another model than the wanted one, both: `uppercase@200 → uppercase@400`."""
    answers = [model_of(seen, name) for name, r in running.items() if r.serving and name != goal.revision]
    wanted = _wanted_model(seen, goal)
    models = [*answers, *([wanted] if wanted is not None else [])]
    return " → ".join(dict.fromkeys(_model_told(model) for model in models if model is not None))


def _wanted_model(seen: Seen[DeepSeekServing], goal: Target) -> ResolvedModel | None:
    """What the spec asks for, once it is known; else what runs meanwhile."""
    resolved = seen.owner.status.resolved
    if goal.obstacle is not None and (
        resolved is None or resolved.reference != reference_digest(seen.owner.spec.model)
    ):
        return model_of(seen, goal.revision) if goal.revision is not None else None
    return goal.model or resolved


def _model_told(model: ResolvedModel) -> str:
    if model.step is not None:
        return f"{model.training}@{model.step}"
    return f"{model.claim_name}/{model.sub_path}".rstrip("/")


Told = tuple[str, tuple[Verdict, ...]]
"""The phase for people, and the conditions."""


def _verdicts(seen: Seen[DeepSeekServing], done: Done, goal: Target, running: Mapping[str, Replicas]) -> Told:
    """The first thing that is to be said, from what stops everything down to what merely takes time."""
    owner, serves = seen.owner, _floor_is_ready(seen, running)
    if owner.metadata.is_deleting:
        return "Deleting", reconciling(reasons.DELETING.name, "the replicas are being removed", serves=serves)
    if seen.occupied:
        return _occupied(seen, serves)
    if (failed := _failed(done.failure, serves)) is not None:
        return failed
    if goal.obstacle is not None:
        verdict = stalled if goal.obstacle.final else reconciling
        told = _with_advice(goal.obstacle.message, goal.obstacle.reason)
        return "Failed" if goal.obstacle.final else "Pending", verdict(goal.obstacle.reason.name, told, serves=serves)
    if owner.spec.suspend:
        return _suspended(running)
    if owner.spec.autoscaling is not None and owner.spec.replicas == 0:
        told = _with_advice("spec.replicas is 0", reasons.AUTOSCALER_OFF)
        return "Failed", stalled(reasons.AUTOSCALER_OFF.name, told, serves=serves)
    return _rolling(seen, goal, running, serves)


def _floor_is_ready(seen: Seen[DeepSeekServing], running: Mapping[str, Replicas]) -> bool:
    wanted, autoscaling = wanted_replicas(seen), seen.owner.spec.autoscaling
    floor = min(autoscaling.min_replicas, wanted) if autoscaling is not None else wanted
    serving = sum(replicas.serving for replicas in running.values())
    return not seen.owner.spec.suspend and bool(running) and serving >= floor


def _with_advice(message: str, reason: Reason) -> str:
    return f"{message.rstrip('.')}. {reason.advice}"


def _occupied(seen: Seen[DeepSeekServing], serves: bool) -> Told:
    ref, other = min(seen.occupied.items(), key=lambda item: (_is_predecessor(item[1], seen.owner), item[0]))
    if _is_predecessor(other, seen.owner):
        message = f"{ref} of a deleted resource of this name is still there"
        return "Pending", reconciling(reasons.WAITING_FOR_PREDECESSOR.name, message, serves=serves)
    told = f"{ref} exists and belongs to somebody else"
    if left := left_by(SERVING, seen.owner.metadata.name, seen.owner.metadata.uid, other):
        told = (
            f"{ref} was left behind when an earlier serving of this name was deleted alone (--cascade=orphan), and may "
            f"be all that is found by -l {OWNER_UID}={left}"
        )
    message = _with_advice(told, reasons.NAME_CONFLICT)
    return "Failed", stalled(reasons.NAME_CONFLICT.name, message, serves=serves)


def _is_predecessor(other: Manifest, owner: DeepSeekServing) -> bool:
    """True when the object is on its way out: terminating, or left by a resource of this name with another uid."""
    controller = controller_of(other) or {}
    left = (controller.get("kind"), controller.get("name")) == (SERVING.kind, owner.metadata.name)
    return is_terminating(other) or (left and controller.get("uid") != owner.metadata.uid)


def _failed(failure: Failure | None, serves: bool) -> Told | None:
    """What the API server refused; a conflict is merely a reason to look again."""
    if failure is None or failure.reason == "Conflict":
        return None
    if failure.reason == "Rejected":
        message = _with_advice(failure.message, reasons.REJECTED)
        return "Failed", stalled(reasons.REJECTED.name, message, serves=serves)
    reason = {"Quota": reasons.WAITING_FOR_QUOTA, "Forbidden": reasons.FORBIDDEN}.get(
        failure.reason, reasons.API_UNAVAILABLE
    )
    return "Pending", reconciling(reason.name, _with_advice(failure.message, reason), serves=serves)


def _suspended(running: Mapping[str, Replicas]) -> Told:
    left = sum(replicas.total for replicas in running.values())
    if left:
        return "Suspended", reconciling(reasons.SUSPENDING.name, f"replicas that are ending: {left}")
    return "Suspended", resting(reasons.SUSPENDED.name, "suspend is true: no replica runs")


_FAILING = (reasons.ENGINE_FAILING, reasons.IMAGE_PULL_FAILED, reasons.MODEL_NOT_FOUND, reasons.CONFIGURATION_MISSING)


def _rolling(seen: Seen[DeepSeekServing], goal: Target, running: Mapping[str, Replicas], serves: bool) -> Told:
    wanted, revision = wanted_replicas(seen), goal.revision or ""
    if _is_complete(seen, revision, running):
        return "Available", _available(seen, wanted)
    phase, reason, message = _movement(seen, revision, running.get(revision, NONE), running, wanted)
    found = obstacle(seen, revision, goal.model or model_of(seen, revision))
    if found is None:
        return phase, reconciling(reason.name, message, serves=serves)
    told = _with_advice(f"{message}; {found.message}", found.reason)
    verdict = stalled if found.final else reconciling
    return _phase_of(found, phase), verdict(found.reason.name, told, serves=serves)


def _phase_of(found: Obstacle, phase: str) -> str:
    if found.final:
        return "Failed"
    if found.reason in _FAILING:
        return "Failing"
    return "WaitingForCapacity" if found.reason == reasons.WAITING_FOR_CAPACITY else phase


def _available(seen: Seen[DeepSeekServing], wanted: int) -> tuple[Verdict, ...]:
    message = f"{wanted} of {wanted} replicas serve{_held(seen)}"
    if (blind := blindness(seen)) is None:
        return ready(reasons.AVAILABLE.name, message)
    told = _with_advice(f"{message}; the autoscaler can't see its metrics: {blind}", reasons.METRICS_UNAVAILABLE)
    return ready(reasons.METRICS_UNAVAILABLE.name, told)


def _movement(
    seen: Seen[DeepSeekServing], revision: str, current: Replicas, running: Mapping[str, Replicas], wanted: int
) -> tuple[str, Reason, str]:
    others: Sequence[Replicas] = [replicas for name, replicas in running.items() if name != revision]
    old = sum(replicas.total for replicas in others)
    ready_now = f"{current.serving} of {wanted} replicas serve"
    if old:
        return "Rolling", reasons.ROLLING, f"revision {revision}: {ready_now}, {old} of older revisions are left"
    if current.total > wanted:
        return "Scaling", reasons.SCALING, f"{wanted} of {current.total} replicas stay, the others end"
    if seen.owner.status.stable == revision:
        return "Scaling", reasons.SCALING, f"{ready_now}, {current.total} run"
    return "Loading", reasons.LOADING, f"{ready_now}, {current.total} run"


def _held(seen: Seen[DeepSeekServing]) -> str:
    """Says that more run than the register asks for, and why."""
    if seen.owner.spec.autoscaling is None or wanted_replicas(seen) <= seen.owner.spec.replicas:
        return ""
    scaling = scaling_status(seen)
    is_told = scaling is not None and scaling.reason and blindness(seen) is None
    why = f" ({scaling.reason}: {scaling.message})" if scaling is not None and is_told else ""
    return f"; held there until the autoscaler, with valid metrics, wants {seen.owner.spec.replicas}{why}"
