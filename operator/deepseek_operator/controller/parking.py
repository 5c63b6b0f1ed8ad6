"""What is said on an object that the operator can't bear: conditions put beside whatever its status already says.

The object is plain data here and stays so. Its children are left as they are: whether they do what was asked is unknown.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from deepseek_operator.api.base import Condition
from deepseek_operator.core.conditions import Verdict, columns, merged
from deepseek_operator.core.kept import TooLarge
from deepseek_operator.core.resources import Manifest
from deepseek_operator.workloads.reasons import INTERNAL_ERROR, TOO_LARGE

_SHOWN = 512


def parked(error: Exception) -> tuple[Verdict, ...]:
    """Ready, Reconciling and Stalled of an object at which `error` was raised."""
    reason, message = INTERNAL_ERROR, f"{type(error).__name__}: {_told(error)}; the operator leaves this object alone"
    if isinstance(error, TooLarge):
        reason, message = TOO_LARGE, str(error)
    return (
        Verdict("Ready", "Unknown", reason, message),
        Verdict("Reconciling", "False", "Settled", ""),
        Verdict("Stalled", "True", reason, message),
    )


def parked_status(manifest: Manifest, verdicts: Sequence[Verdict], now: datetime) -> dict[str, Any]:
    """The status with these conditions first; others, and everything else in it, are kept."""
    found = manifest.get("status")
    status: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    listed = status.get("conditions")
    before = list(_conditions(listed if isinstance(listed, Sequence) else ()))
    generation = manifest["metadata"].get("generation") or 0
    now_true = merged(verdicts, before, generation, now)
    said = {condition.type for condition in now_true}
    rest = [condition for condition in before if condition.type not in said]
    wire = [condition.to_wire() for condition in (*now_true, *rest)]
    before_them = status.get("summary")
    summary = {**(before_them if isinstance(before_them, Mapping) else {}), **columns(now_true)}
    return {**status, "conditions": wire, "observedGeneration": generation, "summary": summary}


def _conditions(listed: Sequence[object]) -> list[Condition]:
    found = []
    for item in listed:
        with suppress(Exception):
            found.append(Condition.model_validate(item))
    return found


def _told(error: Exception) -> str:
    """The words of the error; an error whose words fail as well has none."""
    with suppress(Exception):
        return str(error)[:_SHOWN]
    return "no words"
