"""What to do now: record what can't be observed, store a new revision, apply what drifted, delete what is over.

The order is the lifecycle. The model and the number of replicas are recorded before anything relies on them; a
revision's template is stored before a Deployment uses it, and read back in a later pass; what serves is applied
before what is taken away. Deleting the resource needs nothing of us: every child names it as its controller.
"""

from collections.abc import Iterator
from datetime import timedelta

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel, ServingStatus
from deepseek_operator.core.actions import Action, Apply, Create, Delete, Done, Plan
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.drift import needs_apply
from deepseek_operator.core.resources import (
    AUTOSCALER,
    DEPLOYMENT,
    SERVICE,
    Manifest,
    is_terminating,
    ref_of,
    uid_of,
)
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving.children import children
from deepseek_operator.kinds.serving.devices import wanted_plan
from deepseek_operator.kinds.serving.gate import running_replicas, window_left
from deepseek_operator.kinds.serving.labels import revision_named
from deepseek_operator.kinds.serving.model import resolve
from deepseek_operator.kinds.serving.revision import (
    controller_revision,
    marks,
    numbers,
    stored_revision,
    stored_revisions,
    superfluous,
    template_of,
)
from deepseek_operator.kinds.serving.rollout import Target, ending_left, running_revisions, spent, step, target
from deepseek_operator.kinds.serving.scaling import blind_left
from deepseek_operator.kinds.serving.status import status
from deepseek_operator.kinds.serving.template import render

WAITING = timedelta(seconds=30)
"""How soon something that nobody may tell us about (a stranger's object at one of our names) is looked at again."""


def plan(seen: Seen[DeepSeekServing], configuration: Configuration) -> Plan[ServingStatus]:
    """The actions of this pass, or the record that must come first."""
    if seen.owner.metadata.is_deleting:
        return Plan()
    if (record := _record(seen, configuration)) is not None:
        return Plan(record=record, confirm=True)
    goal = target(seen)
    waiting = _waiting(seen, goal)
    if goal.revision is None or seen.occupied:
        return Plan(requeue_after=waiting)
    actions = tuple(_actions(seen, goal, goal.revision, configuration))
    makes = any(isinstance(action, Apply) and action.uid is None for action in actions)
    return Plan(actions=actions, requeue_after=waiting, confirm=makes)


def _waiting(seen: Seen[DeepSeekServing], goal: Target) -> timedelta | None:
    """When to look again although nothing tells us to; None: only when something does."""
    unseen = WAITING if goal.obstacle is not None or seen.occupied else window_left(seen)
    blind = blind_left(seen)
    untold = blind if blind is not None and blind > timedelta(0) else None
    return min((time for time in (unseen, ending_left(seen), untold) if time is not None), default=None)


def _record(seen: Seen[DeepSeekServing], configuration: Configuration) -> ServingStatus | None:
    """The status with what must be remembered before it is used; None when it says so already."""
    before, resolution = seen.owner.status, resolve(seen)
    resolved = resolution if isinstance(resolution, ResolvedModel) else before.resolved
    replicas, devices = running_replicas(seen), wanted_plan(seen, configuration)
    if (before.resolved, before.running_replicas, before.plan) == (resolved, replicas, devices):
        return None
    update = {"resolved": resolved, "running_replicas": replicas, "plan": devices}
    return status(seen, Done(), configuration).model_copy(update=update)


def _actions(
    seen: Seen[DeepSeekServing], goal: Target, revision: str, configuration: Configuration
) -> Iterator[Action]:
    yield from _stores(seen, goal, revision, configuration)
    yield from _marks(seen)
    if template_of(seen, revision) is None:
        return
    wanted = children(seen, revision, step(seen, revision), configuration)
    yield from _applies(seen, wanted)
    yield from _deletes(seen, revision, wanted)


def _stores(seen: Seen[DeepSeekServing], goal: Target, revision: str, configuration: Configuration) -> Iterator[Create]:
    """Revisions that run or shall run and have no record: rendered if new, else restored from what runs."""
    number = max(numbers(seen).values(), default=0)
    for name in sorted({*running_revisions(seen), revision}):
        model = goal.model if name == revision else None
        live = template_of(seen, name)
        template = render(seen.owner, name, model, configuration) if live is None and model is not None else live
        if stored_revision(seen, name) is None and template is not None:
            number += 1
            yield Create(controller_revision(seen.owner, name, number, template, model, restored=live is not None))


def _marks(seen: Seen[DeepSeekServing]) -> Iterator[Apply]:
    """A record is never changed but for the labels and the owner by which it is found, and goes with the serving."""
    for stored in stored_revisions(seen):
        if (lost := marks(seen.owner, stored)) is not None:
            yield Apply(lost, uid_of(stored))


def _applies(seen: Seen[DeepSeekServing], wanted: tuple[Manifest, ...]) -> Iterator[Apply]:
    """An object on its way out is left alone; it is made again once it is gone."""
    for manifest in wanted:
        live = seen.children.get(ref_of(manifest))
        if live is None:
            yield Apply(manifest)
        elif not is_terminating(live) and needs_apply(manifest, live):
            yield Apply(manifest, uid_of(live))


def _deletes(seen: Seen[DeepSeekServing], revision: str, wanted: tuple[Manifest, ...]) -> Iterator[Delete]:
    """Autoscalers and revisions that are not wanted any more."""
    names = {ref_of(manifest) for manifest in wanted}
    over = spent(seen, revision)
    for ref, live in sorted(seen.children.items()):
        if ref in names or ref.resource not in (AUTOSCALER, DEPLOYMENT, SERVICE) or is_terminating(live):
            continue
        if ref.resource == AUTOSCALER:
            yield Delete(ref, uid_of(live), "nothing is to be scaled")
        elif ref.resource == SERVICE or revision_named(live) in over:
            yield Delete(ref, uid_of(live), "its revision has no replicas left")
    running = frozenset(running_revisions(seen)) - over | {revision}
    for stored in superfluous(seen, running):
        yield Delete(ref_of(stored), uid_of(stored), "newer revisions are kept to roll back to")
