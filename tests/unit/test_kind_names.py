"""A kind's name stands in its folder and in the list of kinds; what serves every kind knows none by name."""

import re
from pathlib import Path

import pytest

from deepseek_operator.kinds.registry import KINDS

OPERATOR = Path(__file__).parents[2] / "operator" / "deepseek_operator"
SHARED = [
    path
    for part in ("adapters", "cli", "controller", "ports", "workloads")
    for path in sorted((OPERATOR / part).rglob("*.py"))
]
NAMES = "|".join(
    rf"{entry.resource.kind}|{entry.resource.plural}|\b{entry.word.upper()}\b|kinds\.{entry.word}\b"
    rf"|v1alpha1\.{entry.word}\b|[\"']{entry.word}[\"']"
    for entry in KINDS
)


@pytest.mark.parametrize("path", SHARED, ids=lambda path: str(path.relative_to(OPERATOR)))
def test_what_serves_every_kind_names_none(path: Path) -> None:
    assert re.findall(NAMES, path.read_text()) == []
