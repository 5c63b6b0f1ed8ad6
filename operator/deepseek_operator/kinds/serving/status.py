"""What is true of a serving, from one look: counts, address, conditions, and the strings of the printed columns.

Ready means that the floor is ready: the replicas asked for, or `minReplicas` under autoscaling. It does not go away
because a rollout or a wish for more replicas can't be met; Reconciling says that, with the cause.
"""

from collections.abc import Mapping

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import (
    KeptRevision,
    ResolvedModel,
    RevisionStatus,
    ServingStatus,
    ServingSummary,
)
from deepseek_operator.core.actions import Done, Failure
from deepseek_operator.core.conditions import Verdict, columns, merged, ready, reconciling, resting, stalled
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import Manifest, is_terminating
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.rollout import NONE, Replicas
from deepseek_operator.domain.policy.zero import Phase
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.benched import bench_status
from deepseek_operator.kinds.serving.canary import movement
from deepseek_operator.kinds.serving.children import SERVICE_PORT
from deepseek_operator.kinds.serving.exams import obstacle_of_exams
from deepseek_operator.kinds.serving.grpc_status import grpc_verdicts
from deepseek_operator.kinds.serving.labels import replica_selector, revision_named
from deepseek_operator.kinds.serving.names import serving_service
from deepseek_operator.kinds.serving.obstacles import Obstacle, obstacle
from deepseek_operator.kinds.serving.reasons import Reason
from deepseek_operator.kinds.serving.revision import model_of, pods_of, stored_revision, template_of
from deepseek_operator.kinds.serving.rivals import verdict as told_of_rivals
from deepseek_operator.kinds.serving.route_status import gateway_status, route_verdicts
from deepseek_operator.kinds.serving.routed import unrouted
from deepseek_operator.kinds.serving.sources import reference_digest
from deepseek_operator.kinds.serving.stalls import watchdog_status
from deepseek_operator.kinds.serving.view import View
from deepseek_operator.workloads.conflict import Leaving, LeftBehind, Strangers, occupant
from deepseek_operator.workloads.device_plan import warning_of
from deepseek_operator.workloads.owner import Owner
from deepseek_operator.workloads.refusal import refusal
from deepseek_operator.workloads.withdrawn import withdrawn

MAX_PREVIOUS = 16
MAX_REVISIONS = 16
"""Of ten that may be kept, and those in use beside them."""


def status(view: View, update: tuple[Verdict, ...], done: Done) -> ServingStatus:
    """The status to write; records are kept as they are. `update`: what is told of an update, see there."""
    owner, before, way = view.owner, view.status, view.rollout
    phase, verdicts = _verdicts(view, done)
    target = way.target.revision
    made = sum(_made(replicas) for replicas in view.running.values())
    others = [_told(view, name, replicas) for name, replicas in way.older.items()]
    told = (
        *view.scaling.conditions,
        *told_of_rivals(view.owner, view.rivals),
        *route_verdicts(view),
        *grpc_verdicts(view),
        *warning_of(before.plan),
        *_withdrawn(view),
        *view.rollback,
    )
    said = (*verdicts, *told, *update)
    conditions = merged(said, before.conditions, owner.metadata.generation, view.now)
    return ServingStatus(
        observed_generation=owner.metadata.generation,
        conditions=conditions,
        phase=phase,
        replicas=min(made, view.replicas),
        ready_replicas=view.serving,
        selector=",".join(f"{key}={value}" for key, value in sorted(replica_selector(owner).items())),
        url=f"http://{serving_service(owner.metadata.name)}.{owner.metadata.namespace}.svc:{SERVICE_PORT}",
        resolved=before.resolved,
        sources=before.sources,
        plan=before.plan,
        current=_told(view, target, way.current) if target else None,
        previous=others[-MAX_PREVIOUS:],
        revisions=_revisions(view),
        canary=before.canary,
        stable=way.stable,
        spent_rollback=before.spent_rollback,
        running_replicas=before.running_replicas,
        autoscaling=view.scaling.told,
        sleep=before.sleep,
        gateway=gateway_status(view),
        watchdog=watchdog_status(before.watchdog, view.pods, view.spec.engine.watchdog is not None),
        bench=bench_status(before.bench, view.seen),
        summary=ServingSummary(
            **columns(conditions), replicas=f"{view.serving}/{view.wanted}", model=_models_told(view)
        ),
    )


