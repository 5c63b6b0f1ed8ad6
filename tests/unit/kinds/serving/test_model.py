"""Which folder is served, and what is said while there is none."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.web_access import NOWHERE
from deepseek_operator.kinds.serving.model import Unresolved, resolve
from tests.support.servings import TRAINING_UID, a_serving, a_training, seen_of


def resolved(training: dict[str, Any] | None, checkpoint: str = "Best", **status: Any) -> Any:
    model = {"fromTraining": {"name": "tune", "checkpoint": checkpoint}}
    serving = a_serving(model=model, status=status or None)
    return resolve(seen_of(serving, references=[training] if training is not None else []), NOWHERE)


def test_a_folder_on_a_claim_is_taken_as_written() -> None:
    found = resolve(seen_of(a_serving(model={"source": {"uri": "pvc://models/a/b"}})), NOWHERE)
    assert isinstance(found, ResolvedModel)
    assert (found.claim_name, found.sub_path, found.step) == ("models", "a/b", None)


@pytest.mark.parametrize(("checkpoint", "step"), [("Best", 200), ("Latest", 300), ("100", 100)])
def test_an_export_lies_under_the_training_s_uid(checkpoint: str, step: int) -> None:
    training = a_training(exports=[100, 200, 300], result="Complete", bestCheckpoint={"step": 200})
    found = resolved(training, checkpoint)
    assert (found.step, found.sub_path) == (step, f"{TRAINING_UID}/exports/{step}")


def test_the_training_s_own_folder_of_the_volume_comes_first() -> None:
    training = a_training(sub_path="runs/a", exports=[5], result="Complete")
    assert resolved(training).sub_path == f"runs/a/{TRAINING_UID}/exports/5"


def test_the_latest_export_is_the_best_of_a_training_that_evaluated_nothing() -> None:
    assert resolved(a_training(exports=[10, 20], result="Complete")).step == 20


def test_a_step_is_taken_as_soon_as_it_is_exported() -> None:
    assert resolved(a_training(exports=[100]), "100").step == 100


@pytest.mark.parametrize("checkpoint", ["Best", "Latest"])
def test_a_moving_reference_waits_for_the_end_of_the_training(checkpoint: str) -> None:
    found = resolved(a_training(exports=[100], bestCheckpoint={"step": 100}), checkpoint)
    assert (found.reason.name, found.final) == ("WaitingForExport", False)


UNRESOLVED = [
    pytest.param(None, "Best", "WaitingForTraining", False, id="no training"),
    pytest.param(a_training(), "Best", "WaitingForExport", False, id="running"),
    pytest.param(a_training(exports=[1]), "2", "WaitingForExport", False, id="step to come"),
    pytest.param(a_training(result="Failed"), "Best", "TrainingFailed", True, id="failed"),
    pytest.param(a_training(exports=[1], result="Complete"), "2", "NotExported", True, id="step not exported"),
    pytest.param(
        a_training(exports=[1], result="Complete", bestCheckpoint={"step": 2}), "Best", "NotExported", True, id="best"
    ),
    pytest.param(a_training(result="Complete"), "Latest", "NotExported", True, id="nothing exported"),
    pytest.param(a_training(exports="?"), "Latest", "WaitingForExport", False, id="status of another release"),
]


@pytest.mark.parametrize(("training", "checkpoint", "reason", "final"), UNRESOLVED)
def test_a_reference_without_a_folder_is_told(training: Any, checkpoint: str, reason: str, final: bool) -> None:
    found = resolved(training, checkpoint)
    assert isinstance(found, Unresolved)
    assert (found.reason.name, found.final) == (reason, final)


@pytest.mark.parametrize("status", [{}, {"exports": [1]}, {"exports": [1], "result": "Complete"}])
def test_an_adapter_alone_is_refused_before_it_is_there_and_after(status: dict[str, Any]) -> None:
    training = a_training(**status)
    training["spec"]["method"] = {"type": "LoRA", "lora": {"export": "Adapter"}}
    found = resolved(training, "1")
    assert isinstance(found, Unresolved)
    assert (found.reason.name, found.final) == ("NotExported", True)
    assert (
        "exports its adapter alone (method.lora.export Adapter), which is no model: a serving names it under adapters"
        in found.message
    )


@pytest.mark.parametrize("method", [{"type": "Full"}, {"type": "LoRA"}, {"type": "LoRA", "lora": {"export": "Merged"}}])
def test_a_merged_adapter_is_served_as_any_model(method: dict[str, Any]) -> None:
    training = a_training(exports=[1], result="Complete")
    training["spec"]["method"] = method
    assert resolved(training, "1").step == 1


def test_a_recorded_model_stays_when_the_training_exports_another() -> None:
    first = resolved(a_training(exports=[1], result="Complete"), "Latest")
    again = resolved(a_training(exports=[1, 2], result="Complete"), "Latest", resolved=first.to_wire())
    assert again == first


def test_another_reference_is_resolved_anew() -> None:
    first = resolved(a_training(exports=[1], result="Complete"), "1")
    again = resolved(a_training(exports=[1, 2], result="Complete"), "Latest", resolved=first.to_wire())
    assert again.step == 2
