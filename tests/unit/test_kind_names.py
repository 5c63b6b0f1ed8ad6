"""A kind's name stands in its folders and in the list of kinds; what serves every kind knows none by name.

The domain speaks of training and serving as the field does: its words, where they are imported, name no kind.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepseek_operator.core.kinds import Kinds
from deepseek_operator.kinds.registry import KINDS
from tests.support.sham_kind import ALL

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "operator" / "deepseek_operator"
TEMPLATES = ROOT / "charts" / "deepseek-operator" / "templates"
OWN = tuple(f"api/v1alpha1/{entry.word}/" for entry in KINDS)
PARTS = ("__main__.py", "adapters", "api", "cli", "controller", "core", "ports", "workloads")
SHARED = [
    file
    for part in PARTS
    for file in sorted([OPERATOR / part] if part.endswith(".py") else (OPERATOR / part).rglob("*.py"))
    if not str(file.relative_to(OPERATOR)).startswith(OWN)
]
ALLOWED = {
    ("adapters/progress.py", "trainingUID"): "a field of what the pods answer, which run elders' images too",
}


def written(kinds: Kinds) -> re.Pattern[str]:
    """How a text names a kind: by kind, plural, label, or its bare word."""
    words = "|".join(entry.word for entry in kinds)
    whole = "|".join(f"{entry.resource.kind}|{entry.resource.plural}" for entry in kinds)
    return re.compile(rf"(?i:{whole}|deepseek[-_]({words})\b|operator[._]io[/_]({words})\b)|(^|/)({words})$")


def named(source: str, kinds: Kinds = KINDS) -> set[str]:
    """The texts and identifiers of a module's code that name a kind; documents may."""
    tree, pattern = ast.parse(source), written(kinds)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    of_the_field = set(_from_the_domain(tree))
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as text) if id(node) not in told and pattern.search(text):
                found.add(text)
            case ast.ImportFrom(module=str() as module) if not module.startswith("deepseek_operator.domain"):
                found |= {module} if _words(module) & {entry.word for entry in kinds} else set()
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str() as name):
                if name not in of_the_field and _words(name) & {entry.word for entry in kinds}:
                    found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if _words(name) & {e.word for e in kinds}:
                found.add(name)
    return found


def _from_the_domain(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deepseek_operator.domain"):
            yield from (name.asname or name.name for name in node.names)


def _words(identifier: str) -> set[str]:
    """`TRAINING_LABEL` and `trainingUID` hold the word training."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", identifier)}


@pytest.mark.parametrize("path", SHARED, ids=lambda path: str(path.relative_to(OPERATOR)))
def test_what_serves_every_kind_names_none(path: Path) -> None:
    place = str(path.relative_to(OPERATOR))
    assert {name for name in named(path.read_text()) if (place, name) not in ALLOWED} == set()


def test_every_exception_is_still_needed() -> None:
    assert {key for key in ALLOWED if key[1] in named((OPERATOR / key[0]).read_text())} == ALLOWED.keys()


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_the_charts_templates_walk_over_the_kinds_instead_of_naming_them(path: Path) -> None:
    assert not written(KINDS).search(path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        'LABEL = f"{GROUP}/training"', 'x = "deepseekservings"', "def serving_service(name): ...", "TRAINING_LABEL = 1",
        "from deepseek_operator.api.v1alpha1.training.status import TrainingStatus", 'x = {"serving": 1}',
        'raise ValueError("write a DeepSeekTraining")', "class TrainingResult: ...", "x.training_uid", "f(serving=1)",
    ],
)  # fmt: skip
def test_the_guard_sees_a_kind_wherever_code_can_name_it(source: str) -> None:
    assert named(source)


@pytest.mark.parametrize(
    "text",
    [
        "resources: [deepseektrainings]",
        "deepseek-operator.io/serving",
        "deepseek-serving",
        "deepseek_operator_io_training",
    ],
)
def test_the_guard_sees_a_kind_in_a_template(text: str) -> None:
    assert written(KINDS).search(text)


@pytest.mark.parametrize(
    "source",
    [
        '"""Of a DeepSeekTraining."""', "# a training", 'x = "Training"', "pretrained = 1",
        "from deepseek_operator.domain.sizing import size_training\nsize_training()",
    ],
)  # fmt: skip
def test_the_guard_lets_documents_and_the_fields_words_be(source: str) -> None:
    assert not named(source)


def contracts(key: str) -> set[str]:
    """Names of modules in the contracts that keep kinds apart."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return {module for contract in tool for module in contract.get(key, ())}


def kept_apart(kinds: Kinds) -> bool:
    """Whether the contracts of import-linter name every kind."""
    folders = {f"deepseek_operator.{place}.{entry.word}" for entry in kinds for place in ("kinds", "api.v1alpha1")}
    of_the_api = {folder for folder in folders if ".api." in folder}
    return folders <= contracts("modules") and of_the_api <= contracts("forbidden_modules")


def test_every_kind_is_kept_apart_from_the_others_and_a_further_one_must_be() -> None:
    assert kept_apart(KINDS)
    assert not kept_apart(ALL)
