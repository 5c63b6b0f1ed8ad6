"""A process that keeps the others waiting is told with its node as long as rank 0 says so, and the training is no less ready."""

from typing import Any

import pytest

from deepseek_operator.core.conditions import find
from tests.support.trainings import Life

SLOW = {"rank": 3, "factor": 1.8, "node": "gpu-17"}


def tells(life: Life, straggler: Any) -> Life:
    said = {"formatVersion": 1, "state": "Training", "step": 60, "maxSteps": 100, "straggler": straggler}
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = said
    return life.later(30)


def message(life: Life) -> str | None:
    found = find(life.owner.status.conditions, "StragglerWarning")
    return found.message if found is not None else None


def warnings(life: Life) -> list[str]:
    return [event.note for _, event in life.cluster.events if event.reason == "SlowRank"]


def test_it_is_told_once_with_rank_node_and_factor_and_taken_back() -> None:
    life = tells(tells(Life().begin().running(), SLOW), SLOW)
    told = message(life)
    assert told is not None
    assert told.startswith("rank 3 on node gpu-17 takes 1.8 times as long as the others for the same work")
    assert warnings(life) == [told]
    assert life.told == ("Ready", "Running")
    assert message(tells(life, None)) is None
    assert life.owner.status.straggler is None


def test_a_pod_that_does_not_answer_for_once_changes_nothing() -> None:
    life = tells(Life().begin().running(), SLOW)
    life.operator.progress.answers.clear()
    assert message(life.later(30)) is not None


def test_what_has_ended_keeps_nobody_waiting() -> None:
    assert message(tells(Life().begin().running(), SLOW).crash()) is None
    assert message(tells(Life().begin().running(), SLOW).complete()) is None


@pytest.mark.parametrize(
    "lie", [{}, [], 1, "3", {"rank": "3", "factor": 2.0}, {"rank": 3}, {"rank": -1, "factor": 2.0}]
)
def test_what_no_trainer_says_counts_as_nothing(lie: object) -> None:
    assert message(tells(Life().begin().running(), lie)) is None
