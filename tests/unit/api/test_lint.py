"""What every field of the API owes to its users, in the spirit of kube-api-linter."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from deepseek_operator.api.crd import UNSEEN, documents
from deepseek_operator.api.schema import children
from deepseek_operator.kinds.registry import KINDS

Schema = Mapping[str, Any]


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in children(schema).items():
        yield from _fields(child, path + name if name in ("[]", "{}") else f"{path}.{name}")


def _root(document: Schema) -> Schema:
    schema: Schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


FIELDS = {
    f"{document['spec']['names']['shortNames'][0]}{path}": field
    for document in documents(KINDS.definitions)
    for part in ("spec", "status")
    for path, field in _fields(_root(document)["properties"][part], f".{part}")
}


def _of_type(*types: str) -> dict[str, Schema]:
    return {path: field for path, field in FIELDS.items() if field.get("type", "string") in types}


def _lacking(fields: Mapping[str, Schema], *keys: str) -> list[str]:
    """Paths of the fields that have none of the keys."""
    return [path for path, field in fields.items() if not field.keys() & set(keys)]


def test_the_lint_sees_both_kinds_whole() -> None:
    assert len(FIELDS) > 200
    assert {
        "dst.spec.datasets[].source.uri",
        "dss.spec.pod.nodeSelector{}",
        "dst.status.conditions[].reason",
    } <= FIELDS.keys()


def test_every_field_tells_what_it_is() -> None:
    named = {path: field for path, field in FIELDS.items() if not path.endswith(("[]", "{}"))}
    assert _lacking(named, "description") == []
    assert [path for path, field in named.items() if not field["description"].strip().endswith((".", "…"))] == []


def test_every_string_is_bounded() -> None:
    assert _lacking(_of_type("string"), "maxLength", "enum") == []


def test_every_list_is_bounded_and_says_how_it_merges() -> None:
    assert _lacking(_of_type("array"), "maxItems") == []
    assert _lacking(_of_type("array"), "x-kubernetes-list-type") == []


def test_every_map_is_bounded() -> None:
    maps = {path: field for path, field in _of_type("object").items() if "properties" not in field}
    assert maps.keys() == {
        "dst.spec.model.custom",
        "dst.spec.trainer.pod.annotations",
        "dst.spec.trainer.pod.labels",
        "dst.spec.trainer.pod.nodeSelector",
        "dss.spec.model.custom",
        "dss.spec.pod.annotations",
        "dss.spec.pod.labels",
        "dss.spec.pod.nodeSelector",
    }
    assert _lacking(maps, "maxProperties") == []


def test_every_number_of_a_spec_has_both_ends() -> None:
    numbers = {path: field for path, field in _of_type("integer").items() if ".spec" in path}
    assert [path for path, field in numbers.items() if not {"minimum", "maximum"} <= field.keys()] == []


def test_no_field_is_a_float() -> None:
    assert list(_of_type("number")) == []


def test_durations_carry_their_unit_in_the_name() -> None:
    words = ("Timeout", "Period", "Interval", "Delay", "Duration")
    assert [path for path in _of_type("integer") if path.endswith(words)] == []


def test_a_status_shows_only_what_was_seen() -> None:
    assert [
        path
        for path, field in FIELDS.items()
        if ".status" in path and "default" in field and not path.endswith(".status")
    ] == []


@pytest.mark.parametrize(
    "document", documents(KINDS.definitions), ids=lambda document: document["spec"]["names"]["kind"]
)
def test_conditions_come_first_and_the_default_says_not_observed(document: Schema) -> None:
    status = _root(document)["properties"]["status"]
    assert next(iter(status["properties"])) == "conditions"
    assert status["default"] == UNSEEN


@pytest.mark.parametrize(
    "path",
    [
        path
        for path, field in FIELDS.items()
        if "default" in field and field.get("type", "string") in ("string", "integer")
    ],
)
def test_a_description_names_the_default(path: str) -> None:
    field = FIELDS[path]
    text = field["description"].replace('"', "")
    assert f"Default {field['default'] if field['default'] != '' else 'empty'}." in text


def test_every_rule_says_something() -> None:
    rules = [(path, rule) for path, field in FIELDS.items() for rule in field.get("x-kubernetes-validations", ())]
    assert len(rules) > 25
    assert [path for path, rule in rules if len(rule.get("message") or rule["messageExpression"]) < 20] == []


def test_a_number_that_may_have_a_fraction_says_that_it_is_quoted_then() -> None:
    """The server can say no more than `must be of type integer,string`; `kubectl explain` says the rest."""
    numbers = {path: field for path, field in FIELDS.items() if field.get("x-kubernetes-int-or-string")}
    bytes_ = {path for path in numbers if path.endswith(("memory", "sharedMemory", "volume.size"))}
    assert len(numbers) >= 12
    assert [path for path in numbers.keys() - bytes_ if "in quotes" not in numbers[path]["description"]] == []
