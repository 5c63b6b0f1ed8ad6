"""From pydantic to a structural schema."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, StringConstraints

from deepseek_operator.api.base import ApiModel, rule, rules
from deepseek_operator.api.schema import UnsupportedSchema, structural, with_string_bound, without_defaults

Key = Annotated[str, StringConstraints(pattern="^[a-z]+$", max_length=8)]


class Inner(ApiModel):
    """An inner part."""

    model_config = {"json_schema_extra": rules(rule("self.size > 0", "of the class"))}

    size: Annotated[int, Field(gt=0, le=9)] = 3
    colour: Literal["Red"] | None = None


class Outer(ApiModel):
    """The whole."""

    inner: Inner = Field(
        default_factory=Inner, description="Told here.", json_schema_extra=rules(rule("true", "of the field"))
    )
    other: Inner | None = None
    labels: dict[Key, str] = Field(default_factory=dict, max_length=4)
    free: dict[str, Any] | None = Field(default=None, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
    needed: str


def test_a_reference_is_written_out_and_rules_of_both_sides_hold() -> None:
    inner = structural(Outer)["properties"]["inner"]
    assert inner == {
        "type": "object",
        "description": "Told here.",
        "properties": {
            "size": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "default": 3},
            "colour": {"type": "string", "enum": ["Red"]},
        },
        "x-kubernetes-validations": [rule("self.size > 0", "of the class"), rule("true", "of the field")],
        "default": {"size": 3},
    }


def test_a_part_that_may_be_absent_gets_no_default() -> None:
    assert "default" not in structural(Outer)["properties"]["other"]


def test_only_what_has_no_default_is_required() -> None:
    assert structural(Outer)["required"] == ["needed"]


def test_a_constraint_on_keys_becomes_a_rule() -> None:
    labels = structural(Outer)["properties"]["labels"]
    assert labels["additionalProperties"] == {"type": "string"}
    assert labels["maxProperties"] == 4
    (made,) = labels["x-kubernetes-validations"]
    assert made["rule"] == 'self.all(key, size(key) <= 8 && key.matches("^[a-z]+$"))'


def test_a_free_form_map_keeps_unknown_fields_and_has_no_schema_below() -> None:
    assert structural(Outer)["properties"]["free"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class Free(ApiModel):
    """Open by accident."""

    anything: dict[str, Any]


class Union(ApiModel):
    """Two types at once."""

    either: int | str


class Pair(ApiModel):
    """A tuple has no structural form."""

    pair: tuple[int, str]


@pytest.mark.parametrize("model", [Free, Union, Pair])
def test_what_has_no_structural_form_is_an_error_not_a_hole(model: type[ApiModel]) -> None:
    with pytest.raises(UnsupportedSchema, match=model.__name__):
        structural(model)


def test_a_status_loses_its_defaults_at_every_depth() -> None:
    assert without_defaults(
        {"type": "object", "default": {}, "properties": {"a": {"type": "array", "items": {"default": 1}}}}
    ) == {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {}}},
    }


def test_a_string_keeps_a_bound_that_it_has() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string", "maxLength": 2}}}
    assert with_string_bound(schema, 9)["properties"] == {
        "a": {"type": "string", "maxLength": 9},
        "b": {"type": "string", "maxLength": 2},
    }
