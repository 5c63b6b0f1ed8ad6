"""From a pydantic model to the structural OpenAPI v3 schema that a CustomResourceDefinition accepts.

pydantic writes JSON Schema 2020-12; a structural schema is a small, stricter part of OpenAPI 3.0: no references, no
`null`, no `const`, no numeric exclusive bounds, no patterns on keys, nothing without a type. Only what our models use is
translated, and a keyword that is not known here is an error: a constraint that silently disappeared would be a promise
not kept.

An optional part that has a default factory gets the defaults below it as its own default: the API server fills them in
only where the object exists, and it judges the rules of a default by that default alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from json import dumps
from typing import Any, TypeAlias

from pydantic import BaseModel

from deepseek_operator.api import record
from deepseek_operator.api.base import INT_OR_STRING, MESSAGE, rule

Schema: TypeAlias = Mapping[str, Any]

_DROPPED = {"$defs", "title", "examples", "propertyNames", MESSAGE}
_KEPT = {
    "type",
    "description",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "default",
}
_VALIDATIONS = "x-kubernetes-validations"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


class UnsupportedSchema(ValueError):
    """A model uses what a structural schema can't say, or what this module was never taught."""


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of `model`, keys and properties in the order of the model.

    Raises:
        UnsupportedSchema: the model uses a construct that has no structural form.
    """
    document = model.model_json_schema(by_alias=True, mode="validation")
    return _node(document, document.get("$defs", {}), model.__name__)


def without_defaults(schema: Schema) -> dict[str, Any]:
    """The schema without any default below it: what was not observed must not appear in a status."""
    return _map_children({key: value for key, value in schema.items() if key != "default"}, without_defaults)


def with_string_bound(schema: Schema, limit: int) -> dict[str, Any]:
    """The schema with `maxLength: limit` on every string that has no bound of its own."""
    bounded = dict(schema)
    if schema.get("type") == "string" and not {"maxLength", "enum"} & schema.keys():
        bounded["maxLength"] = limit
    return _map_children(bounded, lambda child: with_string_bound(child, limit))


def children(schema: Schema) -> Mapping[str, Schema]:
    """What lies directly below: properties by name, list items as `[]`, map values as `{}`."""
    found = dict(schema.get("properties", {}))
    for key, name in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            found[name] = schema[key]
    return found


def _map_children(schema: Schema, change: Callable[[Schema], dict[str, Any]]) -> dict[str, Any]:
    changed = dict(schema)
    if "properties" in schema:
        changed["properties"] = {name: change(child) for name, child in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            changed[key] = change(schema[key])
    return changed


def _node(raw: Schema, definitions: Schema, path: str) -> dict[str, Any]:
    node = _without_null(_inlined(raw, definitions, path), definitions, path)
    result: dict[str, Any] = {}
    for key, value in node.items():
        match key:
            case _ if key in _DROPPED or (key == "pattern" and MESSAGE in node):
                pass
            case "const":
                result["enum"] = [value]
            case "exclusiveMinimum" | "exclusiveMaximum":
                result |= {key.replace("exclusiveM", "m"): value, key: True}
            case "properties":
                result[key] = {
                    name: _property(name, child, node, definitions, f"{path}.{name}") for name, child in value.items()
                }
            case "items":
                result[key] = _node(value, definitions, f"{path}[]")
            case "patternProperties":
                (values,) = value.values()
                result["additionalProperties"] = _node(values, definitions, f"{path}{{}}")
            case "additionalProperties":
                if isinstance(value, Mapping):
                    result[key] = _node(value, definitions, f"{path}{{}}")
                elif value and not node.get(_PRESERVE):
                    raise UnsupportedSchema(f"{path}: a free-form map needs {_PRESERVE}")
            case _ if key in _KEPT or key == record.MARK or key.startswith("x-kubernetes-"):
                result[key] = value
            case _:
                raise UnsupportedSchema(f"{path}: {key} has no structural form")
    if node.get(INT_OR_STRING):
        return _int_or_string(result, node)
    if "type" not in result:
        raise UnsupportedSchema(f"{path}: a structural schema needs a type")
    return _with_rules(result, *_key_rules(node), *_pattern_rules(node))


def _int_or_string(schema: dict[str, Any], node: Schema) -> dict[str, Any]:
    """A text that may be a whole number has no type of its own; pattern and length bind the text only.

    The rule with the sentence reads both forms as text. It is dear to the server's cost estimate, which takes the value
    for as long as a request; so a type for lists has none, and shows its pattern.
    """
    schema = {key: value for key, value in schema.items() if key != "type"}
    if MESSAGE not in node:
        return _with_rules(schema)
    return _with_rules(schema, rule(f"string(self).matches({dumps(node['pattern'])})", node[MESSAGE]))


def _property(name: str, raw: Schema, parent: Schema, definitions: Schema, path: str) -> dict[str, Any]:
    schema = _node(raw, definitions, path)
    is_required = name in parent.get("required", ())
    if not is_required and "anyOf" not in raw and "default" not in schema and "properties" in schema:
        schema["default"] = {key: child["default"] for key, child in schema["properties"].items() if "default" in child}
    return schema


def _inlined(node: Schema, definitions: Schema, path: str) -> Schema:
    """The node with its reference replaced by what it names; what stands beside the reference wins, rules add up."""
    if "$ref" not in node:
        return node
    target = definitions[node["$ref"].removeprefix("#/$defs/")]
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return _merged(_inlined(target, definitions, path), beside)


def _without_null(node: Schema, definitions: Schema, path: str) -> Schema:
    """`X | None` is an X that may be left out. Null itself never means anything."""
    if "anyOf" not in node:
        return node
    options = [option for option in node["anyOf"] if option != {"type": "null"}]
    if len(options) != 1:
        raise UnsupportedSchema(f"{path}: a union of types has no structural form")
    beside = {key: value for key, value in node.items() if key != "anyOf" and (key, value) != ("default", None)}
    return _merged(_inlined(options[0], definitions, path), beside)


def _merged(inner: Schema, outer: Schema) -> Schema:
    validations: Sequence[Schema] = [*inner.get(_VALIDATIONS, ()), *outer.get(_VALIDATIONS, ())]
    return {**inner, **outer, **({_VALIDATIONS: validations} if validations else {})}


def _with_rules(schema: dict[str, Any], *more: dict[str, str]) -> dict[str, Any]:
    return schema | {_VALIDATIONS: [*more, *schema.get(_VALIDATIONS, ())]} if more else schema


def _key_rules(node: Schema) -> Iterator[dict[str, str]]:
    """OpenAPI 3.0 can't constrain the keys of a map; a rule can."""
    for pattern in node.get("patternProperties", ()):
        keys = node["propertyNames"]
        limit = keys["maxLength"]
        says = keys.get(MESSAGE, f"at most {limit} characters that match {pattern}")
        yield rule(f"self.all(key, size(key) <= {limit} && key.matches({dumps(pattern)}))", f"keys: {says}")


def _pattern_rules(node: Schema) -> Iterator[dict[str, str]]:
    """A pattern that comes with a sentence is checked by a rule: a refusal then says what to write, not the pattern."""
    if MESSAGE in node and "pattern" in node:
        yield rule(f"self.matches({dumps(node['pattern'])})", node[MESSAGE])
