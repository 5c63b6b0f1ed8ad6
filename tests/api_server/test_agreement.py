"""What pydantic accepts, the API server's schema accepts, and the other way round.

The operator reads objects through the models and users write them through the schema; where the two disagree, an object
that was let in could not be read. Rules over several fields live in the schema alone and are left out of the comparison.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from json import loads
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deepseek_operator.api.base import ApiModel
from deepseek_operator.api.crd import documents
from deepseek_operator.api.schema import structural
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.kinds.registry import KINDS
from examples.local_cluster.api import ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for
from tests.support.api_objects import API_VERSION, collection
from tests.support.texts import TEXTS as COMMON

# Hypothesis writes a strategy out to name what it draws, and warns of one as large as a whole specification.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

TEXTS = (
    *COMMON,
    "d41d8cd98f00b204e9800998ecf8427e",
    "a.dvc",
    "http://a:5000",
    "http://u:p@a",
    "https://a/keys",
    "ftp://a",
    "en",
    "xx",
    "0.95",
    "08:00",
    "24:00",
    "Europe/Berlin",
    "hf://a/b@main",
    "hf://a/b",
    "s3://models/v2",
    "https://a.org/v2/",
    "https://a.org/v2/a.jsonl",
    "https://u:p@a.org/v2/",
    f"sha256:{'0' * 64}",
)
Schema = Mapping[str, Any]
RULES = "x-kubernetes-validations"
MATCHES = ("self.matches(", "string(self).matches(")
GROUP, TWIN_GROUP = "deepseek-operator.io", "fields.deepseek-operator.io"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def _texts(schema: Schema, wild: bool) -> st.SearchStrategy[str]:
    if wild:
        return st.sampled_from((*TEXTS, *schema.get("enum", ())))
    patterns = [
        loads(rule["rule"].partition(".matches(")[2][:-1])
        for rule in schema.get(RULES, ())
        if rule["rule"].startswith(MATCHES)
    ]
    patterns += [schema["pattern"]] if "pattern" in schema else []
    fitting = [text for text in TEXTS if len(text) <= schema.get("maxLength", 0) and all(map(_search(text), patterns))]
    return st.sampled_from(schema.get("enum") or fitting or [schema["default"]])


def _search(text: str) -> Callable[[str], bool]:
    return lambda pattern: re.fullmatch(pattern.removeprefix("^").removesuffix("$"), text) is not None


def _numbers(schema: Schema, wild: bool) -> st.SearchStrategy[int]:
    low, high = schema["minimum"], schema["maximum"]
    ends = (low - 1, high + 1) if wild else (low, high)
    return st.sampled_from(ends) | st.integers(low, high)


def _objects(schema: Schema, wild: bool) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: _values(child, wild) for name, child in schema["properties"].items()}
    needed = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: value for name, value in fields.items() if name in needed},
        optional={name: value for name, value in fields.items() if name not in needed},
    )


def _lists(schema: Schema, wild: bool) -> st.SearchStrategy[list[Any]]:
    """Never the same key twice: that lists are maps is known to the API server alone."""
    (key,) = schema.get("x-kubernetes-list-map-keys", (None,))
    usual = schema["items"]["properties"][key].get("default") if key else None
    unique = (lambda item: item.get(key, usual)) if key else None
    if schema.get("x-kubernetes-list-type") == "set":
        unique = str
    least = 0 if wild else schema.get("minItems", 0)
    return st.lists(_values(schema["items"], wild), min_size=least, max_size=2, unique_by=unique)


def _maps(schema: Schema, wild: bool) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(TEXTS if wild else ("a", "a.b/c", "x_y"))
    return st.dictionaries(keys, _values(schema["additionalProperties"], wild), max_size=2)


def _values(schema: Schema, wild: bool) -> st.SearchStrategy[Any]:
    """Values of a schema: those that fit it, or `wild` ones, of the right type and otherwise anything."""
    match schema.get("type"):
        case None:  # int-or-string
            return _texts(schema, wild) | st.sampled_from((-1, 0, 1, 4, 17179869184) if wild else (1, 4, 17179869184))
        case "string":
            return _texts(schema, wild)
        case "integer":
            return _numbers(schema, wild)
        case "boolean":
            return st.booleans()
        case "array":
            return _lists(schema, wild)
        case "object" if "properties" in schema:
            return _objects(schema, wild)
        case "object" if "additionalProperties" in schema:
            return _maps(schema, wild)
        case _:
            return st.dictionaries(
                st.sampled_from(("model_type", "x")), st.sampled_from((1, "a", [1], {"y": 2})), max_size=2
            )


def _specs(model: type[ApiModel]) -> st.SearchStrategy[Any]:
    schema = structural(model)["properties"]["spec"]
    return _values(schema, wild=False) | _values(schema, wild=True)


def _without_cross_field_rules(schema: Schema) -> Manifest:
    """The schema with only those rules that pydantic has as well: the ones that stand for a pattern."""
    found = [rule for rule in schema.get(RULES, ()) if rule["rule"].startswith((*MATCHES, "self.all(key,"))]
    plain = {key: value for key, value in schema.items() if key != RULES} | ({RULES: found} if found else {})
    if "properties" in schema:
        plain["properties"] = {key: _without_cross_field_rules(value) for key, value in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            plain[key] = _without_cross_field_rules(schema[key])
    return plain


@pytest.fixture(scope="module")
def schemas(api_server: Cluster) -> Cluster:
    """The API server with a twin of each definition, in a group of its own, that judges field by field only."""
    for document in documents(KINDS.definitions):
        twin = deepcopy(document)
        spec = twin["spec"]
        spec["group"], spec["names"]["shortNames"], spec["names"]["categories"] = TWIN_GROUP, [], []
        twin["metadata"] = {"name": f"{spec['names']['plural']}.{TWIN_GROUP}"}
        place = spec["versions"][0]["schema"]
        place["openAPIV3Schema"] = _without_cross_field_rules(place["openAPIV3Schema"])
        api_server.api.apply(f"{DEFINITIONS}/{twin['metadata']['name']}", twin)
        path = f"/apis/{TWIN_GROUP}/v1alpha1/{spec['names']['plural']}"
        wait_for(path, partial(api_server.api.is_served, path), timeout_s=30)
    return api_server


def _server_refuses(cluster: Cluster, manifest: Manifest) -> str:
    """What the API server has against the object; empty when nothing."""
    path = collection(manifest, "default").replace(GROUP, TWIN_GROUP)
    twin = {**manifest, "apiVersion": f"{TWIN_GROUP}/v1alpha1"}
    try:
        cluster.api.create(path, twin, dryRun="All", fieldValidation="Strict")
    except ApiError as error:
        return str(error)
    return ""


def _pydantic_refuses(model: type[ApiModel], manifest: Manifest) -> str:
    try:
        model.model_validate(manifest)
    except ValidationError as error:
        return str(error)
    return ""


def _agree(cluster: Cluster, model: type[ApiModel], spec: Any) -> None:
    manifest = {"apiVersion": API_VERSION, "kind": model.__name__, "metadata": {"name": "a"}, "spec": spec}
    server, pydantic = _server_refuses(cluster, manifest), _pydantic_refuses(model, manifest)
    assert bool(server) == bool(pydantic), f"server: {server or 'accepts'}; pydantic: {pydantic or 'accepts'}"


BOUNDED = settings(
    max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@BOUNDED
@given(spec=_specs(DeepSeekTraining))
def test_pydantic_and_the_api_server_agree_on_trainings(schemas: Cluster, spec: Any) -> None:
    _agree(schemas, DeepSeekTraining, spec)


@BOUNDED
@given(spec=_specs(DeepSeekServing))
def test_pydantic_and_the_api_server_agree_on_servings(schemas: Cluster, spec: Any) -> None:
    _agree(schemas, DeepSeekServing, spec)


def _strings(model: type[ApiModel]) -> Iterator[tuple[type[ApiModel], tuple[str, ...]]]:
    def walk(schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Schema]]:
        yield path, schema
        for name, child in schema.get("properties", {}).items():
            yield from walk(child, (*path, name))

    for path, schema in walk(structural(model)["properties"]["spec"], ()):
        if schema.get("type", "string") == "string":
            yield model, path


STRINGS = (*_strings(DeepSeekTraining), *_strings(DeepSeekServing))


@pytest.mark.parametrize(
    "number", range(len(STRINGS)), ids=[f"{model.__name__}.{'.'.join(path)}" for model, path in STRINGS]
)
def test_every_text_is_judged_alike(schemas: Cluster, number: int) -> None:
    model, path = STRINGS[number]
    # Every third text, another third for the next field: types share their patterns, so all meet all.
    for text in TEXTS[number % 3 :: 3]:
        spec: Any = text
        for key in reversed(path):
            spec = {key: spec}
        _agree(schemas, model, {"model": {}, **spec})
