"""A gang that started again in its pods: told with its cause each time, counted apart from attempts, allowed by the spec."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.progress import InPlaceRestartStatus
from deepseek_operator.core.conditions import find
from tests.support.trainings import Life

CAUSE = "rank 1 died of SIGSEGV on node gpu-17"


def tells(life: Life, **restarts: Any) -> Life:
    said = {"formatVersion": 1, "state": "Training", "step": 6, "maxSteps": 10, "inPlaceRestarts": restarts or None}
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = said
    return life.later(30)


def warnings(life: Life) -> list[str]:
    return [event.note for _, event in life.cluster.events if event.reason == "RestartedInPlace"]


def variables(life: Life) -> dict[str, Any]:
    (container,) = life.pod(0)["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def test_each_restart_is_told_once_and_costs_neither_pods_nor_an_attempt() -> None:
    life = Life().begin().running()
    pods = [pod["metadata"]["uid"] for pod in life.pods()]
    assert warnings(tells(life)) == []
    tells(life, count=1, step=5, cause=CAUSE).later(30)
    assert warnings(life) == [f"{CAUSE} after step 5: the gang started again in the same pods (once in this attempt)"]
    tells(life, count=2, step=9, cause=CAUSE)
    assert "after step 9" in warnings(life)[1]
    assert life.told == ("Ready", "Running")
    condition = find(life.owner.status.conditions, "CrashWarning")
    assert condition is not None
    assert (condition.reason, condition.message) == ("RestartedInPlace", warnings(life)[1])
    status = life.owner.status
    assert status.attempt is not None
    assert (status.attempt.number, status.restarts, status.disruptions) == (1, 0, 0)
    assert [pod["metadata"]["uid"] for pod in life.pods()] == pods


def test_what_an_attempt_had_is_known_from_its_last_words_and_is_not_the_next_ones() -> None:
    life = Life().begin().running()
    words = {"formatVersion": 1, "message": "boom", "inPlaceRestarts": {"count": 3, "step": 5, "cause": CAUSE}}
    life.crash(message=json.dumps(words))
    assert life.owner.status.in_place_restarts == InPlaceRestartStatus(count=3, step=5, cause=CAUSE)
    assert life.owner.status.restarts == 1, "beyond the bound it is a crash like any other"
    life.later(60).running()
    assert life.owner.status.in_place_restarts is None
    assert find(life.owner.status.conditions, "CrashWarning") is None


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({}, "3"),
        ({"maxRestarts": 1}, "3"),
        ({"maxRestarts": 0}, None),
        ({"maxRestarts": 0, "maxInPlaceRestarts": 2}, "2"),
        ({"maxInPlaceRestarts": 0}, None),
    ],
)
def test_how_often_is_the_specs(policy: dict[str, int], told: str | None) -> None:
    found = variables(Life().begin(failurePolicy=policy))
    assert found.get("DEEPSEEK_MAX_IN_PLACE_RESTARTS") == told
    assert ("DEEPSEEK_LAUNCHER_PORT" in found) == (told is not None)
    assert found["DEEPSEEK_NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}


def test_the_attempt_after_a_crash_knows_that_it_is_one() -> None:
    life = Life().begin().running()
    assert "DEEPSEEK_FOLLOWS_CRASH" not in variables(life)
    assert variables(life.crash().later(60))["DEEPSEEK_FOLLOWS_CRASH"] == "1"
    life.running().crash(code=75).later(600)
    assert "DEEPSEEK_FOLLOWS_CRASH" not in variables(life), "what was stopped did not crash"


def test_nothing_of_it_is_told_to_a_program_of_the_users() -> None:
    life = Life().begin(trainer={"type": "custom", "image": "mine:1", "command": ["train"]})
    assert not {"DEEPSEEK_MAX_IN_PLACE_RESTARTS", "DEEPSEEK_NODE_NAME"} & set(variables(life))


@pytest.mark.parametrize("lie", [{"count": 0}, {"count": "1"}, {"count": True}, {"count": 10**12}, {}, [], "1", None])
def test_what_no_launcher_says_counts_as_nothing(lie: object) -> None:
    life = Life().begin().running()
    life.crash(message=json.dumps({"formatVersion": 1, "result": "Failed", "inPlaceRestarts": lie}))
    assert life.owner.status.in_place_restarts is None


def test_a_cause_of_any_length_and_form_is_a_line_of_text() -> None:
    life = Life().begin().running()
    lie = {"count": 1, "cause": "\x1b[31m" + "x" * 3000}
    life.crash(message=json.dumps({"formatVersion": 1, "result": "Failed", "inPlaceRestarts": lie}))
    known = life.owner.status.in_place_restarts
    assert known is not None
    assert len(known.cause) <= 512
    assert "\x1b" not in known.cause
