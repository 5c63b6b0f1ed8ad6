"""What to do now: record what can't be observed, store a new revision, apply what drifted, delete what is over.

The order is the lifecycle. The model and the number of replicas are recorded before anything relies on them; a
revision's template is stored before a group of replicas uses it, and read back in a later pass; what serves is applied
before what is taken away. Deleting the resource needs nothing of us: every child names it as its controller.
"""

from collections.abc import Iterator
from datetime import timedelta

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel, ServingStatus
from deepseek_operator.core.actions import Action, Apply, Create, Delete, Done, Plan
from deepseek_operator.core.drift import needs_apply
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BACKEND_TRAFFIC_POLICY,
    BUDGET,
    CONFIG_MAP,
    GRPC_ROUTE,
    HTTP_ROUTE,
    HTTP_ROUTE_FILTER,
    LEASE,
    OPTIONAL,
    SCALED_OBJECT,
    SECURITY_POLICY,
    SERVICE,
    Manifest,
    is_terminating,
    ref_of,
    uid_of,
)
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.canary import waits
from deepseek_operator.kinds.serving.autoscaler import scaled_objects
from deepseek_operator.kinds.serving.canary import recorded
from deepseek_operator.kinds.serving.children import children, routes
from deepseek_operator.kinds.serving.exams import dismissed, marks_of_exams, sittings
from deepseek_operator.kinds.serving.fetches import errands
from deepseek_operator.kinds.serving.labels import revision_named
from deepseek_operator.kinds.serving.names import is_of_a_cache
from deepseek_operator.kinds.serving.revision import (
    controller_revision,
    marks,
    pods_of,
    stored_revision,
    superfluous,
    template_of,
)
from deepseek_operator.kinds.serving.rollback import spent
from deepseek_operator.kinds.serving.running import ending_left
from deepseek_operator.kinds.serving.sleep import next_look
from deepseek_operator.kinds.serving.sleep import recorded as slept
from deepseek_operator.kinds.serving.status import status
from deepseek_operator.kinds.serving.template import rendered
from deepseek_operator.kinds.serving.view import View
from deepseek_operator.workloads.replicas.group import RESOURCES

WAITING = timedelta(seconds=30)
"""How soon something that nobody may tell us about (a stranger's object at one of our names, another serving's name for
clients) is looked at again."""


_ENDING = (AUTOSCALER, BUDGET, SERVICE, CONFIG_MAP, LEASE, *OPTIONAL, *RESOURCES)
"""Children that are deleted when they are not wanted any more."""
_WITHOUT_USE = {
    HTTP_ROUTE: "it leads to nobody any more",
    GRPC_ROUTE: "it leads to nobody any more",
    BACKEND_TRAFFIC_POLICY: "it hangs on no gateway any more",
    SECURITY_POLICY: "nobody is judged any more",
    HTTP_ROUTE_FILTER: "no request gets this key any more",
    CONFIG_MAP: "nobody is judged any more",
    LEASE: "it sleeps no more",
}


def plan(view: View) -> Plan[ServingStatus]:
    """The actions of this pass, or the record that must come first."""
    if view.owner.metadata.is_deleting:
        return Plan()
    if (record := _record(view)) is not None:
        return Plan(record=record, confirm=True)
    waiting, target = _waiting(view), view.rollout.target.revision
    if view.seen.occupied:
        return Plan(requeue_after=waiting)
    actions = tuple(_actions(view, target) if target is not None else _errands(view))
    makes = any(isinstance(action, Apply) and action.uid is None for action in actions)
    return Plan(actions=actions, requeue_after=waiting, confirm=makes)


def _waiting(view: View) -> timedelta | None:
    """When to look again although nothing tells us to; None: only when something does."""
    is_held = view.rollout.target.obstacle is not None or view.seen.occupied or view.taken
    unseen = WAITING if is_held else view.scaling.window_left
    blind = view.scaling.blind_left
    untold = blind if blind is not None and blind > timedelta(0) else None
    left = ending_left(view.pods, view.now)
    steps = waits(view.run, view.now) if view.run is not None else None
    judged = view.baking.waits if view.baking is not None else None
    asked = next_look(view.owner, view.sleep, view.now)
    change = view.bounds.next_change if view.bounds is not None and not view.spec.suspend else None
    scheduled = change - view.now if change is not None else None
    fetched = (one.waits for one in view.fetches)
    times = (unseen, left, untold, steps, judged, asked, scheduled, *fetched)
    return min((time for time in times if time is not None), default=None)


