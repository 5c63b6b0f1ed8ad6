"""What a phase of the life decides: something to record, or actions and what is said until the next pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.actions import Action, Plan
from deepseek_operator.core.conditions import Verdict


@dataclass(frozen=True)
class Step:
    """What a phase decides: what to do, and what is then said in status until the next pass.

    `on_children`: it relies on claim, Service and NetworkPolicy, which are put right before it acts.
    """

    plan: Plan[TrainingStatus]
    phase: str = ""
    says: tuple[Verdict, ...] = ()
    on_children: bool = False


STARTUP_RECHECK = timedelta(seconds=30)
"""How often a gang that does not run yet is looked at without an event; it only catches what a watch has lost."""


def record(status: TrainingStatus, *, confirm: bool = False) -> Step:
    """Writes `status` and ends the round; the next one follows at once."""
    return Step(Plan(record=status, confirm=confirm, requeue_after=timedelta(0)))


def act(
    phase: str,
    says: tuple[Verdict, ...],
    actions: Sequence[Action] = (),
    *,
    requeue_after: timedelta | None = None,
    confirm: bool = False,
) -> Step:
    """Does `actions` (often none) and says why the training is where it is."""
    return Step(Plan(actions=tuple(actions), requeue_after=requeue_after, confirm=confirm), phase, says)


def record_attempt(status: TrainingStatus, attempt: AttemptStatus) -> Step:
    """Writes the record of the attempt."""
    return record(status.model_copy(update={"attempt": attempt}))
