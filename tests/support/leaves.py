"""Leaf paths of a CRD's schema and of an object, in one notation: `spec.pod.tolerations[].effect`.

A mapping with free keys, such as a node selector, is one leaf.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).parents[2] / "crds"


def schema_leaves(plural: str, part: str) -> frozenset[str]:
    """Every leaf path that the CRD of that plural has under `part`, `spec` or `status`."""
    definition = yaml.safe_load((CRDS / f"deepseek-operator.io_{plural}.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    return frozenset(_of_schema(version["schema"]["openAPIV3Schema"]["properties"][part], part))


def _of_schema(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from _of_schema(inner, f"{path}.{name}")
    elif schema.get("type") == "array":
        yield from _of_schema(schema["items"], f"{path}[]")
    else:
        yield path


def leaves(value: object, path: str) -> Iterator[str]:
    """Every leaf path of an object that holds something; a path that occurs in several items is given again."""
    match value:
        case Mapping():
            for name, inner in value.items():
                yield from leaves(inner, f"{path}.{name}")
        case list():
            for inner in value:
                yield from leaves(inner, f"{path}[]")
        case None:
            return
        case _:
            yield path


def with_leaf(spec: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """`spec` with the leaf at `path` (without the leading `spec.`) set; of a list, that of its first item."""
    step, _, rest = path.partition(".")
    key, is_list = step.removesuffix("[]"), step.endswith("[]")
    before: Any = spec.get(key) or ([{}] if is_list else {})
    if not rest:
        return {**spec, key: value}
    if not is_list:
        return {**spec, key: with_leaf(before, rest, value)}
    return {**spec, key: [with_leaf(before[0], rest, value), *before[1:]]}
