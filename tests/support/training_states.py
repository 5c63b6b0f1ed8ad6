"""What leads a training into each of its states, with what tools that wait are meant to make of it."""

from collections.abc import Callable
from typing import Any

from tests.support.trainings import Life

REFUSED = '{"formatVersion":1,"message":"no such file"}'


def suspended(life: Life) -> None:
    life.begin().running().edit(lambda spec: spec.update(suspend=True)).gone()


def resumed(life: Life) -> None:
    suspended(life)
    life.edit(lambda spec: spec.update(suspend=False)).running()


def unschedulable(life: Life) -> None:
    life.begin()
    life.world.unschedulable(life.pod(0))
    life.turn()


def corrected(life: Life) -> None:
    life.begin().running().crash(code=64, message=REFUSED)
    life.edit(lambda spec: spec["hyperparameters"].update(maxSteps=7))


STATES: list[tuple[Callable[[Life], Any], str, set[str]]] = [
    (lambda life: life.begin(), "InProgress", set()),
    (unschedulable, "InProgress", set()),
    (lambda life: life.begin().running(), "Current", {"Ready"}),
    (lambda life: life.begin().running().crash(), "InProgress", set()),
    (suspended, "Current", {"Suspended"}),
    (resumed, "Current", {"Ready"}),
    (lambda life: life.begin().running().complete(), "Current", {"Ready", "Complete"}),
    (lambda life: life.begin().running().crash(code=64, message=REFUSED), "Failed", {"Stalled", "Failed"}),
    (lambda life: life.begin(failurePolicy={"maxRestarts": 0}).running().crash(), "Failed", {"Stalled", "Failed"}),
    (lambda life: life.begin(accelerator={"profile": "nosuch"}), "Failed", {"Stalled"}),
    (lambda life: life.begin(datasets=[{"source": {"uri": "pvc://nosuch/a.jsonl"}}]), "InProgress", set()),
    (corrected, "InProgress", set()),
]
