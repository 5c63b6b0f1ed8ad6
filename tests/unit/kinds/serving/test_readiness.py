"""What tools that wait make of a serving: kstatus, and `kubectl wait --for=condition=…`."""

from collections.abc import Callable
from typing import Any

import pytest

from deepseek_operator.core.resources import Manifest
from tests.support.kstatus import kstatus
from tests.support.serving_look import deployment, recorded, target_of
from tests.support.serving_states import STATES, broken, crashing, seen


@pytest.mark.parametrize(("manifest", "expected", "ready"), STATES)
def test_a_state_is_read_as_it_is_meant(manifest: Callable[[], dict[str, Any]], expected: str, ready: str) -> None:
    stored = manifest()
    told = {c["type"]: c["status"] for c in stored["status"]["conditions"]}
    assert (kstatus(stored), told.get("Ready", "Suspended")) == (expected, ready)
    assert told.get("Suspended") == ("True" if ready == "Suspended" else None)


@pytest.mark.parametrize("failing", [broken, crashing])
def test_an_edit_ends_a_failure(failing: Callable[[], Manifest]) -> None:
    """The failed replica is still there, but of a version that is not wanted any more."""
    serving = recorded(replicas=1, running=1)
    edited = recorded(replicas=1, running=1, engine={"maxConcurrency": 8})
    edited["metadata"] = {**edited["metadata"], "generation": 2}
    failed = target_of(serving)
    stored = seen(edited, deployment(serving, failed, 1, 0), deployment(edited, target_of(edited), 1, 0), failing())
    assert (kstatus(stored), stored["status"]["phase"]) == ("InProgress", "Rolling")
