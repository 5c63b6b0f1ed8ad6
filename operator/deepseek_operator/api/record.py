"""Where the records of a status stand on the wire: what only the operator reads is gathered under `status.record`.

A person reads a status field by field, and digests, uids and back-off levels tell them nothing. So the fields that are
marked `RECORD` leave their place when a status is written, and come back to it when one is read; in between, and to all
code, they are where they belong. What an earlier release wrote in place is read there, and moves with the next write;
the definitions keep such fields (`x-kubernetes-preserve-unknown-fields`), or the server would prune them first.
"""

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.config import JsonDict

KEY = "record"
MARK = "x-record"
RECORD: JsonDict = {MARK: True}
"""`json_schema_extra` of a field that only the operator reads."""

DESCRIPTION = "What the operator must know again after a restart: digests, uids and counters. For programs; a person needs none of it."
_PRESERVE = "x-kubernetes-preserve-unknown-fields"

Path: TypeAlias = tuple[str, ...]
Schema: TypeAlias = Mapping[str, Any]


@cache
def paths(model: type[BaseModel]) -> tuple[Path, ...]:
    """Where the marked fields of `model` and of the models that it holds stand in its JSON form, in its order."""
    found: list[Path] = []
    for name, field in model.model_fields.items():
        alias, extra = field.alias or name, field.json_schema_extra
        if isinstance(extra, Mapping) and extra.get(MARK):
            found.append((alias,))
        elif (held := _held(field.annotation)) is not None:
            found += [(alias, *path) for path in paths(held)]
    return tuple(found)


def _held(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, or may hold; a list is one value."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)


def gathered(wire: Mapping[str, Any], marked: tuple[Path, ...]) -> dict[str, Any]:
    """The status as it is written: what stood at the marked paths is under `record`, at the same paths."""
    told, record = _divided(wire, marked)
    return {**told, KEY: record} if record else told


def spread(wire: Mapping[str, Any]) -> dict[str, Any]:
    """The status as it is read: the record in its place. A record of a part that somebody removed is left out."""
    record = wire.get(KEY)
    told = {key: value for key, value in wire.items() if key != KEY}
    for key, value in record.items() if isinstance(record, Mapping) else ():
        if not isinstance(value, Mapping):
            told[key] = value
        elif isinstance(told.get(key), Mapping):
            told[key] = {**told[key], **value}
    return told


def without_empty(value: Any) -> Any:
    """A status without empty texts, lists and mappings: a line that says nothing is no line. Zero and false stay."""
    match value:
        case Mapping():
            kept = {key: without_empty(item) for key, item in value.items()}
            return {key: item for key, item in kept.items() if item not in ("", [], {}, None)}
        case list():
            return [without_empty(item) for item in value]
        case _:
            return value


def gathered_schema(schema: Schema) -> dict[str, Any]:
    """The schema of a status with its marked fields under `record`, and with room for what stood in their places."""
    told, record = _schema_divided(schema)
    record = {**record, "description": DESCRIPTION}
    return {**told, "properties": {**told["properties"], KEY: record}} if record.get("properties") else told


def _divided(wire: Mapping[str, Any], marked: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    told, record = dict(wire), dict[str, Any]()
    for key in dict.fromkeys(path[0] for path in marked if path[0] in wire):
        below = tuple(path[1:] for path in marked if path[0] == key and len(path) > 1)
        if not below:
            record[key] = told.pop(key)
            continue
        told[key], part = _divided(told[key], below)
        record |= {key: part} if part else {}
    return told, record


def _schema_divided(schema: Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    told, record = dict[str, Any](), dict[str, Any]()
    for name, child in schema.get("properties", {}).items():
        if child.get(MARK):
            record[name] = {key: value for key, value in child.items() if key != MARK}
        elif child.get("type") == "object" and "properties" in child:
            told[name], part = _schema_divided(child)
            record |= {name: part} if part.get("properties") else {}
        else:
            told[name] = child
    if not record:
        return {**schema, "properties": told}, {}
    required = [name for name in schema.get("required", ()) if name in told]
    kept = {**schema, "properties": told, "required": required, _PRESERVE: True}
    if not required:
        del kept["required"]
    return kept, {"type": "object", "description": f"Of {_begun_small(schema)}", "properties": record}


def _begun_small(schema: Schema) -> str:
    text = str(schema.get("description", ""))
    return text[:1].lower() + text[1:]
