"""Specs drawn from the schemas of the resources themselves: whole ones, and good ones with one place changed.

What is drawn may be refused by the API server: that is an answer too. Everything follows from the source of randomness.
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from random import Random
from typing import Any

from deepseek_operator.api.crd import documents
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.kinds.registry import KINDS
from tests.support.api_objects import minimal_serving
from tests.support.texts import TEXTS
from tests.support.trainings import training
from tests.unit.kinds.serving.test_every_field import FIELDS, written
from tests.unit.kinds.training.test_every_field import ROWS

Schema = Mapping[str, Any]
MODELS = {"DeepSeekTraining": DeepSeekTraining, "DeepSeekServing": DeepSeekServing}
HAS_A_FIELD, IS_WILD = 0.3, 0.15
"""How often an optional field is there, and how often a value is of the right type only."""


@cache
def schema_of(kind: str, part: str) -> Schema:
    """The schema of `spec` or `status` in the definition of the kind."""
    (spec,) = [
        document["spec"] for document in documents(KINDS.definitions) if document["spec"]["names"]["kind"] == kind
    ]
    found: Schema = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    return found


@cache
def good_specs(kind: str) -> tuple[dict[str, Any], ...]:
    """Specs that the API server lets in, two at least for every field of the kind, with the servings' plain one first."""
    if kind == "DeepSeekTraining":
        return (training()["spec"], *(row.spec(value) for row in ROWS for value in row.values))
    plain = minimal_serving()["spec"]
    return (plain, *({**plain, **written(field, value)} for field in FIELDS for value, _ in field.values))


def value(random: Random, schema: Schema) -> Any:
    """A value of the schema; now and then only of its type."""
    is_wild = random.random() < IS_WILD
    match schema.get("type"):
        case "boolean":
            return random.random() < 0.5
        case "integer":
            low, high = schema.get("minimum", 0), schema.get("maximum", 2**31)
            ends = (low - 1, high + 1) if is_wild else (low, min(low + 1, high), high)
            return random.choice((*ends, random.randint(low, high), random.randint(low, min(high, low + 8))))
        case "array":
            most = min(schema.get("maxItems", 3), 3)
            least = 0 if is_wild else schema.get("minItems", 0)
            return [value(random, schema["items"]) for _ in range(random.randint(least, max(most, least)))]
        case "object" if "properties" in schema:
            needed = schema.get("required", ())
            fields = schema["properties"].items()
            return {n: value(random, s) for n, s in fields if n in needed or random.random() < HAS_A_FIELD}
        case "object" if "additionalProperties" in schema:
            keys = random.sample(TEXTS if is_wild else ("a", "a.b/c", "x_y"), random.randint(0, 2))
            return {key: value(random, schema["additionalProperties"]) for key in keys}
        case "object":
            return free_form(random)
        case _:
            return _text(random, schema, is_wild)


def free_form(random: Random, depth: int = 0) -> dict[str, Any]:
    """What a person may write where anything is allowed: of every type, wide, and now and then very deep."""
    if depth == 0 and random.random() < 0.1:
        nested: Any = 1
        for _ in range(random.choice((8, 64, 600))):
            nested = {"a": nested}
        return {"model_type": nested}
    words: dict[str, Any] = {
        "model_type": random.choice(("deepseek_v3", "deepseek_v2", "x", 1, None)),
        "hidden_size": random.choice((64, 0, -1, 1.5, 2**63, "64", [64])),
        "x" * random.randint(1, 300): random.choice(("é", "\x00", "$(A)", True, "y" * 5000)),
    }
    if depth < 3 and random.random() < 0.3:
        words["nested"] = free_form(random, depth + 1)
    return {key: words[key] for key in words if random.random() < 0.7}


def mutated(random: Random, spec: Any, schema: Schema) -> Any:
    """The spec with one place of its schema drawn anew, or taken away."""
    changed = deepcopy(spec)
    path = random.choice(tuple(_places(schema)))
    part, inner = changed, schema
    for key in path[:-1]:
        inner = inner["properties"][key]
        if not isinstance(part.get(key), dict):
            part[key] = {}
        part = part[key]
    if path[-1] in part and random.random() < 0.3:
        del part[path[-1]]
    else:
        part[path[-1]] = value(random, inner["properties"][path[-1]])
    return changed


def forged(random: Random, status: Any, schema: Schema) -> Any:
    """A status that a stranger wrote: some anew, most the present one with up to four places changed."""
    found = value(random, schema) if random.random() < 0.3 else mutated(random, status, schema)
    for _ in range(random.randint(0, 3)):
        found = mutated(random, found, schema)
    return found


def _places(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in schema.get("properties", {}).items():
        yield (*path, name)
        yield from _places(inner, (*path, name))


def _text(random: Random, schema: Schema, is_wild: bool) -> Any:
    if "enum" in schema and not is_wild:
        return random.choice(schema["enum"])
    if schema.get("x-kubernetes-int-or-string") and random.random() < 0.5:
        return random.choice((0, 1, 4, 2**34))
    pattern = schema.get("pattern")
    fitting = [text for text in TEXTS if pattern is None or re.search(pattern, text)]
    return random.choice(TEXTS if is_wild or not fitting else fitting)
