"""A serving in each of its states, as it is stored, with what tools that wait are meant to make of it."""

from typing import Any

import pytest

from deepseek_operator.core.actions import Create, Done, Failure
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import Manifest
from deepseek_operator.kinds.serving import serving_kind
from tests.support.serving_look import (
    NO_ROOM,
    OLD,
    SCALED,
    broken_beside,
    deployment,
    ended,
    pod,
    recorded,
    scaler,
    target_of,
    tries,
)
from tests.support.servings import seen_of


def seen(serving: dict[str, Any], *found: Manifest, failure: Failure | None = None, **more: Any) -> dict[str, Any]:
    """The serving as it is stored after a look."""
    told = serving_kind(Configuration()).decide(seen_of(serving, children=found, **more)).status(Done(failure))
    return {**serving, "status": told.to_wire()}


def first(specified: int = 2, ready: int = 0, *pods: Manifest, **spec: Any) -> dict[str, Any]:
    serving = recorded(replicas=2, running=2, **spec)
    return seen(serving, deployment(serving, target_of(serving), specified, ready), *pods)


def second(*pods: Manifest) -> dict[str, Any]:
    serving = recorded(replicas=1, running=1)
    return seen(serving, deployment(serving, OLD, 1, 1), deployment(serving, target_of(serving), 1, 0), *pods)


def unplaced() -> Manifest:
    serving = recorded(replicas=1, running=1)
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_ROOM}
    return pod(serving, target_of(serving), phase="Pending", conditions=[condition])


def refused(reason: Any) -> dict[str, Any]:
    return seen(recorded(), failure=Failure(Create({}), reason, "no"))


def blind() -> dict[str, Any]:
    serving = recorded(replicas=2, running=2, **SCALED)
    return seen(serving, deployment(serving, target_of(serving), 2, 2), scaler("False", "FailedGetExternalMetric", 2))


def broken() -> Manifest:
    serving = recorded(replicas=1, running=1)
    return broken_beside(serving, target_of(serving))


def crashing() -> Manifest:
    serving = recorded(replicas=1, running=1)
    return pod(serving, target_of(serving), phase="Running", containerStatuses=[tries(ended(1))[0]])


STATES: list[Any] = [
    pytest.param(lambda: first(), "InProgress", "False", id="loading"),
    pytest.param(lambda: first(2, 2), "Current", "True", id="available"),
    pytest.param(lambda: first(2, 1), "InProgress", "False", id="one of two"),
    pytest.param(lambda: second(), "InProgress", "True", id="rolling"),
    pytest.param(lambda: second(unplaced()), "InProgress", "True", id="rolling without room"),
    pytest.param(lambda: second(crashing()), "InProgress", "True", id="rolling to what crashes"),
    pytest.param(lambda: second(broken()), "Failed", "True", id="rolling to what can't be"),
    pytest.param(lambda: first(2, 0, broken()), "Failed", "False", id="a first version that can't be"),
    pytest.param(lambda: seen(recorded(), references=[]), "InProgress", "False", id="no claim"),
    pytest.param(lambda: refused("Quota"), "InProgress", "False", id="a quota"),
    pytest.param(lambda: refused("Rejected"), "Failed", "False", id="rejected"),
    pytest.param(lambda: first(0, 0, suspend=True), "Current", "Suspended", id="suspended"),
    pytest.param(blind, "Current", "True", id="an autoscaler without metrics"),
]
