"""A training that stopped early is complete and says at which step and why, for good."""

import json

import pytest

from deepseek_operator.core.conditions import find
from tests.support.trainings import Life

EVALUATED = {
    "datasets": [
        {"source": {"uri": "builtin://uppercase"}},
        {"source": {"uri": "builtin://uppercase"}, "split": "Heldout"},
    ],
    "hyperparameters": {"maxSteps": 1200, "evalEverySteps": 40},
}


def ended(stopped: object, **stopping: object) -> Life:
    words = {"formatVersion": 1, "result": "Complete", "message": "training is complete", "step": 420, "exports": [300]}
    life = Life().begin(**EVALUATED, earlyStopping={"patience": 3, **stopping}).running()
    return life.complete(json.dumps({**words, "stoppedEarly": stopped}))


@pytest.mark.parametrize(
    ("stopped", "delta", "words"),
    [
        (
            {"best": 300, "evaluations": 3},
            "0.001",
            "stopped early at step 420: none of the last 3 evaluations was better than that of step 300 by more than 0.001; "
            "exported steps 300",
        ),
        (
            {"best": 380, "evaluations": 1},
            "0",
            "stopped early at step 420: the last evaluation was no better than that of step 380; exported steps 300",
        ),
    ],
)
def test_end_is_told_with_its_step_and_the_best_one(stopped: object, delta: str, words: str) -> None:
    life = ended(stopped, minDelta=delta)
    assert (life.owner.status.phase, life.told) == ("Complete", ("Ready", "StoppedEarly"))
    complete = find(life.owner.status.conditions, "Complete")
    assert complete is not None
    assert (complete.status, complete.reason, complete.message) == ("True", "StoppedEarly", words)
    assert life.owner.status.summary.reason == "StoppedEarly"
    notes = [(event.reason, event.note) for _, event in life.cluster.events]
    assert notes[-1] == ("Complete", words)
    assert life.later(3600).told == ("Ready", "StoppedEarly"), "for good"
    assert [(event.reason, event.note) for _, event in life.cluster.events] == notes, "told once"


@pytest.mark.parametrize(
    "lie",
    [
        None,
        [],
        {},
        {"best": 300},
        {"evaluations": 3},
        {"best": -1, "evaluations": 1},
        {"best": 1, "evaluations": 0},
        "3",
    ],
)
def test_what_no_trainer_says_is_an_end_like_any_other(lie: object) -> None:
    assert ended(lie).told == ("Ready", "Complete")


def test_end_of_a_wiped_status_is_read_back_as_it_was() -> None:
    life = ended({"best": 300, "evaluations": 3})
    before = life.owner.status
    life.wipe_status()
    life.operator.settle()
    assert life.told == ("Ready", "StoppedEarly")
    assert life.owner.status.result_message == before.result_message
