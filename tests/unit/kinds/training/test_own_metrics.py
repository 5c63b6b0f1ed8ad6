"""Metrics of a user's own program in the status, and what is said while it measures nothing."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.progress import OwnMetric
from deepseek_operator.core.conditions import find
from deepseek_operator.kinds.training.report import MAX_METRICS, from_mapping, own_metrics
from tests.support.trainings import Life

SPEC: dict[str, Any] = {
    "evaluation": {"command": ["bleu"]},
    "hyperparameters": {"maxSteps": 100, "evalEverySteps": 5},
    "checkpoints": {"best": {"metric": "bleu", "mode": "Max"}},
}


def tells(life: Life, **fields: Any) -> Life:
    said = {"formatVersion": 1, "state": "Training", "step": 6, "maxSteps": 10, **fields}
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = said
    return life.later(30)


def warnings(life: Life) -> list[str]:
    return [event.note for _, event in life.cluster.events if event.reason == "EvaluationFailed"]


def test_they_are_shown_by_name_and_stay_after_the_end() -> None:
    life = tells(Life().begin(**SPEC).running(), metrics={"bleu": 31.25, "chrf": 0.5})
    shown = [OwnMetric(name="bleu", value="31.25"), OwnMetric(name="chrf", value="0.5")]
    assert life.owner.status.progress is not None
    assert life.owner.status.progress.metrics == shown
    words = {"formatVersion": 1, "result": "Complete", "step": 10, "metrics": {"evalLoss": 0.5, "bleu": 40}}
    life.complete(json.dumps(words))
    assert life.owner.status.progress.metrics == [OwnMetric(name="bleu", value="40")]


def test_a_program_that_fails_is_told_once_until_it_measures_again() -> None:
    life = Life().begin(**SPEC).running()
    failure = {"step": 5, "message": "it ended with exit code 3; its own words are in the log"}
    tells(life, evaluationFailure=failure).later(30)
    assert warnings(life) == ["evaluation.command, step 5: it ended with exit code 3; its own words are in the log"]
    assert life.told == ("Ready", "Running"), "the training goes on"
    condition = find(life.owner.status.conditions, "EvaluationWarning")
    assert condition is not None
    assert condition.message == warnings(life)[0]
    tells(life, evaluationFailure=None, metrics={"bleu": 1.0})
    assert find(life.owner.status.conditions, "EvaluationWarning") is None
    tells(life, evaluationFailure={**failure, "step": 10})
    assert len(warnings(life)) == 2


@pytest.mark.parametrize(
    "lie",
    [{"bleu": "31"}, {"bleu": True}, {"bleu": float("nan")}, {"b{}": 1}, {"": 1}, {"x" * 65: 1}, ["bleu"], 7, None],
)
def test_what_no_trainer_says_counts_as_nothing(lie: object) -> None:
    assert own_metrics(lie) == ()
    assert from_mapping({"metrics": lie, "evaluationFailure": lie}).evaluation_failure is None


def test_there_are_no_more_than_a_status_holds() -> None:
    assert len(own_metrics({f"m{number}": 1 for number in range(1000)})) == MAX_METRICS