def _revisions(view: View) -> list[KeptRevision]:
    """Those that can be gone back to, the newest first."""
    kept = [one for one in reversed(view.stored) if not is_terminating(one)]
    routed = gateway_status(view)
    weights = {one.revision: one.percent for one in routed.weights} if routed is not None else {}
    return [_kept(view, revision_named(one), one["metadata"], weights) for one in kept[:MAX_REVISIONS]]


def _kept(view: View, name: str, metadata: Manifest, weights: Mapping[str, int]) -> KeptRevision:
    """`weights`: what the live route says, in percent; empty without one, where nobody knows who gets what."""
    model, since = model_of(view.seen, name), parse_time(metadata.get("creationTimestamp"))
    return KeptRevision(
        name=name,
        model=model.told if model is not None else "",
        step=model.step if model is not None else None,
        since=rfc3339(since) if since is not None else "",
        weight=weights.get(name, 0) if weights else None,
        nodes=_nodes(view, name),
        **_counts(view.running.get(name, NONE)),
    )


def _withdrawn(view: View) -> tuple[Verdict, ...]:
    """What is said where revisions run with access to nodes that is no longer allowed."""
    names = [name for name, replicas in view.running.items() if replicas.total or replicas.specified]
    running = [(_profile(view, name), template) for name in names if (template := template_of(view.seen, name))]
    return withdrawn(running, view.owner.metadata.namespace, view.configuration, "revision")


def _profile(view: View, revision: str) -> str:
    """The profile that a revision was rendered by; where its record does not say, that of the serving's plan."""
    stored = stored_revision(view.seen, revision)
    plan = ((stored or {}).get("data") or {}).get("plan") or {}
    return str(plan.get("profile") or (view.status.plan.profile if view.status.plan is not None else ""))


def _counts(replicas: Replicas) -> dict[str, int]:
    return {"replicas": _made(replicas), "ready": replicas.serving}


def _told(view: View, name: str, replicas: Replicas) -> RevisionStatus:
    return RevisionStatus(name=name, nodes=_nodes(view, name), **_counts(replicas))


def _nodes(view: View, revision: str) -> int | None:
    """Pods of a replica, where they are several."""
    pods = pods_of(view.seen, revision)
    return pods.nodes if pods is not None and pods.nodes > 1 else None


def _made(replicas: Replicas) -> int:
    """Pods of the replicas asked for; those that are ending have no place in it."""
    return min(replicas.total, replicas.specified)


def _models_told(view: View) -> str:
    """What answers, and where that is another model than the wanted one, both: `uppercase@200 → uppercase@400`."""
    answers = [model_of(view.seen, name) for name, replicas in view.rollout.older.items() if replicas.serving]
    models = [*answers, _wanted_model(view)]
    return " → ".join(dict.fromkeys(model.told for model in models if model is not None))


def _wanted_model(view: View) -> ResolvedModel | None:
    """What the spec asks for, once it is known; else what runs meanwhile."""
    resolved, goal = view.status.resolved, view.rollout.target
    if view.rolled_back is not None:
        return model_of(view.seen, view.rolled_back)
    if goal.obstacle is not None and (resolved is None or resolved.reference != reference_digest(view.spec.model)):
        return model_of(view.seen, goal.revision) if goal.revision is not None else None
    return goal.model or resolved


Told = tuple[str, tuple[Verdict, ...]]
"""The phase for people, and the conditions."""