def _record(view: View) -> ServingStatus | None:
    """The status with what must be remembered before it is used; None when it says so already."""
    before = view.status
    resolved = view.resolution if isinstance(view.resolution, ResolvedModel) else before.resolved
    done = spent(view.owner, view.asked)
    update = {
        "resolved": resolved,
        "sources": [one.after for one in view.fetches],
        "running_replicas": view.replicas,
        "sleep": slept(view.sleep),
        "plan": view.devices,
        "spent_rollback": done,
        "canary": recorded(
            view.run,
            view.owner,
            view.baking.after if view.baking is not None else None,
            view.baking.exams if view.baking is not None else None,
            view.comparison.table if view.comparison is not None else None,
        ),
    }
    if all(getattr(before, name) == value for name, value in update.items()):
        return None
    return status(view, view.update, Done()).model_copy(update=update)


def _actions(view: View, target: str) -> Iterator[Action]:
    yield from _stores(view, target)
    yield from _marks(view)
    if template_of(view.seen, target) is None:
        return
    wanted, routed, unserved = children(view, target), routes(view), view.seen.unserved
    scaled = scaled_objects(view.seen, view.configuration, view.bounds) if not view.is_asleep else ()
    groups = tuple(manifest for manifest in wanted if ref_of(manifest).resource in unserved)
    every = (*wanted, *routed, *scaled)
    # What is refused ends the pass: nothing else waits for it.
    refused = (*groups, *(routed if HTTP_ROUTE in unserved else ()), *(scaled if SCALED_OBJECT in unserved else ()))
    yield from _applies(view.seen, tuple(manifest for manifest in every if manifest not in refused))
    yield from _deletes(view, target, every)
    yield from _errands(view)
    yield from sittings(view)
    yield from _applies(view.seen, refused)


def _errands(view: View) -> Iterator[Action]:
    yield from dismissed(view)
    yield from errands(view)


def _stores(view: View, target: str) -> Iterator[Create]:
    """Revisions that run or shall run and have no record: rendered if new, else restored from what runs."""
    seen, number = view.seen, max(view.ages.values(), default=0)
    for name in sorted({*view.running, target}):
        if stored_revision(seen, name) is not None:
            continue
        model = view.rollout.target.model if name == target else None
        live = pods_of(seen, name)
        pods = rendered(view.owner, name, model, view.configuration) if live is None and model is not None else live
        if pods is not None:
            number += 1
            yield Create(controller_revision(view.owner, name, number, pods, model, restored=live is not None))


def _marks(view: View) -> Iterator[Apply]:
    """A record is never changed but for the labels and the owner by which it is found, and goes with the serving. Nor is a Job."""
    for stored in view.stored:
        if (lost := marks(view.owner, stored)) is not None:
            yield Apply(lost, uid_of(stored))
    yield from marks_of_exams(view)


def _applies(seen: Seen[DeepSeekServing], wanted: tuple[Manifest, ...]) -> Iterator[Apply]:
    """An object on its way out is left alone; it is made again once it is gone."""
    for manifest in wanted:
        live = seen.children.get(ref_of(manifest))
        if live is None:
            yield Apply(manifest)
        elif not is_terminating(live) and needs_apply(manifest, live):
            yield Apply(manifest, uid_of(live))


def _deletes(view: View, target: str, wanted: tuple[Manifest, ...]) -> Iterator[Delete]:
    """Autoscalers, routes, caches and revisions that are not wanted any more."""
    names = {ref_of(manifest) for manifest in wanted}
    over = view.rollout.spent
    # Routes before the policies that close them.
    routes = HTTP_ROUTE, GRPC_ROUTE
    left = [ref for ref in view.seen.children if ref.resource in _ENDING and ref not in names]
    for ref in sorted(left, key=lambda ref: (ref.resource not in routes, ref)):
        live = view.seen.children[ref]
        if is_terminating(live):
            continue
        if is_of_a_cache(view.owner.metadata.name, ref.name):
            if ref.resource == BUDGET or not view.is_cache_reached(ref.name):
                yield Delete(ref, uid_of(live), "no requests come by it any more")
        elif ref.resource in _WITHOUT_USE:
            yield Delete(ref, uid_of(live), _WITHOUT_USE[ref.resource])
        elif ref.resource in (AUTOSCALER, SCALED_OBJECT):
            yield Delete(ref, uid_of(live), "nothing is to be scaled, or not by this")
        elif ref.resource == SERVICE or revision_named(live) in over:
            yield Delete(ref, uid_of(live), "its revision has no replicas left")
    tried = {view.run.stable, view.run.target} if view.run is not None else set()
    used = frozenset(view.running) - over | {target, view.rollout.stable, view.asked} | tried
    for stored in superfluous(view.stored, view.spec.rollout.keep_revisions, used):
        yield Delete(ref_of(stored), uid_of(stored), "newer revisions are kept to roll back to")
