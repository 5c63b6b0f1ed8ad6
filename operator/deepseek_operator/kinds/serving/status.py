"""What is true of a serving, from one look: counts, address, conditions, and the strings of the printed columns.

Ready means that the floor is ready: the replicas asked for, or `minReplicas` under autoscaling. It does not go away
because a rollout or a wish for more replicas can't be met; Reconciling says that, with the cause.
"""

from collections.abc import Mapping, Sequence

from deepseek_operator.api.v1alpha1.serving import (
    DeepSeekServing,
    RevisionStatus,
    ScalingStatus,
    ServingStatus,
    ServingSummary,
)
from deepseek_operator.core.actions import Done, Failure
from deepseek_operator.core.conditions import Verdict, merged, ready, reconciling, resting, stalled
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.device_plan import warning_of
from deepseek_operator.core.names import serving_service
from deepseek_operator.core.resources import SERVING, Manifest, controller_of, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.rollout import NONE, Replicas
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.children import SERVICE_PORT
from deepseek_operator.kinds.serving.gate import live_autoscaler, running_replicas, scaler_condition
from deepseek_operator.kinds.serving.labels import replica_selector
from deepseek_operator.kinds.serving.obstacles import obstacle
from deepseek_operator.kinds.serving.reasons import Reason
from deepseek_operator.kinds.serving.rollout import Target, running_revisions, target, wanted_replicas
from deepseek_operator.kinds.serving.update import update_of

MAX_PREVIOUS = 16


def status(seen: Seen[DeepSeekServing], done: Done, configuration: Configuration) -> ServingStatus:
    """The status to write; records are kept as they are."""
    owner, before = seen.owner, seen.owner.status
    goal, running = target(seen), running_revisions(seen)
    phase, verdicts = _verdicts(seen, done, goal, running)
    current = RevisionStatus(name=goal.revision, **_counts(running.get(goal.revision))) if goal.revision else None
    others = [RevisionStatus(name=name, **_counts(r)) for name, r in running.items() if name != goal.revision]
    complete = goal.revision is not None and _is_complete(goal.revision, running, wanted_replicas(seen))
    made = sum(_made(replicas) for replicas in running.values())
    ready_replicas = sum(replicas.serving for replicas in running.values())
    return ServingStatus(
        observed_generation=owner.metadata.generation,
        conditions=merged(
            (*verdicts, *warning_of(before.plan), *update_of(seen, goal, configuration)),
            before.conditions,
            owner.metadata.generation,
            seen.now,
        ),
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
        autoscaling=_scaling(seen),
        summary=ServingSummary(replicas=f"{ready_replicas}/{wanted_replicas(seen)}", model=_model_told(owner)),
    )


def _counts(replicas: Replicas | None) -> dict[str, int]:
    replicas = replicas or NONE
    return {"replicas": _made(replicas), "ready": replicas.serving}


def _made(replicas: Replicas) -> int:
    """Pods of the replicas asked for; those that are ending have no place in it."""
    return min(replicas.total, replicas.specified)


def _is_complete(revision: str, running: Mapping[str, Replicas], wanted: int) -> bool:
    """Only the target runs, as many as wanted, and all serve."""
    alone = all(name == revision or (r.specified, r.total) == (0, 0) for name, r in running.items())
    replicas = running.get(revision, NONE)
    return alone and replicas.specified == replicas.total == replicas.serving == wanted


def _scaling(seen: Seen[DeepSeekServing]) -> ScalingStatus | None:
    """What the autoscaler says, in its words; None without autoscaling."""
    if seen.owner.spec.autoscaling is None or seen.owner.spec.suspend:
        return None
    live = live_autoscaler(seen)
    if live is None:
        return ScalingStatus(reason="NoAutoscaler", message="the HorizontalPodAutoscaler does not exist yet")
    active = scaler_condition(live, "ScalingActive")
    able = scaler_condition(live, "AbleToScale")
    told = able if able.get("status") == "False" else active
    return ScalingStatus(
        active=active.get("status") == "True",
        desired=(live.get("status") or {}).get("desiredReplicas"),
        reason=str(told.get("reason", "")),
        message=str(told.get("message", ""))[:1024],
    )


def _model_told(owner: DeepSeekServing) -> str:
    resolved = owner.status.resolved
    if resolved is None:
        return ""
    if resolved.step is not None:
        return f"{resolved.training}@{resolved.step}"
    return f"{resolved.claim_name}/{resolved.sub_path}".rstrip("/")


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
    return _rolling(seen, goal.revision or "", running, serves)


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
    message = _with_advice(f"{ref} exists and belongs to somebody else", reasons.NAME_CONFLICT)
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
        return "Suspended", reconciling(reasons.SUSPENDING.name, f"{left} replicas are ending")
    return "Suspended", resting(reasons.SUSPENDED.name, "suspend is true: no replica runs")


def _rolling(seen: Seen[DeepSeekServing], revision: str, running: Mapping[str, Replicas], serves: bool) -> Told:
    wanted, current = wanted_replicas(seen), running.get(revision, NONE)
    if _is_complete(revision, running, wanted):
        return "Available", ready(reasons.AVAILABLE.name, f"{wanted} of {wanted} replicas serve{_held(seen)}")
    phase, reason, message = _movement(seen, revision, current, running, wanted)
    if (found := obstacle(seen)) is not None:
        phase = "WaitingForCapacity" if found.reason == reasons.WAITING_FOR_CAPACITY else phase
        reason, message = found.reason, _with_advice(f"{message}; {found.message}", found.reason)
    return phase, reconciling(reason.name, message, serves=serves)


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
    scaling = _scaling(seen)
    why = f" ({scaling.reason}: {scaling.message})" if scaling is not None and scaling.reason else ""
    return f"; held there until the autoscaler, with valid metrics, wants {seen.owner.spec.replicas}{why}"
