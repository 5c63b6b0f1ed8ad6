"""Conditions as KEP-1623 has them, and the three that kstatus reads: Ready, Reconciling, Stalled.

kstatus (the code behind `helm --wait` and Flux; Argo CD gets the same by the scripts in cli/argocd) takes the first
abnormal-true condition in list order, so Reconciling and Stalled are never both True, and they come after Ready.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from deepseek_operator.api.base import Condition, parse_time, rfc3339

ConditionStatus: TypeAlias = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Verdict:
    """A condition before it has a history: what is true now, and why."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


def ready(reason: str, message: str) -> tuple[Verdict, ...]:
    """The resource does what was asked."""
    return _three("True", reason, message, "False", "False")


def reconciling(reason: str, message: str, *, serves: bool = False) -> tuple[Verdict, ...]:
    """On the way, or waiting for something that is not this object; `serves`: it is usable meanwhile."""
    return _three("True" if serves else "False", reason, message, "True", "False")


def stalled(reason: str, message: str, *, serves: bool = False) -> tuple[Verdict, ...]:
    """A person must edit *this* object (or make a new one) before anything moves."""
    return _three("True" if serves else "False", reason, message, "False", "True")


def resting(reason: str, message: str) -> tuple[Verdict, ...]:
    """Nothing runs, and that is what was asked for: as asked is `Current` to kstatus, for which Ready must be absent.

    A Ready that is False would be in progress for ever to it, and one that is True would be a lie to `kubectl wait`.
    """
    return (Verdict("Suspended", "True", reason, message), *_three("False", reason, message, "False", "False")[1:])


def result(type_: str, reason: str, message: str) -> Verdict:
    """Complete or Failed, as a Job has them: absent until it is True, so that `kubectl wait --for=condition=…` works."""
    return Verdict(type_, "True", reason, message)


def _three(
    is_ready: ConditionStatus, reason: str, message: str, moving: ConditionStatus, stuck: ConditionStatus
) -> tuple[Verdict, ...]:
    quiet = "Settled"
    return (
        Verdict("Ready", is_ready, reason, message),
        Verdict("Reconciling", moving, reason if moving == "True" else quiet, message if moving == "True" else ""),
        Verdict("Stalled", stuck, reason if stuck == "True" else quiet, message if stuck == "True" else ""),
    )


def merged(
    verdicts: Sequence[Verdict], previous: Sequence[Condition], generation: int, now: datetime
) -> list[Condition]:
    """Conditions to store, in the order of `verdicts`; lastTransitionTime moves only when a status flips.

    One that is no time, which somebody else wrote, is not kept: an empty one would be left out, and can't be.
    """
    before = {condition.type: condition for condition in previous}
    return [_with_history(verdict, before.get(verdict.type), generation, now) for verdict in verdicts]


def _with_history(verdict: Verdict, before: Condition | None, generation: int, now: datetime) -> Condition:
    since = before.last_transition_time if before is not None and before.status == verdict.status else ""
    return Condition(
        type=verdict.type,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message[:4096],
        observed_generation=generation,
        last_transition_time=since if parse_time(since) is not None else rfc3339(now),
    )


def find(conditions: Sequence[Condition], type_: str) -> Condition | None:
    """The condition of that type; None when it was never set."""
    return next((condition for condition in conditions if condition.type == type_), None)


def columns(conditions: Sequence[Condition]) -> dict[str, str]:
    """What `summary` shows of them: `ready` and `reason`, also of what rests and has no Ready."""
    ready_now, told = find(conditions, "Ready"), headline(conditions)
    return {
        "ready": ready_now.status if ready_now is not None else "False",
        "reason": told.reason if told is not None else "",
    }


def headline(conditions: Sequence[Condition]) -> Condition | None:
    """Ready, or Suspended in its place; None before the first."""
    return find(conditions, "Ready") or find(conditions, "Suspended")
