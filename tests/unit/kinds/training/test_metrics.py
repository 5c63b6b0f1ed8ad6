"""What the operator tells of a training: each number of a status that has all of them, and nothing of one that has none."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.metrics import Row
from deepseek_operator.kinds.training.metrics import METRICS, PREFIX
from tests.support.observed import AT
from tests.support.observed import TRAINING_STATUS as STATUS
from tests.support.trainings import training

TOLD: dict[str, list[Row]] = {
    "info": [(("", "builtin", "SFT", "Full"), 1.0)],
    "phase": [(("Running",), 1.0)],
    "condition": [(("Ready", "True", "Running"), 1.0)],
    "attempt": [((), 3.0)],
    "attempt_running_timestamp_seconds": [((), AT)],
    "workers": [((), 1.0)],
    "workers_wanted": [((), 2.0)],
    "step": [((), 40.0)],
    "attempt_first_step": [((), 31.0)],
    "steps_wanted": [((), 100.0)],
    "loss": [((), 1.25)],
    "eval_loss": [((), 1.5)],
    "accuracy_ratio": [((), 0.75)],
    "own_metric": [(("bleu",), 31.25)],
    "gradient_norm": [((), 0.5)],
    "tokens_per_second": [((), 12345.0)],
    "model_flops_utilization_ratio": [((), 0.41)],
    "eta_seconds": [((), 60.0)],
    "progress_timestamp_seconds": [((), AT)],
    "checkpoint_step": [((), 30.0)],
    "checkpoint_timestamp_seconds": [((), AT)],
    "checkpoint_bytes": [((), 4096.0)],
    "checkpoint_save_seconds": [((), 3.2)],
    "checkpoint_blocked_seconds": [((), 0.1)],
    "checkpoint_planned_bytes": [((), 1000.0)],
    "checkpoint_interval_steps": [],
    "checkpoint_interval_seconds": [((), 600.0)],
    "best_checkpoint_step": [((), 20.0)],
    "best_checkpoint_value": [(("evalLoss",), 1.4)],
    "claim_info": [(("checkpoints",), 1.0)],
    "restarts_total": [(("crash",), 1.0), (("disruption",), 2.0), (("in_place",), 3.0), (("divergence",), 4.0)],
    "failure_timestamp_seconds": [(("Crash", "OOMKilled"), AT)],
}
OF_EVERY_ONE = {"info", "checkpoint_interval_seconds", "restarts_total"}


def told(status: dict[str, Any] | None, **spec: Any) -> dict[str, list[Row]]:
    owner = DeepSeekTraining.model_validate({**training(**spec), **({"status": status} if status else {})})
    return {metric.name.removeprefix(PREFIX): list(metric.read(owner)) for metric in METRICS}


def test_every_metric_says_what_the_status_has() -> None:
    assert told(STATUS) == TOLD


@pytest.mark.parametrize("name", sorted(TOLD))
def test_a_status_without_a_number_has_no_row_for_it(name: str) -> None:
    rows = told(None)[name]
    assert bool(rows) == (name in OF_EVERY_ONE)


def test_the_interval_of_checkpoints_is_told_in_the_unit_that_was_written() -> None:
    found = told(None, checkpoints={"everySteps": 50})
    assert (found["checkpoint_interval_steps"], found["checkpoint_interval_seconds"]) == ([((), 50.0)], [])
    found = told(None, checkpoints={"everySeconds": 30})
    assert (found["checkpoint_interval_steps"], found["checkpoint_interval_seconds"]) == ([], [((), 30.0)])


def test_a_number_that_is_zero_is_told() -> None:
    zero = told({"observedGeneration": 1, "progress": {"step": 0, "loss": "0"}})
    assert (zero["step"], zero["loss"]) == ([((), 0.0)], [((), 0.0)])
