"""What `plan -f` says of what people write wrongly; that the server says the same is held by tests/api_server."""

from typing import Any

import pytest
import yaml

from deepseek_operator.adapters.admission import Admitted, Refused, admit
from deepseek_operator.api.crd import documents
from deepseek_operator.api.definition import Definition
from deepseek_operator.api.structural import unknown_fields
from deepseek_operator.kinds.registry import KINDS
from tests.support.api_objects import Object, changed, minimal_serving, minimal_training
from tests.support.mistakes import MISTAKES


@pytest.mark.parametrize(("manifest", "changes", "words"), MISTAKES)
def test_a_mistake_is_answered_with_what_to_write(manifest: Object, changes: Object, words: str | None) -> None:
    answer = admit(changed(manifest, changes), KINDS.definitions)
    if words is None:
        return
    assert isinstance(answer, Refused)
    assert words in "\n".join((*answer.reasons, *answer.hints))


@pytest.mark.parametrize("manifest", [minimal_training(), minimal_serving()], ids=lambda manifest: manifest["kind"])
def test_what_is_let_in_has_its_defaults(manifest: Object) -> None:
    answer = admit(manifest, KINDS.definitions)
    assert isinstance(answer, Admitted)
    assert answer.manifest["status"]["observedGeneration"] == -1


@pytest.mark.parametrize("null", ["spec.suspend", "spec.checkpoints", "spec.trainer"])
def test_a_null_counts_as_absent(null: str) -> None:
    manifest = minimal_training()
    manifest["spec"][null.partition(".")[2]] = None
    assert isinstance(admit(manifest, KINDS.definitions), Admitted)


def test_another_version_is_none_of_ours() -> None:
    with pytest.raises(KeyError):
        admit({**minimal_training(), "apiVersion": "deepseek-operator.io/v9"}, KINDS.definitions)


EXAMPLES = [(definition, *item) for definition in KINDS.definitions for item in definition.examples.items()]


@pytest.mark.parametrize(
    ("definition", "path", "example"), EXAMPLES, ids=[f"{one.resource.kind}-{path}" for one, path, _ in EXAMPLES]
)
def test_an_example_of_a_block_is_told_in_place_of_a_word_and_has_only_fields_of_it(
    definition: Definition, path: str, example: str
) -> None:
    _, *outer, leaf = path.split(".")
    spec: dict[str, Any] = {leaf: "word"}
    for name in reversed(outer):
        spec = {name: spec}
    resource = definition.resource
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "x"}, "spec": spec}
    refused = admit(manifest, KINDS.definitions)
    assert isinstance(refused, Refused)
    assert f"{path}: write {leaf}: {example}" in refused.hints
    (document,) = documents([definition])
    schema = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in ("spec", *outer, leaf):
        schema = schema["properties"][name]
    assert not list(unknown_fields(yaml.safe_load(example), schema))
