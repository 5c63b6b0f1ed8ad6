"""Which plan of devices is recorded: what was planned once stays so, whatever the catalogue, a profile or a formula says."""

from collections.abc import Mapping, Sequence

from deepseek_operator.api.v1alpha1.common.accelerator import profiled
from deepseek_operator.api.v1alpha1.common.plan import PlanStatus
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving.command import why_not
from deepseek_operator.kinds.serving.devices import earlier_references, reference, served
from deepseek_operator.kinds.serving.fresh import Fresh
from deepseek_operator.kinds.serving.revision import template_of
from deepseek_operator.kinds.serving.running import reach_of_resting
from deepseek_operator.workloads.device_plan import is_offered, refused_plan
from deepseek_operator.workloads.pod.reach import refusal
from deepseek_operator.workloads.reasons import HOST_ACCESS_NOT_ALLOWED


def wanted_plan(
    seen: Seen[DeepSeekServing], revision: str, stored: Sequence[Manifest], fresh: Fresh
) -> PlanStatus | None:
    """The plan to record: the one of this input that a stored revision was rendered by, or that is recorded; else a new
    one. A revision that is yet to be rendered needs a plan that the present operator can still serve; one that is, but
    runs nowhere, starts only where what it asks of nodes is still allowed.

    `revision`: the name of what the spec asks for; empty while its model is not resolved. `stored`: the revisions that
    are, oldest first.
    """
    owner = seen.owner
    if profiled(owner.spec.accelerator) is None:
        return None
    is_rendered = bool(revision) and template_of(seen, revision) is not None
    asked = reference(owner)
    if (kept := _remembered(stored, asked)) is None:
        kept = _planned_before(owner, stored, (asked, *(earlier_references(owner) if is_rendered else ())))
    if kept is None or kept.refused:
        return fresh.plan(owner)
    if is_rendered:
        return _kept_away(seen, revision, kept, fresh.configuration) or kept
    return kept if _is_served(owner, kept, fresh.configuration) else fresh.plan(owner)


def _planned_before(owner: DeepSeekServing, stored: Sequence[Manifest], references: Sequence[str]) -> PlanStatus | None:
    """The plan of this input under one of its `references`: a stored revision's, else the recorded one; None without any."""
    kept = next((plan for name in references if (plan := _remembered(stored, name)) is not None), owner.status.plan)
    return kept if kept is not None and kept.reference in references else None


def _kept_away(
    seen: Seen[DeepSeekServing], revision: str, kept: PlanStatus, configuration: Configuration
) -> PlanStatus | None:
    """The refusal of a rendered revision that would start anew, and reach nodes without leave; None for all others."""
    meta, wanted = seen.owner.metadata, reach_of_resting(seen, revision)
    if not wanted or configuration.host_access.allows(meta.namespace, kept.profile):
        return None
    return refused_plan(kept.reference, HOST_ACCESS_NOT_ALLOWED, refusal(meta.namespace, kept.profile, wanted))


def _is_served(owner: DeepSeekServing, plan: PlanStatus, configuration: Configuration) -> bool:
    if not is_offered(plan.profile, owner.metadata.namespace, configuration):
        return False
    return why_not(served(owner, plan, configuration.profiles.by_name[plan.profile])) is None


def _remembered(stored: Sequence[Manifest], asked: str) -> PlanStatus | None:
    """The plan that the newest revision of this input was rendered by: a lost status must not lay it out anew."""
    for revision in reversed(stored):
        plan = (revision.get("data") or {}).get("plan")
        if isinstance(plan, Mapping) and plan.get("reference") == asked:
            return PlanStatus.model_validate(plan)
    return None
