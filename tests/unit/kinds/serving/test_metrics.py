"""What the operator tells of a serving: each number of a status that has all of them, and nothing of one that has none."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.metrics import Row
from deepseek_operator.kinds.serving.metrics import METRICS, PREFIX
from tests.support.observed import AT, a_told_serving
from tests.support.servings import a_serving

TOLD: dict[str, list[Row]] = {
    "info": [(("", "builtin"), 1.0)],
    "phase": [(("Canary",), 1.0)],
    "condition": [(("Ready", "True", "Available"), 1.0)],
    "replicas_wanted": [((), 3.0)],
    "replicas": [((), 3.0)],
    "replicas_ready": [((), 2.0)],
    "stalls_total": [((), 2.0)],
    "revision_replicas": [(("new",), 2.0), (("old",), 3.0)],
    "revision_replicas_ready": [(("new",), 0.0), (("old",), 2.0)],
    "revision_replicas_loading": [(("new",), 2.0), (("old",), 1.0)],
    "revision_info": [
        (("new", "uppercase@200", "false"), 1.0),
        (("old", "uppercase@100", "true"), 1.0),
        (("older", "models/v1", "false"), 1.0),
    ],
    "revision_weight_ratio": [(("new",), 0.1), (("old",), 0.9)],
    "claim_info": [(("models",), 1.0), (("tuned",), 1.0)],
    "adapter_info": [(("legal", "LoRA", "tune"), 1.0)],
    "canary_phase": [(("Baking", "new", "old"), 1.0)],
    "canary_phase_timestamp_seconds": [((), AT)],
    "canary_step": [((), 1.0)],
    "canary_steps": [((), 2.0)],
    "canary_weight_ratio": [((), 0.1)],
    "canary_failed_judgements": [((), 1.0)],
    "canary_measured": [(("LatencyP99",), 1.42)],
    "exam_accuracy_ratio": [
        (("new", "builtin://uppercase", "tried"), 0.7),
        (("old", "builtin://uppercase", "released"), 0.9),
    ],
    "replicas_minimum": [((), 2.0)],
    "replicas_maximum": [((), 8.0)],
    "autoscaler_active": [((), 1.0)],
    "autoscaler_replicas_wanted": [((), 3.0)],
    "signal_value": [(("InFlight",), 12.0)],
    "signal_target": [(("InFlight",), 4.0), (("KVCache",), 80.0)],
    "signal_replicas_wanted": [(("InFlight",), 3.0)],
    "signal_holds": [(("InFlight",), 0.0), (("KVCache",), 1.0)],
    "sleep_phase": [(("Awake",), 1.0)],
    "sleep_phase_timestamp_seconds": [((), AT)],
}
OF_EVERY_ONE = {"info", "replicas_wanted", "replicas", "replicas_ready"}


def told(manifest: dict[str, Any]) -> dict[str, list[Row]]:
    owner = DeepSeekServing.model_validate(manifest)
    return {metric.name.removeprefix(PREFIX): list(metric.read(owner)) for metric in METRICS}


def test_every_metric_says_what_the_status_has() -> None:
    assert told(a_told_serving()) == TOLD


@pytest.mark.parametrize("name", sorted(TOLD))
def test_a_status_without_a_number_has_no_row_for_it(name: str) -> None:
    assert bool(told(a_serving())[name]) == (name in OF_EVERY_ONE)


def test_a_canary_without_a_weight_or_a_judgement_has_neither() -> None:
    found = told(a_serving(status={"observedGeneration": 1, "canary": {"phase": "Preparing", "step": 1, "steps": 2}}))
    assert (found["canary_weight_ratio"], found["canary_failed_judgements"]) == ([], [])
    assert found["canary_step"] == [((), 1.0)]


def test_an_autoscaler_that_sees_nothing_is_told_as_zero_and_a_resting_one_not_at_all() -> None:
    blind = told(a_serving(status={"observedGeneration": 1, "autoscaling": {"active": False}}))
    assert (blind["autoscaler_active"], blind["autoscaler_replicas_wanted"]) == ([((), 0.0)], [])
    assert told(a_serving())["autoscaler_active"] == []
