"""The documents for who changes the operator name files that are there, and few for each thing that is planned."""

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
PLACES = (ROOT / "operator" / "deepseek_operator", ROOT / "operator", ROOT)
PLANNED = {
    title: re.findall(r"(?m)^\d+\. `([^`]+)`( \(new\))?", part)
    for title, part in re.findall(r"(?ms)^\*\*(`spec[^`]+`|A RayCluster|A third kind)(.*?)(?=^\*\*|^## )", TEXT)
}


def is_there(path: str) -> bool:
    return any(next(place.glob(path), None) for place in PLACES)


@pytest.mark.parametrize("document", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_and_folder_that_is_named_is_there(document: str) -> None:
    """`<…>` stands for each of several: at least one is there."""
    text = (ROOT / document).read_text()
    named = set(re.findall(r"`([a-z_]+(?:/[a-z0-9_<>.-]+)+/?)`(?! \(new\))", text))
    assert len(named) > 8, named
    assert not {path for path in named if not is_there(re.sub(r"<[a-z]+>", "*", path))}


def test_what_is_planned_is_told_of_a_trainer_a_child_and_a_kind() -> None:
    assert len(PLANNED) == 3


@pytest.mark.parametrize("title", PLANNED)
def test_what_is_planned_touches_at_most_eight_files(title: str) -> None:
    files = PLANNED[title]
    assert 1 <= len(files) <= 8
    assert all(is_there(path) != bool(new) for path, new in files)


def test_functions_are_short_and_files_are_one_question() -> None:
    files = {path: path.read_text() for path in (ROOT / "operator").rglob("*.py")}
    functions = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for text in files.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert statistics.median(functions) <= 7
    assert functions[len(functions) * 9 // 10] <= 28
    assert functions[-1] <= 50
    assert not {path.name: text.count("\n") for path, text in files.items() if text.count("\n") > 450}
