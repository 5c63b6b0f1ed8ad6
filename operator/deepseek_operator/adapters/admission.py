"""The API server's answer to a custom resource, without a server: schema, defaults, and rules in CEL.

The rules are judged by the common-expression-language package (the cel crate), with Kubernetes' function quantity()
added. Only `plan -f` asks here; the controller leaves admission to the server.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import cel

from deepseek_operator.api.crd import documents
from deepseek_operator.api.definition import Definition
from deepseek_operator.api.structural import (
    A_LIST,
    advice,
    errors,
    hides_rules,
    metadata_errors,
    unknown_fields,
    with_defaults,
)
from deepseek_operator.domain.values.quantity import to_bytes

_RULES = "x-kubernetes-validations"
_NOT_CHECKED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Admitted:
    """The object as the server would store it: defaults filled in."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """Why the server would refuse it, each reason in its words, and in `hints` what is probably meant."""

    reasons: tuple[str, ...]
    hints: tuple[str, ...] = ()


def admit(manifest: Mapping[str, Any], definitions: tuple[Definition, ...]) -> Admitted | Refused:
    """What the server answers to the creation of a resource of one of the definitions, fields checked strictly.

    Raises:
        KeyError: it is of another kind or version.
    """
    schema, examples = _defined(definitions)[str(manifest.get("apiVersion")), str(manifest.get("kind"))]
    if unknown := list(unknown_fields(manifest, schema)):
        hints = (hint for path in unknown if (hint := advice(path, schema)) is not None)
        words = ", ".join(f'unknown field "{path}"' for path in unknown)
        return Refused((f"strict decoding error: {words}",), tuple(hints))
    filled = with_defaults(manifest, schema)
    without_metadata = {**schema, "properties": {k: v for k, v in schema["properties"].items() if k != "metadata"}}
    wrong = [*metadata_errors(manifest.get("metadata")), *errors(filled, without_metadata)]
    if any(map(hides_rules, wrong)):
        return Refused((*wrong, _NOT_CHECKED), tuple(_hints(wrong, examples)))
    judged = list(_judged(filled, schema, ""))
    # A rule that can't be judged follows from another complaint about the same value; alone it counts itself.
    broken = [words for words, is_certain in judged if is_certain] or [words for words, _ in judged if not wrong]
    return Refused((*wrong, *broken), tuple(_hints(wrong, examples))) if wrong or broken else Admitted(filled)


@cache
def _defined(definitions: tuple[Definition, ...]) -> Mapping[tuple[str, str], tuple[Schema, Mapping[str, str]]]:
    """Schema and examples by API version and kind."""
    found = {}
    for definition in definitions:
        (document,) = documents((definition,))
        (version,) = document["spec"]["versions"]
        named = definition.resource.api_version, definition.resource.kind
        found[named] = version["schema"]["openAPIV3Schema"], definition.examples
    return found


def _hints(wrong: list[str], examples: Mapping[str, str]) -> Iterator[str]:
    for words in wrong:
        path, _, rest = words.partition(": ")
        if "must be of type object" in rest and (example := examples.get(path)):
            yield f"{path}: write {path.rpartition('.')[2]}: {example}"
        elif 'must be of type integer,string: "number"' in rest:
            yield f"{path}: write the number in quotes"
        elif 'must be of type integer: "string"' in rest:
            yield f"{path}: write a whole number{' of seconds' if path.endswith('Seconds') else ''}, without quotes"
        elif 'must be of type boolean: "string"' in rest:
            yield f"{path}: write true or false, without quotes"
        elif 'must be of type string: "boolean"' in rest:
            yield f"{path}: write one of its words, in quotes where YAML reads it as true or false"
        elif "must be of type array" in rest:
            yield f"{path}: {A_LIST}"


def _judged(value: Any, schema: Schema, path: str) -> Iterator[tuple[str, bool]]:
    """The rules that do not hold (True) or can't be judged (False); transition rules need an old object."""
    is_first = True
    for rule in schema.get(_RULES, ()):
        if "oldSelf" in rule["rule"] or (holds := _holds(rule["rule"], value)):
            continue
        where = f"{path}{rule.get('fieldPath', '')}".lstrip(".") or "<nil>"
        shown = "" if isinstance(value, Mapping | list) else f"{_quoted(value)}: "
        words = _words(rule, value)
        # Of a text that has the wrong form, what the further rules make of it says nothing.
        yield f"{where}: Invalid value: {shown}{words}", holds is False and (is_first or not isinstance(value, str))
        is_first = False
    match value:
        case Mapping():
            known, values = schema.get("properties", {}), schema.get("additionalProperties")
            for key, child in value.items():
                if key in known:
                    yield from _judged(child, known[key], f"{path}.{key}")
                elif isinstance(values, Mapping):
                    yield from _judged(child, values, f"{path}.{key}")
        case list():
            for index, child in enumerate(value):
                yield from _judged(child, schema.get("items", {}), f"{path}[{index}]")


def _words(rule: Mapping[str, str], value: Any) -> str:
    """What a rule that does not hold says."""
    told = _answer(rule["messageExpression"], value) if "messageExpression" in rule else None
    return str(told or rule.get("message", f"failed rule: {rule['rule']}"))


def _holds(rule: str, value: Any) -> bool | None:
    answer = _answer(rule, value)
    return None if answer is None else bool(answer)


def _answer(expression: str, value: Any) -> Any:
    """None when it can't be judged: a text is no number, a divisor is zero."""
    context = cel.Context()
    context.add_function("quantity", _bytes)
    context.add_function("sum", sum)
    context.add_function("replace", str.replace)
    context.add_function("split", lambda text, separator: text.split(separator))
    context.add_function("compareTo", lambda one, other: (one > other) - (one < other))
    context.add_variable("self", value)
    try:
        return _program(expression).execute(context)
    except (ValueError, RuntimeError, TypeError, ArithmeticError):
        return None


def _quoted(value: object) -> str:
    """As Go quotes: control characters by two hexadecimal digits."""
    return re.sub(r"\\u00([0-9a-f]{2})", r"\\x\1", json.dumps(value, ensure_ascii=False))


@cache
def _program(rule: str) -> Any:
    return cel.compile(rule)


def _bytes(text: object) -> float:
    return float(to_bytes(str(text)))
