"""Several rules judged as one: it holds where each would, and tells of all that are broken."""

from itertools import combinations, product

import cel
import pytest

from deepseek_operator.adapters.admission import Refused, admit
from deepseek_operator.api.base import rule, together
from deepseek_operator.api.crd import documents
from deepseek_operator.kinds.registry import KINDS
from tests.support.api_objects import Object, changed, minimal_training

PARTS = (
    rule("self.a", "write a: it's needed"),
    rule("self.b || false", 'write b: "yes"; or no'),
    rule("!has(self.c) || self.c", "write c × 2"),
)
ALL = together("self.free || false", *PARTS, at=".where")


def _answer(expression: str, value: Object) -> object:
    context = cel.Context()
    context.add_function("replace", str.replace)
    context.add_variable("self", value)
    return cel.compile(expression).execute(context)


@pytest.mark.parametrize(("free", "a", "b", "c"), list(product((True, False), repeat=4)))
def test_one_rule_judges_as_its_parts_would_and_tells_of_every_broken_one(
    free: bool, a: bool, b: bool, c: bool
) -> None:
    value = {"free": free, "a": a, "b": b, "c": c}
    broken = [part["message"] for part, holds in zip(PARTS, (a, b, c), strict=True) if not holds]
    assert _answer(ALL["rule"], value) is (free or not broken)
    assert _answer(ALL["messageExpression"], value) == "; ".join(broken)


BUILT_INS = {
    "spec.initFrom": ({"training": "first"}, "initFrom is the built-in trainer's"),
    "spec.evaluation": ({"command": ["a"]}, "evaluation.command is run by the built-in trainer"),
    "spec.tracking": ({"tensorboard": {}}, "tracking is what the built-in trainer does"),
    "spec.data": ({}, "data is what the built-in trainer prepares"),
}


@pytest.mark.parametrize("fields", [found for count in (1, 2, 4) for found in combinations(BUILT_INS, count)])
def test_what_another_trainer_does_nothing_with_is_told_at_once(fields: tuple[str, ...]) -> None:
    changes = {field: BUILT_INS[field][0] for field in fields}
    own = {"spec.trainer": {"type": "custom", "command": ["a"]}}
    answer = admit(changed(minimal_training(), {**own, **changes}), KINDS.definitions)
    assert isinstance(answer, Refused)
    (told,) = [reason for reason in answer.reasons if reason.startswith("spec.trainer.type: ")]
    assert {field for field, (_, words) in BUILT_INS.items() if words in told} == set(fields)


def test_few_rules_stand_where_every_write_of_a_status_pays_for_the_schemas_of_all_fields() -> None:
    """A step into the spec or the status copies the schemas of some twenty fields; deeper down it copies a few."""
    for document in documents(KINDS.definitions):
        root = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert len(root["x-kubernetes-validations"]) <= 3
        assert len(root["properties"]["spec"]["x-kubernetes-validations"]) <= 30