def _verdicts(view: View, done: Done) -> Told:
    """The first thing that is to be said, from what stops everything down to what merely takes time."""
    owner, obstacle, serves = view.owner, view.rollout.target.obstacle, _floor_is_ready(view)
    if owner.metadata.is_deleting:
        return "Deleting", reconciling(reasons.DELETING.name, "the replicas are being removed", serves=serves)
    if view.seen.occupied:
        return _occupied(view.seen, serves)
    if (failed := _failed(done.failure, serves)) is not None:
        return failed
    if obstacle is not None:
        verdict = stalled if obstacle.final else reconciling
        told = _with_advice(obstacle.message, obstacle.reason)
        return "Failed" if obstacle.final else "Pending", verdict(obstacle.reason.name, told, serves=serves)
    if owner.spec.suspend:
        return _suspended(view)
    if owner.spec.autoscaling is not None and owner.spec.replicas == 0:
        told = _with_advice("spec.replicas is 0", reasons.AUTOSCALER_OFF)
        return "Failed", stalled(reasons.AUTOSCALER_OFF.name, told, serves=serves)
    if owner.spec.autoscaling is not None and (unknown := owner.spec.autoscaling.unknown_zones):
        message = f"no zone is called {' or '.join(unknown)}: schedules in it are never in force"
        told = _with_advice(message, reasons.UNKNOWN_ZONE)
        return "Failed", stalled(reasons.UNKNOWN_ZONE.name, told, serves=serves)
    if view.is_asleep:
        return _asleep(view)
    return _rolling(view, serves)


def _asleep(view: View) -> Told:
    """Ready, as it does what was asked: whoever asks by the gateway is answered."""
    idle_since = view.sleep.idle_since if view.sleep is not None else None
    left = sum(replicas.total for replicas in view.running.values())
    ends = f"; replicas that are ending: {left}" if left else ""
    since = f" since {rfc3339(idle_since)}" if idle_since is not None else ""
    return "Asleep", ready(reasons.ASLEEP.name, f"nobody has asked{since}: no replica runs until somebody does{ends}")


def _floor_is_ready(view: View) -> bool:
    floor = min(view.bounds.least, view.wanted) if view.bounds is not None else view.wanted
    return not view.spec.suspend and bool(view.running) and view.serving >= floor


def _with_advice(message: str, reason: Reason) -> str:
    return f"{message.rstrip('.')}. {reason.advice}"


def _occupied(seen: Seen[DeepSeekServing], serves: bool) -> Told:
    """Of several taken names, one that nobody will free goes before one that will be free."""
    meta = seen.owner.metadata
    owner = Owner(SERVING, meta.name, meta.namespace, meta.uid)
    whose = {ref: occupant(owner, manifest) for ref, manifest in seen.occupied.items()}
    ref = min(whose, key=lambda ref: (isinstance(whose[ref], Leaving), ref))
    match whose[ref]:
        case Leaving():
            message = f"{ref} of a deleted resource of this name is still there"
            return "Pending", reconciling(reasons.WAITING_FOR_PREDECESSOR.name, message, serves=serves)
        case LeftBehind(uid):
            told = (
                f"{ref} was left behind when an earlier serving of this name was deleted alone (--cascade=orphan), and may "
                f"be all that is found by -l {OWNER_UID}={uid}"
            )
        case Strangers():
            told = f"{ref} exists and belongs to somebody else"
    message = _with_advice(told, reasons.NAME_CONFLICT)
    return "Failed", stalled(reasons.NAME_CONFLICT.name, message, serves=serves)


def _failed(failure: Failure | None, serves: bool) -> Told | None:
    """What the API server refused; a conflict is merely a reason to look again."""
    if failure is None or failure.reason == "Conflict":
        return None
    found = refusal(failure)
    reason = reasons.BY_NAME[found.reason] if found is not None else reasons.API_UNAVAILABLE
    message = _with_advice(failure.message, reason)
    if found is not None and found.is_final:
        return "Failed", stalled(reason.name, message, serves=serves)
    return "Pending", reconciling(reason.name, message, serves=serves)


