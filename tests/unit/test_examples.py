"""The first comment of every example tells a newcomer what it needs, how to apply it and what is then to be seen."""

from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "examples").rglob("*.yaml"))]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_first_comment_says_what_is_needed_and_what_to_type(example: str) -> None:
    lines = (ROOT / example).read_text().splitlines()
    head = list(takewhile(lambda line: line.startswith("# "), lines))
    said = {mark: line for mark in ("Needs", "Apply", "See") for line in head if line.startswith(f"# {mark}:")}
    assert set(said) == {"Needs", "Apply", "See"}
    assert not head[0].startswith("# Needs")
    command = said["Apply"].split()
    assert command[2:5] == ["kubectl", "apply", "--server-side"]
    files = [word for word in command[5:] if word != "-f"]
    assert example in files
    assert [name for name in files if not (ROOT / name).is_file()] == []
