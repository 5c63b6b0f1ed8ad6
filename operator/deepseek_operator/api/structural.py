"""What an API server makes of an object by a structural schema alone: unknown fields, defaults, and what is wrong.

The words are the server's own (kube-openapi's validation, 1.36), so that a person who has read them offline knows them
when the server says them. Rules in CEL are judged elsewhere: they need a library.
"""

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

Schema = Mapping[str, Any]

A_LIST = "write a list, each entry with a dash before it"

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_ROOT = frozenset({"apiVersion", "kind", "metadata"})
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def unknown_fields(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """Paths of fields that the schema does not have, in the order in which they are written."""
    if isinstance(value, Mapping) and not schema.get(_PRESERVE):
        known = schema.get("properties", {})
        values = schema.get("additionalProperties")
        for key, child in value.items():
            where = f"{path}.{key}" if path else str(key)
            if key in known:
                if not (path == "" and key == "metadata"):
                    yield from unknown_fields(child, known[key], where)
            elif isinstance(values, Mapping):
                yield from unknown_fields(child, values, where)
            elif not (path == "" and key in _ROOT):
                yield where
    elif isinstance(value, list) and "items" in schema:
        for index, child in enumerate(value):
            yield from unknown_fields(child, schema["items"], f"{path}[{index}]")


def advice(path: str, schema: Schema) -> str | None:
    """What is probably meant by an unknown field at `path`; None when nothing is near."""
    *parents, last = re.sub(r"\[\d+\]", ".[]", path).split(".")
    node: Schema = schema
    for key in parents:
        node = node.get("items", {}) if key == "[]" else node.get("properties", {}).get(key, {})
    if node.get("type") == "array":
        return f"{'.'.join(parents)}: {A_LIST}"
    found = get_close_matches(last, list(node.get("properties", {})), 1, 0.6)
    return f"{path}: did you mean {found[0]}?" if found else None


def with_defaults(value: Any, schema: Schema) -> Any:
    """The value with the schema's defaults filled in; a null in a field that knows none counts as absent."""
    if isinstance(value, Mapping):
        known = schema.get("properties", {})
        filled = {
            key: child
            for key, child in value.items()
            if not (child is None and key in known and not known[key].get("nullable"))
        }
        filled |= {key: child["default"] for key, child in known.items() if "default" in child and key not in filled}
        values = schema.get("additionalProperties")
        return {
            key: with_defaults(child, known[key])
            if key in known
            else with_defaults(child, values)
            if isinstance(values, Mapping)
            else child
            for key, child in filled.items()
        }
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(child, schema["items"]) for child in value]
    return value


def metadata_errors(metadata: Any) -> Iterator[str]:
    """What is wrong with metadata.name, and with the types of what else a person writes into metadata."""
    yield from _name_errors(metadata)
    for field, value in metadata.items() if isinstance(metadata, Mapping) else ():
        if value is None:
            continue
        if field in ("namespace", "generateName") and not isinstance(value, str):
            yield f"metadata.{field}: Invalid value: {_shown(value)}: must be a string"
        elif field in ("labels", "annotations") and not isinstance(value, Mapping):
            yield f"metadata.{field}: Invalid value: must be a map of texts"
        elif field in ("labels", "annotations"):
            wrong = (key for key, text in value.items() if not isinstance(text, str))
            yield from (
                f"metadata.{field}: Invalid value: {key}: must be a string: write it in quotes" for key in wrong
            )
        elif field == "finalizers" and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            yield "metadata.finalizers: Invalid value: must be a list of texts"


def _name_errors(metadata: Any) -> Iterator[str]:
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not name:
        yield "metadata.name: Required value: name or generateName is required"
    elif not isinstance(name, str):
        yield f"metadata.name: Invalid value: {_shown(name)}: must be a string"
    elif not _DNS_SUBDOMAIN.fullmatch(name) or len(name) > 253:
        yield f"metadata.name: Invalid value: {_shown(name)}: {_NAME_WORDS}"


def errors(value: Any, schema: Schema, path: str = "") -> Iterator[str]:
    """What is wrong with the value, in the server's words; defaults must be filled in."""
    if (wrong := _type_error(value, schema, path)) is not None:
        yield wrong
        return
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(json.dumps(one) for one in schema["enum"])
        yield f"{path}: Unsupported value: {_shown(value)}: supported values: {supported}"
    match value:
        case bool():
            pass
        case str():
            yield from _text_errors(value, schema, path)
        case int() | float():
            yield from _number_errors(value, schema, path)
        case list():
            yield from _list_errors(value, schema, path)
        case Mapping():
            yield from _object_errors(value, schema, path)