def _suspended(view: View) -> Told:
    left = sum(replicas.total for replicas in view.running.values())
    if left:
        return "Suspended", reconciling(reasons.SUSPENDING.name, f"replicas that are ending: {left}")
    return "Suspended", resting(reasons.SUSPENDED.name, "suspend is true: no replica runs")


_FAILING = (reasons.ENGINE_FAILING, reasons.IMAGE_PULL_FAILED, reasons.MODEL_NOT_FOUND, reasons.CONFIGURATION_MISSING)


def _rolling(view: View, serves: bool) -> Told:
    way = view.rollout
    if way.is_complete and view.is_rejected:
        return "RolledBack", stalled(reasons.CANARY_REJECTED.name, view.rollback[0].message, serves=serves)
    if way.is_complete:
        return "Available" if view.rolled_back is None else "RolledBack", _available(view)
    revision = way.target.revision or ""
    phase, reason, message = _movement(view, revision)
    found = obstacle(view, revision, way.target.model or model_of(view.seen, revision))
    if found is None and (kept := obstacle_of_exams(view)) is not None:
        # Nothing that serves: the phase stays, and what an exam waits for is told in its place.
        found = Obstacle(reasons.BY_NAME[kept.reason], f"an exam waits: {kept.message}")
        return phase, reconciling(
            found.reason.name, _with_advice(f"{message}; {found.message}", found.reason), serves=serves
        )
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


def _available(view: View) -> tuple[Verdict, ...]:
    message = f"{view.wanted} of {view.wanted} replicas serve{_held(view)}"
    if (blind := view.scaling.blindness) is None:
        return ready(reasons.AVAILABLE.name, message)
    told = _with_advice(f"{message}; the autoscaler can't see its metrics: {blind}", reasons.METRICS_UNAVAILABLE)
    return ready(reasons.METRICS_UNAVAILABLE.name, told)


def _movement(view: View, revision: str) -> tuple[str, Reason, str]:
    way, wanted = view.rollout, view.wanted
    if view.run is not None and view.run.is_open and view.rolled_back is None:
        lacking = unrouted(view.owner, view.route, view.run)
        compared = view.comparison.table if view.comparison is not None else None
        return "Canary", *movement(view.owner, view.run, wanted, view.running, lacking, compared)
    if view.sleep is not None and view.sleep.phase is Phase.WAKING:
        return "Waking", reasons.WAKING, f"{view.sleep.why}: {way.current.serving} of {wanted} replicas serve"
    current, old = way.current, sum(replicas.total for replicas in way.older.values())
    ready_now = f"{current.serving} of {wanted} replicas serve"
    if old:
        message = f"revision {revision}: {ready_now}, {old} of older revisions are left{_still_reached(view)}"
        return "Rolling", reasons.ROLLING, message
    if current.total > wanted:
        return "Scaling", reasons.SCALING, f"{wanted} of {current.total} replicas stay, the others end"
    if way.stable == revision:
        return "Scaling", reasons.SCALING, f"{ready_now}, {current.total} run"
    return "Loading", reasons.LOADING, f"{ready_now}, {current.total} run"


def _still_reached(view: View) -> str:
    """Says which revision waits for the gateway before its replicas may end."""
    scaled = view.rivals.of_revisions
    kept = [name for name, count in view.step.items() if count != view.rollout.step[name] and name not in scaled]
    return f"; {kept[0]} stays until the gateway has seen that it gets no requests" if kept else ""


def _held(view: View) -> str:
    """Says that more run than the register asks for, and why."""
    asked, scaling = view.spec.replicas, view.scaling
    if view.spec.autoscaling is None or view.wanted <= asked:
        return ""
    is_told = scaling.told is not None and scaling.told.reason and scaling.blindness is None
    why = f" ({scaling.told.reason}: {scaling.told.message})" if scaling.told is not None and is_told else ""
    return f"; held there until the autoscaler, with valid metrics, wants {asked}{why}"
