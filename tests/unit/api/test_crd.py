"""The generated definitions and their copies."""

from pathlib import Path

import pytest
import yaml

from deepseek_operator.api.crd import documents, render
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.training.claim import DEFAULT_SIZE

REPOSITORY = Path(__file__).parents[3]
COPIES = (REPOSITORY / "crds", REPOSITORY / "charts" / "deepseek-operator" / "files" / "crds")

# `kubectl apply` stores a whole copy of an object in one annotation, and annotations end here.
ANNOTATION_LIMIT = 256 * 1024


@pytest.mark.parametrize("folder", COPIES, ids=lambda folder: folder.parent.name)
def test_the_files_are_what_the_models_say(folder: Path) -> None:
    assert {path.name: path.read_text() for path in sorted(folder.glob("*.yaml"))} == render(KINDS.definitions)


def test_the_same_models_give_the_same_text() -> None:
    assert render(KINDS.definitions) == render(KINDS.definitions)


def test_the_text_is_the_document() -> None:
    assert [yaml.safe_load(text) for text in render(KINDS.definitions).values()] == list(documents(KINDS.definitions))


@pytest.mark.parametrize(("name", "text"), render(KINDS.definitions).items())
def test_client_side_apply_can_hold_a_definition(name: str, text: str) -> None:
    assert len(text.encode()) < ANNOTATION_LIMIT, name


def test_an_uninstall_never_deletes_the_objects_of_a_kind() -> None:
    assert {
        document["metadata"]["annotations"]["helm.sh/resource-policy"] for document in documents(KINDS.definitions)
    } == {"keep"}


def test_the_kinds_are_named_as_the_operator_names_them() -> None:
    named = [
        (f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["kind"], spec["names"]["plural"])
        for spec in (document["spec"] for document in documents(KINDS.definitions))
    ]
    assert named == [(kind.api_version, kind.kind, kind.plural) for kind in (SERVING, TRAINING)]


def test_the_edit_rule_knows_the_size_that_the_operator_asks_for() -> None:
    (_, training) = documents(KINDS.definitions)
    rules = training["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
    (edit,) = [rule for rule in rules if "oldSelf" in rule["rule"]]
    assert f"'{DEFAULT_SIZE}'" in edit["rule"]


def test_the_columns_have_one_meaning_each() -> None:
    for document in documents(KINDS.definitions):
        names = [column["name"] for column in document["spec"]["versions"][0]["additionalPrinterColumns"]]
        assert len(names) == len(set(names))


def test_no_column_picks_from_a_list_without_its_key() -> None:
    paths = [
        column["jsonPath"]
        for document in documents(KINDS.definitions)
        for column in document["spec"]["versions"][0]["additionalPrinterColumns"]
    ]
    assert [path for path in paths if "[" in path and "@.type==" not in path] == []


def test_what_stands_in_the_way_of_a_serving_is_shown_without_asking_for_more() -> None:
    """A replica of the old version answers on, so READY alone tells nothing of a new version that can't start."""
    (serving, _) = documents(KINDS.definitions)
    shown = [c for c in serving["spec"]["versions"][0]["additionalPrinterColumns"] if not c["priority"]]
    assert {"READY", "REPLICAS", "PHASE", "REASON"} <= {column["name"] for column in shown}
