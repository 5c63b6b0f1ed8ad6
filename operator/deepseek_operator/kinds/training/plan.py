"""The life of a training, as phases in order; the first that has something to say decides the pass.

Facts are recorded before anything relies on them, and each record ends its round. A phase that only waits says why;
`status` shows that. What is irreversible (Job, claim, delete, verdict) is planned a second time from a live look.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from deepseek_operator.kinds.training.phases.fetching import fetch
from deepseek_operator.kinds.training.phases.following import (
    back_off,
    clear_the_way,
    find_origin,
    give_way,
    launch,
    number,
    refuse,
    rest,
)
from deepseek_operator.kinds.training.phases.happened import (
    begin_anew,
    finish,
    identify,
    judge,
    leave_to_collector,
    observe,
    plan_devices,
    recover,
)
from deepseek_operator.kinds.training.phases.underway import disband, drain, halt, interrupt
from deepseek_operator.kinds.training.phases.volume import declare_loss, ensure_volume
from deepseek_operator.kinds.training.phases.work import work
from deepseek_operator.kinds.training.step import Step
from deepseek_operator.kinds.training.upkeep import tidy, upkeep
from deepseek_operator.kinds.training.view import View

Phase: TypeAlias = Callable[[View], Step | None]

LIFE: tuple[Phase, ...] = (
    leave_to_collector,
    recover,
    identify,
    observe,
    judge,
    begin_anew,
    finish,
    plan_devices,
    interrupt,
    halt,
    disband,
    drain,
    work,
    rest,
    declare_loss,
    find_origin,
    refuse,
    fetch,
    give_way,
    ensure_volume,
    back_off,
    number,
    clear_the_way,
    launch,
)


def step(view: View) -> Step:
    """The first phase with something to say, and upkeep and tidying behind what it does."""
    decided = next(found for phase in LIFE if (found := phase(view)) is not None)
    if decided.plan.record is not None or view.owner.metadata.is_deleting:
        return decided
    ours = decided.plan.actions
    beside = upkeep(view, ours, on_children=decided.on_children)
    ordered = (*beside, *ours) if decided.on_children else (*ours, *beside)
    plan = replace(decided.plan, actions=(*ordered, *tidy(view, ours)))
    return replace(decided, plan=plan)
