"""What Argo CD shows of both kinds in each of their states."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from deepseek_operator.api.crd import UNSEEN
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from tests.support.argocd import SHIPPED, health, script
from tests.support.serving_states import STATES as SERVING_STATES
from tests.support.training_states import STATES as TRAINING_STATES
from tests.support.trainings import NAME, NAMESPACE, Life

MEANT = {"InProgress": "Progressing", "Failed": "Degraded", "Current": "Healthy"}


@pytest.mark.parametrize(("live", "status", "true"), TRAINING_STATES)
def test_a_training_is_shown_as_it_is_meant(live: Callable[[Life], Any], status: str, true: set[str]) -> None:
    life = Life()
    live(life)
    manifest = life.cluster.read(TRAINING, NAMESPACE, NAME)
    assert manifest is not None
    expected = "Suspended" if "Suspended" in true else MEANT[status]
    shown, message = health(manifest)
    assert shown == expected
    assert message


@pytest.mark.parametrize(("manifest", "status", "ready"), SERVING_STATES)
def test_a_serving_is_shown_as_it_is_meant(manifest: Callable[[], dict[str, Any]], status: str, ready: str) -> None:
    expected = "Suspended" if ready == "Suspended" else MEANT[status]
    assert health(manifest())[0] == expected


@pytest.mark.parametrize("kind", [TRAINING.kind, SERVING.kind])
@pytest.mark.parametrize("status", [None, {}, UNSEEN, {"observedGeneration": 1}], ids=["none", "empty", "new", "bare"])
def test_what_nobody_has_looked_at_is_on_its_way(kind: str, status: Any) -> None:
    manifest = {"kind": kind, "metadata": {"generation": 1}}
    assert health(manifest if status is None else {**manifest, "status": deepcopy(status)})[0] == "Progressing"


def test_a_state_of_an_earlier_spec_counts_no_more() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Available", "message": "1 of 1"}
    manifest = {
        "kind": SERVING.kind,
        "metadata": {"generation": 2},
        "status": {"observedGeneration": 1, "conditions": [ready]},
    }
    assert health(manifest)[0] == "Progressing"
    manifest["metadata"] = {"generation": 1}
    assert health(manifest) == ("Healthy", "Available: 1 of 1")


def test_both_kinds_have_a_script_and_the_command_in_the_file_names_the_file() -> None:
    assert script(TRAINING.kind) == script(SERVING.kind)
    assert f"--patch-file charts/deepseek-operator/{SHIPPED.name}" in SHIPPED.read_text()
