"""Autoscalers of others over what this serving scales or makes: who they are, and what is left to them.

Over the serving itself Kubernetes lets none of two scale (AmbiguousSelector), so that nothing is to be done but to tell whose
the other is. One over a group of replicas would be written against for ever, each pass undoing what it did: there its number
stays, but for none, at which an autoscaler is off.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.resources import Manifest, controller_of, is_terminating, uid_of
from deepseek_operator.core.scale_target import ScaleTarget, target_of
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.rollout import Replicas
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.autoscaler import is_of_ours
from deepseek_operator.kinds.serving.labels import revision_named
from deepseek_operator.kinds.serving.running import replica_groups

SOLE_AUTOSCALER = "SoleAutoscaler"
_MOST_TOLD = 3


@dataclass(frozen=True)
class Rivals:
    """Each as `Kind/name`, ordered.

    Attributes:
        of_serving: those that scale the serving itself beside its own autoscaler, or beside each other.
        of_revisions: those that scale the replicas of one revision, by its name.
        groups: the group of replicas of each of those revisions, as `Kind/name`.
    """

    of_serving: tuple[str, ...] = ()
    of_revisions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def left(self, step: Mapping[str, int], running: Mapping[str, Replicas]) -> Mapping[str, int]:
        """The step, but for the replicas of revisions that another autoscaler scales: these stay as it wrote them."""
        kept = {
            name: running[name].specified
            for name in self.of_revisions
            if step.get(name) and name in running and running[name].specified
        }
        return {**step, **kept}


def rivals(seen: Seen[DeepSeekServing]) -> Rivals:
    """Whoever else scales this serving, or a group of its replicas, now."""
    meta = seen.owner.metadata
    found = [one for one in seen.scalers if not is_terminating(one) and not is_of_ours(seen.owner, one)]
    others = [(target_of(one), _told(one)) for one in found if not _is_of_one(one, found)]
    serving = ScaleTarget(SERVING.group, SERVING.kind, meta.name)
    of_serving = tuple(sorted(told for target, told in others if target == serving))
    by_revision: dict[str, tuple[str, ...]] = {}
    groups: dict[str, str] = {}
    for group in replica_groups(seen):
        resource, revision = group.keeper.resource, revision_named(group.manifest)
        target = ScaleTarget(resource.group, resource.kind, group.name)
        if names := tuple(sorted(told for aim, told in others if aim == target)):
            by_revision[revision], groups[revision] = names, f"{resource.kind} {group.name}"
    is_second = seen.owner.spec.autoscaling is not None or len(of_serving) > 1
    return Rivals(of_serving if is_second else (), by_revision, groups)


def verdict(owner: DeepSeekServing, found: Rivals) -> tuple[Verdict, ...]:
    """What is told of them; nothing where there is none."""
    told = [*_of_serving(owner, found), *_of_revisions(owner, found)]
    if not told:
        return ()
    reason = reasons.ANOTHER_AUTOSCALER
    return (Verdict(SOLE_AUTOSCALER, "False", reason.name, f"{'; '.join(told)}. {reason.advice}"),)


def _of_serving(owner: DeepSeekServing, found: Rivals) -> Iterable[str]:
    if found.of_serving and owner.spec.autoscaling is not None:
        yield f"{_listed(found.of_serving)} scales this serving beside its own autoscaling, and none of two may"
    elif found.of_serving:
        yield f"{_listed(found.of_serving)} scale this serving, and none of two may"


def _of_revisions(owner: DeepSeekServing, found: Rivals) -> Iterable[str]:
    for revision, names in sorted(found.of_revisions.items()):
        yield (
            f"{_listed(names)} scales {found.groups[revision]}, which is made for {SERVING.kind} {owner.metadata.name}: its "
            f"replicas stay as they are told there"
        )


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST_TOLD} more" if len(names) > _MOST_TOLD else ""
    return f"{', '.join(names[:_MOST_TOLD])}{more}"


def _told(manifest: Manifest) -> str:
    """With whoever made it, by which a person finds it: the HorizontalPodAutoscaler of a ScaledObject bears a name of KEDA's."""
    controller = controller_of(manifest)
    of = f" of {controller.get('kind')} {controller.get('name')}" if controller is not None else ""
    return f"{manifest['kind']} {manifest['metadata']['name']}{of}"


def _is_of_one(manifest: Manifest, among: Iterable[Manifest]) -> bool:
    """It is the tool of another autoscaler that is told itself."""
    controller = controller_of(manifest) or {}
    return any(controller.get("uid") == uid_of(one) for one in among)
