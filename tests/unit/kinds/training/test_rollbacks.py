"""A training that went back to a checkpoint says so, with its numbers, once for each time, and is no less ready."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.progress import RollbackStatus
from deepseek_operator.core.conditions import find
from tests.support.trainings import Life

POLICY = {"failurePolicy": {"onDivergence": {"action": "Rollback", "max": 2}}}


def said(**rollbacks: int) -> dict[str, Any]:
    return {"formatVersion": 1, "state": "Training", "step": 6, "maxSteps": 10, "rollbacks": rollbacks or None}


def warnings(life: Life) -> list[str]:
    return [event.note for _, event in life.cluster.events if event.reason == "RolledBack"]


def tells(life: Life, **rollbacks: int) -> Life:
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = said(**rollbacks)
    return life.later(30)


def test_each_rollback_is_told_once_and_the_training_stays_ready() -> None:
    life = Life().begin(**POLICY).running()
    assert warnings(tells(life)) == []
    tells(life, count=1, step=5, to=4, skipped=1).later(30)
    (told,) = warnings(life)
    assert told.startswith("step 5 diverged: went on from step 4 and left 1 batch out (rollback 1 of 2);")
    assert life.told == ("Ready", "Running")
    tells(life, count=2, step=9, to=8, skipped=3)
    assert "step 9 diverged: went on from step 8 and left 3 batches out (rollback 2 of 2)" in warnings(life)[1]
    condition = find(life.owner.status.conditions, "DivergenceWarning")
    assert condition is not None
    assert (condition.reason, condition.message) == ("RolledBack", warnings(life)[1])


def test_rollbacks_are_known_from_last_words_and_stay_known() -> None:
    life = Life().begin(**POLICY).running()
    words = {
        "formatVersion": 1,
        "result": "Failed",
        "message": "boom",
        "rollbacks": {"count": 1, "step": 5, "to": 4, "skipped": 1},
    }
    life.crash(message=json.dumps(words))
    assert life.owner.status.rollbacks == RollbackStatus(count=1, step=5, to=4, skipped=1)
    life.later(60).running()
    assert life.owner.status.rollbacks == RollbackStatus(count=1, step=5, to=4, skipped=1)
    assert len(warnings(life)) == 1


@pytest.mark.parametrize(
    "lie", [{"count": 0}, {"count": -1}, {"count": "1"}, {"count": True}, {"count": 10**12}, {}, [], "1", None]
)
def test_what_no_trainer_says_counts_as_nothing(lie: object) -> None:
    life = Life().begin(**POLICY).running()
    life.crash(message=json.dumps({"formatVersion": 1, "result": "Failed", "rollbacks": lie}))
    assert life.owner.status.rollbacks is None
    assert warnings(life) == []
