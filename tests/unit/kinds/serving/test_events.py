"""Which events are warnings, and that a transition is told once."""

import pytest

from deepseek_operator.api.base import Condition
from deepseek_operator.api.v1alpha1.serving.status import ServingStatus
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.events import events

PROGRESS = {
    *("Available", "Loading", "Rolling", "Scaling", "Suspending", "Suspended", "Deleting"),
    *("Fetching", "WaitingForTraining", "WaitingForExport", "WaitingForPredecessor", "ApiUnavailable", "NewDefaults"),
    *("RouteAccepted", "RoutePending", "PolicyAccepted", "PolicyPending"),
    *("RolledBack", "RollbackDone", "Canary", "CanaryPaused", "CanaryEdited", "CanaryCompared"),
    *("Asleep", "Waking"),
    *("CacheUsed", "CacheNotReady", "ModelsKnown", "ModelsRolling"),
    *("KeyShown", "KeyPending"),
}
"""What takes time, rests or is somebody's turn next; everything else is a Warning."""


@pytest.mark.parametrize("reason", [reason.name for reason in reasons.ALL])
def test_what_keeps_a_serving_from_what_was_asked_is_a_warning_and_all_else_is_progress(reason: str) -> None:
    ready = Condition(
        type="Ready", status="False", reason=reason, message="m", last_transition_time="2026-01-01T00:00:00Z"
    )
    (event,) = events(ServingStatus(), ServingStatus(conditions=[ready]))
    assert (event.type, event.reason) == ("Normal" if reason in PROGRESS else "Warning", reason)
    assert events(ServingStatus(conditions=[ready]), ServingStatus(conditions=[ready])) == ()
