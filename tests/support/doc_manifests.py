"""What is wrong with the YAML that documentation shows.

Whole resources of ours are judged as `plan` judges them. A part of one is held to the definition at the place where its
fields are, which is found by their names; the chart's values are held to its schema. Objects of other APIs must stand
word for word in a file of examples/, which tests give to a real API server.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from deepseek_operator.adapters.admission import Refused, admit
from deepseek_operator.api.crd import documents
from deepseek_operator.api.structural import errors, unknown_fields, with_defaults
from deepseek_operator.cli.manifest_loader import ManifestLoader
from deepseek_operator.cli.planning import Document, planned
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.registry import KINDS
from tests.support.api_objects import minimal_serving, minimal_training

ROOT = Path(__file__).parents[2]
MINIMAL = {"DeepSeekTraining": minimal_training, "DeepSeekServing": minimal_serving}
BESIDE: tuple[Mapping[str, Any], ...] = ({}, {"engine": {"type": "vllm"}, "accelerator": {"profile": "nvidia-h100-80"}})
"""What a part of a serving may be written beside: it is right if it is so beside one of them."""
_MISSING = "Required value"
Schema = Mapping[str, Any]


@cache
def root_schema(kind: str) -> Schema:
    """The definition's schema of a kind of ours."""
    (definition,) = (one for one in KINDS.definitions if one.resource.kind == kind)
    (document,) = documents((definition,))
    (version,) = document["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def problems(text: str) -> Iterator[str]:
    """Of everything in a block of YAML."""
    try:
        found = [one for one in yaml.load_all(text, ManifestLoader) if one is not None]
    except yaml.YAMLError as error:
        yield f"is no YAML: {error}"
        return
    whole = [one for one in found if isinstance(one, dict) and {"apiVersion", "kind"} <= one.keys()]
    ours = [one for one in whole if one["kind"] in MINIMAL]
    if ours:
        answer = asyncio.run(planned([Document(one, "the block") for one in whole], None, Configuration(), KINDS))
        yield from () if answer.is_made else answer.complaints
    elif whole and not _is_quoted(text):
        yield "objects of other APIs stand word for word in a file of examples/, or the block is marked"
    for one in found:
        if one not in whole:
            yield from part_problems(one)


def _is_quoted(text: str) -> bool:
    wanted = text.strip()
    return any(wanted in path.read_text() for path in (ROOT / "examples").rglob("*.yaml"))


def part_problems(part: Any) -> Iterator[str]:
    """Of a part of a resource's spec or of the chart's values: those at the place where it fits best."""
    answers = [list(_at(kind, path, part)) for kind, path in _places(part)]
    if isinstance(part, dict) and part.keys() <= _values_schema()["properties"].keys():
        answers.append([told for path, value in _leaves(part) if (told := value_problem(path, value))])
    if not answers:
        keys = ", ".join(part if isinstance(part, dict) else part[0] if part and isinstance(part[0], dict) else [])
        yield f"no part of a spec and no values of the chart have {keys or 'that'}: mend it, or mark the block"
        return
    yield from min(answers, key=len)


def _places(part: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Kind and path below spec of every object, or list of objects, that has all of the part's fields."""
    keys = set(part) if isinstance(part, dict) else {key for one in part for key in one} if _is_list(part) else set()
    if keys:
        for kind in MINIMAL:
            yield from (
                (kind, path) for path in _having(root_schema(kind)["properties"]["spec"], (), keys, _is_list(part))
            )


def _is_list(part: Any) -> bool:
    return isinstance(part, list) and all(isinstance(one, dict) for one in part)


def _having(schema: Schema, path: tuple[str, ...], keys: set[str], in_list: bool) -> Iterator[tuple[str, ...]]:
    inner = schema.get("items", {}) if in_list else schema
    if keys <= inner.get("properties", {}).keys():
        yield path
    for name, child in schema.get("properties", {}).items():
        yield from _having(child, (*path, name), keys, in_list)
    if "items" in schema:
        yield from _having(schema["items"], (*path, "[]"), keys, in_list)


def _at(kind: str, path: tuple[str, ...], part: Any) -> Iterator[str]:
    schema = root_schema(kind)["properties"]["spec"]
    for name in path:
        schema = schema["items"] if name == "[]" else schema["properties"][name]
    where = ".".join(("spec", *path))
    wrong = [f'unknown field "{where}.{name}"' for name in unknown_fields({"": part}, {"properties": {"": schema}})]
    wrong += [words for words in errors(with_defaults(part, schema), schema, where) if _MISSING not in words]
    yield from wrong
    if not wrong and "[]" not in path:
        yield from _ruled(kind, path, part)


def _ruled(kind: str, path: tuple[str, ...], part: Any) -> Iterator[str]:
    """By the rules of what is shown; those of the whole resource may ask for what is not."""
    shown = tuple(".".join(("spec", *path, key)) for key in part) if isinstance(part, dict) else ()
    yield from min(([*_refused(kind, beside, path, part, shown)] for beside in BESIDE), key=len)


def _refused(
    kind: str, beside: Mapping[str, Any], path: tuple[str, ...], part: Any, shown: tuple[str, ...]
) -> Iterator[str]:
    manifest = MINIMAL[kind]()
    place = manifest["spec"] = {**manifest["spec"], **(beside if kind == "DeepSeekServing" else {})}
    for name in path:
        place = place.setdefault(name, {})
    place |= part
    answer = admit(manifest, KINDS.definitions)
    if isinstance(answer, Refused) and not any(_MISSING in reason for reason in answer.reasons):
        yield from (reason for reason in answer.reasons if reason.startswith(shown))


# --- the chart's values ---------------------------------------------------------------------------------------------


@cache
def _values_schema() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = json.loads((ROOT / "charts" / "deepseek-operator" / "values.schema.json").read_text())
    return loaded


def chart_value_problem(path: str, text: str) -> str | None:
    """Of `--set path=text`, read as Helm reads it."""
    value: Any = text
    if text in ("true", "false"):
        value = text == "true"
    elif re.fullmatch(r"-?\d+", text):
        value = int(text)
    elif text.startswith("{"):
        value = text.strip("{}").split(",")
    return value_problem(path, value)


def value_problem(path: str, value: Any) -> str | None:
    """Of one value of the chart, at a path such as `gate.image.tag`."""
    schema = _resolved(_values_schema())
    for name in re.sub(r"\[\d+\]", ".[]", path.replace("\\.", "\0")).split("."):
        known = schema.get("properties", {})
        if name == "[]":
            schema = _resolved(schema.get("items", {}))
        elif name in known:
            schema = _resolved(known[name])
        elif isinstance(schema.get("additionalProperties"), Mapping):
            schema = _resolved(schema["additionalProperties"])
        elif schema.get("additionalProperties") is False or "properties" in schema:
            return f"the chart has no value {path}"
        else:
            return None
    if value is None or (isinstance(value, str) and re.search(r"[A-Z]{2}|…", value)):
        return None
    loose = {**schema, "type": schema.get("type")} if "type" in schema else schema
    told = next(iter(errors(value, {k: v for k, v in loose.items() if k != "required"}, path)), None)
    return told if told is None or _MISSING not in told else None


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if (name := schema.get("$ref")) is None:
        return schema
    found: Mapping[str, Any] = _values_schema()["$defs"][name.rpartition("/")[2]]
    return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _leaves(child, f"{path}.{key}".lstrip("."))
    else:
        yield path, value