def hides_rules(words: str) -> bool:
    """True for a complaint beside which the server judges no rule: of a type, a length, a choice, or what is missing."""
    kinds = ("Required value", "Unsupported value", "Too long", "Too many")
    return words.partition(": ")[2].startswith(kinds) or " in body must be of type " in words


def _type_error(value: Any, schema: Schema, path: str) -> str | None:
    """A value of a type that the schema does not have, named by the type that it is of."""
    if schema.get(_INT_OR_STRING):
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return None
        return f"{path}: Invalid value: {_kind(value)}: {path} in body must be of type integer,string: {_kind(value)}"
    wanted = schema.get("type")
    if wanted is None or (value is None and schema.get("nullable")):
        return None
    fits = {
        "object": isinstance(value, Mapping),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": _is_whole(value),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
    }
    if fits[wanted]:
        return None
    return f"{path}: Invalid value: {_kind(value)}: {path} in body must be of type {wanted}: {_kind(value)}"


def _is_whole(value: Any) -> bool:
    """True for what fits 64 bits; a larger number is read as a floating one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return float(value).is_integer() and abs(value) < 1 << 63


def _kind(value: Any) -> str:
    match value:
        case None:
            return '"null"'
        case bool():
            return '"boolean"'
        case str():
            return '"string"'
        case int():
            return '"integer"' if abs(value) < 1 << 63 else '"number"'
        case float():
            return '"number"'
        case list():
            return '"array"'
        case _:
            return '"object"'


def _text_errors(value: str, schema: Schema, path: str) -> Iterator[str]:
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{path}: Too long: may not be more than {schema['maxLength']} bytes"
    if len(value) < schema.get("minLength", 0):
        yield f"{path}: Invalid value: {_shown(value)}: {path} in body should be at least {schema['minLength']} chars long"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{path}: Invalid value: {_shown(value)}: {path} in body should match '{schema['pattern']}'"


def _number_errors(value: float, schema: Schema, path: str) -> Iterator[str]:
    if "minimum" in schema and (
        value < schema["minimum"] or (schema.get("exclusiveMinimum") and value == schema["minimum"])
    ):
        than = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield f"{path}: Invalid value: {_shown(value)}: {path} in body should be {than} {schema['minimum']}"
    if "maximum" in schema and (
        value > schema["maximum"] or (schema.get("exclusiveMaximum") and value == schema["maximum"])
    ):
        than = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield f"{path}: Invalid value: {_shown(value)}: {path} in body should be {than} {schema['maximum']}"


def _list_errors(value: list[Any], schema: Schema, path: str) -> Iterator[str]:
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{path}: Too many: {len(value)}: must have at most {schema['maxItems']} items"
    if len(value) < schema.get("minItems", 0):
        yield f"{path}: Invalid value: {len(value)}: {path} in body should have at least {schema['minItems']} items"
    for index, child in enumerate(value):
        yield from errors(child, schema.get("items", {}), f"{path}[{index}]")
    yield from _duplicates(value, schema, path)


def _duplicates(value: list[Any], schema: Schema, path: str) -> Iterator[str]:
    """Lists that are maps or sets hold every key once."""
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if schema.get("x-kubernetes-list-type") not in ("map", "set"):
        return
    seen: list[Any] = []
    for index, child in enumerate(value):
        key = {name: child.get(name) for name in keys} if keys and isinstance(child, Mapping) else child
        if key in seen:
            yield f"{path}[{index}]: Duplicate value: {json.dumps(key, separators=(',', ':'))}"
        seen.append(key)


def _object_errors(value: Mapping[str, Any], schema: Schema, path: str) -> Iterator[str]:
    known, values = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}.{name}: Required value".lstrip(".")
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{path}: Too many: {len(value)}: must have at most {schema['maxProperties']} items"
    for key, child in value.items():
        where = f"{path}.{key}".lstrip(".")
        if key in known:
            yield from errors(child, known[key], where)
        elif isinstance(values, Mapping):
            yield from errors(child, values, where)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
