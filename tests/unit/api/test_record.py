"""The records of a status: gathered where a person does not read them, back in their place for the code."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from deepseek_operator.api.base import Condition, ObservedStatus
from deepseek_operator.api.record import KEY, paths
from deepseek_operator.api.v1alpha1.serving.status import ServingStatus
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from tests.support.leaves import schema_leaves
from tests.support.statuses import SERVING, TRAINING, UID

OLD = pytest.mark.parametrize(("model", "in_place"), [(TrainingStatus, TRAINING), (ServingStatus, SERVING)])


def _texts(value: object) -> Iterator[str]:
    match value:
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
        case str():
            yield value


@OLD
def test_what_an_earlier_release_wrote_is_read_and_moves(model: type[ObservedStatus], in_place: dict[str, Any]) -> None:
    old = model.model_validate(in_place)
    wire = old.to_wire()
    told = {key: value for key, value in wire.items() if key != KEY}
    assert not [text for text in _texts(told) if text in (UID, "r", "p", "a" * 16, "d" * 16)]
    assert model.model_validate(wire) == old
    assert {".".join(path) for path in paths(model)} - {"plan.degrees"} <= {
        path.removeprefix("status.record.").partition("[]")[0]
        for path in schema_leaves("deepseektrainings" if model is TrainingStatus else "deepseekservings", "status")
    }


def test_a_part_that_somebody_removed_stays_removed() -> None:
    wire = TrainingStatus.model_validate(TRAINING).to_wire()
    del wire["attempt"], wire["volume"]
    read = TrainingStatus.model_validate(wire)
    assert (read.attempt, read.volume, read.uid, len(read.ancestry)) == (None, None, UID, 1)


def test_nothing_that_is_empty_is_written() -> None:
    assert TrainingStatus().to_wire() == {"observedGeneration": -1, "restarts": 0, "disruptions": 0}
    assert ServingStatus().to_wire() == {"observedGeneration": -1, "replicas": 0, "readyReplicas": 0}


@pytest.mark.parametrize("model", [TrainingStatus, ServingStatus])
def test_a_condition_has_every_key_that_clients_of_kubernetes_conditions_require(model: type[ObservedStatus]) -> None:
    quiet = Condition(type="Stalled", status="False", reason="Settled", last_transition_time="2026-01-31T08:09:10Z")
    (told,) = model(conditions=[quiet]).to_wire()["conditions"]
    assert set(told) - {"observedGeneration"} == {"type", "status", "reason", "message", "lastTransitionTime"}
    assert told["message"] == ""
    assert model.model_validate({"conditions": [told]}).conditions == [quiet]


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        found = [field.annotation, *get_args(field.annotation)]
        for one in found:
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from _models(one)


def test_a_text_that_may_be_empty_may_be_absent() -> None:
    """What is empty is not written, and must be read all the same."""
    demanded = {
        f"{one.__name__}.{name}"
        for status in (TrainingStatus, ServingStatus)
        for one in _models(status)
        for name, field in one.model_fields.items()
        if field.is_required() and field.annotation is str and one is not Condition
    }
    assert demanded == set()
