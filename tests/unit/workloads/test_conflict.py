"""Whose an object under a wanted name is, for any kind of owner."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import owner_labels, owner_reference
from deepseek_operator.core.resources import Resource
from deepseek_operator.workloads.conflict import Leaving, LeftBehind, Strangers, occupant
from deepseek_operator.workloads.owner import Owner

KINDS = [TRAINING, SERVING]


def an_object(
    labels: dict[str, str] | None = None, controller: dict[str, Any] | None = None, **meta: Any
) -> dict[str, Any]:
    owners = {"ownerReferences": [controller]} if controller is not None else {}
    return {"metadata": {"name": "x", "labels": labels or {}, **owners, **meta}}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_deleted_resource_of_the_name_controls_will_go(kind: Resource) -> None:
    owner = Owner(kind, "x", "team", "now")
    assert occupant(owner, an_object(controller=owner_reference(kind, "x", "before"))) == Leaving(is_former=True)
    older = {**owner_reference(kind, "x", "before"), "apiVersion": f"{kind.group}/v1"}
    assert occupant(owner, an_object(controller=older)) == Leaving(is_former=True)
    assert occupant(owner, an_object(controller=owner_reference(kind, "y", "before"))) == Strangers()
    foreign = {**owner_reference(kind, "x", "before"), "apiVersion": "example.com/v1alpha1"}
    assert occupant(owner, an_object(controller=foreign)) == Strangers()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_being_deleted_will_go_whosever_it_is(kind: Resource) -> None:
    owner = Owner(kind, "x", "team", "now")
    assert occupant(owner, an_object(deletionTimestamp="2026-01-01T00:00:00Z")) == Leaving(is_former=False)


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_earlier_resource_left_behind_is_known_by_its_labels(kind: Resource) -> None:
    owner = Owner(kind, "x", "team", "now")
    assert occupant(owner, an_object(owner_labels(kind, "x", "before"))) == LeftBehind("before")
    assert occupant(owner, an_object(owner_labels(kind, "y", "before"))) == Strangers()


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_the_same_name_is_a_stranger(kind: Resource) -> None:
    other = next(one for one in KINDS if one != kind)
    owner = Owner(kind, "x", "team", "now")
    assert occupant(owner, an_object(controller=owner_reference(other, "x", "before"))) == Strangers()
    assert occupant(owner, an_object()) == Strangers()
