"""The record of what was decided about devices: an answer of sizing in the form of `status.plan`, and what is told of it.

The record is written before it is used and read back ever after: a catalogue, a profile or a formula that changes
touches nothing that was planned. A refusal is recorded as well, to be told, and is the only record that is judged anew.
"""

from deepseek_operator.api.v1alpha1.common.accelerator import Accelerator
from deepseek_operator.api.v1alpha1.common.plan import DegreesStatus, MemoryStatus, PlanStatus
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.domain.devices.profiles import Profile, UnknownProfile
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.sizing.fit import Alternative, Memory, Refused, Sized
from deepseek_operator.workloads.pod.devices import asked_of_node
from deepseek_operator.workloads.pod.reach import refusal
from deepseek_operator.workloads.reasons import (
    DOES_NOT_FIT,
    HOST_ACCESS_NOT_ALLOWED,
    UNKNOWN_PROFILE,
    UNSUPPORTED,
)

SIZING_WARNING = "SizingWarning"

_ADVICE = ("RepeatedCache",)
"""Notices that tell of a better layout where nothing is wrong with the present one: in the plan, but no condition."""

_TEXT_LENGTH = 4096
_NOT_SIZED = "not sized: "
_BY_SIZE = ("OutOfMemory", "OutOfHostMemory", "NoLayout")


def profile_of(
    accelerator: Accelerator, namespace: str, configuration: Configuration, reference: str
) -> Profile | PlanStatus:
    """The profile that is named; the record of a refusal where there is none of the name, its nodes are smaller, or its
    pods would reach their node and nobody has allowed that in the namespace."""
    try:
        profile = configuration.profiles.resolve(accelerator.profile or "")
    except UnknownProfile as error:
        return refused_plan(reference, UNKNOWN_PROFILE, f"accelerator.profile: {error}")
    asked, most = accelerator.per_node or 1, profile.accelerator.per_node
    if asked > most:
        return refused_plan(reference, UNSUPPORTED, f"accelerator.perNode {asked}: {profile.name} has {most} per node")
    if not is_allowed(profile, namespace, configuration):
        message = refusal(namespace, profile.name, asked_of_node(profile))
        return refused_plan(reference, HOST_ACCESS_NOT_ALLOWED, message)
    return profile


def is_offered(name: str, namespace: str, configuration: Configuration) -> bool:
    """Whether pods may still be made by a plan of that profile: it is there, and what it asks of a node is allowed."""
    profile = configuration.profiles.by_name.get(name)
    return profile is not None and is_allowed(profile, namespace, configuration)


def is_allowed(profile: Profile, namespace: str, configuration: Configuration) -> bool:
    """Whether pods of that namespace may have what the profile asks of a node, which is mostly nothing."""
    return not asked_of_node(profile) or configuration.host_access.allows(namespace, profile.name)


def sized_plan(reference: str, profile: str, sized: Sized, warnings: tuple[str, ...] = ()) -> PlanStatus:
    """The record of what fits."""
    layout = sized.layout
    told = (*(f"{notice.reason}: {notice.message}" for notice in sized.warnings), *warnings)
    return PlanStatus(
        reference=reference,
        profile=profile,
        nodes=sized.nodes,
        per_node=sized.per_node,
        gpus=sized.shape.gpus,
        layout=str(layout),
        degrees=degrees_of(layout),
        format=sized.storage,
        memory=_memory(sized.memory),
        reason="; ".join(sized.explanation)[:_TEXT_LENGTH],
        warnings=[warning[:1024] for warning in told[:16]],
    )


def unsized_plan(reference: str, profile: str, nodes: int, per_node: int, why: str) -> PlanStatus:
    """The record of devices that are taken as written, or all of a node: nothing is known of what they must hold."""
    return PlanStatus(
        reference=reference,
        profile=profile,
        nodes=nodes,
        per_node=per_node,
        gpus=nodes * per_node,
        reason=f"{_NOT_SIZED}{why}"[:_TEXT_LENGTH],
    )


def refused_plan(reference: str, reason: str, message: str, refused: Refused | None = None) -> PlanStatus:
    """The record of what can't work, with the nearest things that would."""
    return PlanStatus(
        reference=reference,
        refused=reason,
        layout=str(refused.layout) if refused is not None and refused.layout is not None else "",
        memory=_memory(refused.memory) if refused is not None and refused.memory is not None else None,
        reason=message[:_TEXT_LENGTH],
    )


def reason_of(refused: Refused) -> str:
    """DoesNotFit where more or other devices would help, else Unsupported."""
    return DOES_NOT_FIT if refused.reason in _BY_SIZE else UNSUPPORTED


def told(refused: Refused, alternatives: tuple[Alternative, ...]) -> str:
    """The refusal in one sentence with its numbers, and what would fit."""
    options = "; ".join(map(str, alternatives))
    return f"{refused.message}. Would fit: {options}" if options else refused.message


def degrees_of(layout: Layout) -> DegreesStatus:
    """The layout as numbers."""
    return DegreesStatus(tensor=layout.tensor, pipeline=layout.pipeline, data=layout.data, expert=layout.expert)


def warning_of(plan: PlanStatus | None) -> tuple[Verdict, ...]:
    """The condition that tells what a person should know although it fits; none where there is nothing to tell."""
    if plan is None or plan.refused:
        return ()
    if plan.reason.startswith(_NOT_SIZED):
        return (Verdict(SIZING_WARNING, "True", "NotSized", f"{plan.reason}: whether it fits is not known"),)
    told = [w.partition(":")[0] for w in plan.warnings]
    # What somebody else has written into the plan need not begin with a word, as a reason must.
    reasons = [word for word in told if word not in _ADVICE and word.isascii() and word.isalpha()]
    if not reasons:
        return ()
    return (Verdict(SIZING_WARNING, "True", "Tight" if "Tight" in reasons else reasons[0], "; ".join(plan.warnings)),)


def _memory(memory: Memory) -> MemoryStatus:
    return MemoryStatus(needed=_gib(memory.need_bytes), available=_gib(memory.budget_bytes))


def _gib(amount: float) -> str:
    return f"{amount / GIB:.1f} GiB"
