"""What every example owes to a newcomer: its first comment says what it needs, how to apply it and what is then to be seen,
and whatever objects it names are made by the files that are applied."""

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import documents

ROOT = Path(__file__).parents[2]
FLAGS = {"examples/audit/policy.yaml"}
"""Files of kube-apiserver's own, which nobody applies."""
FILES = {path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").rglob("*.yaml")}
EXAMPLES = sorted(FILES - FLAGS)


def test_a_file_that_is_not_applied_says_by_which_flag_it_is_read() -> None:
    assert FLAGS <= FILES
    for name in FLAGS:
        head = list(takewhile(lambda line: line.startswith("# "), (ROOT / name).read_text().splitlines()))
        assert [mark for mark in ("Needs", "See") if not any(line.startswith(f"# {mark}:") for line in head)] == []
        assert "--audit-policy-file" in "".join(head)


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


def _claims(value: Any) -> Iterator[str]:
    """Every claim that a document names."""
    match value:
        case dict():
            for key, item in value.items():
                if key == "claimName":
                    yield item
                yield from _claims(item)
        case list():
            for item in value:
                yield from _claims(item)
        case str() if found := re.match("pvc://([^/]+)", value):
            yield found[1]


@pytest.mark.parametrize("example", EXAMPLES)
def test_whatever_it_names_is_made_by_the_files_that_are_applied(example: str) -> None:
    """Claims by itself or by the files beside it; trainings by the files of its command."""
    text = (ROOT / example).read_text()
    (command,) = re.findall("^# Apply: (.*)$", text, re.MULTILINE)
    own = ROOT / example
    beside = own.parent.glob("*.yaml") if own.parent.name != "examples" else ()
    files = {own, *beside, *(ROOT / name for name in command.split() if name.endswith(".yaml"))}
    made = {(one["kind"], one["metadata"]["name"]) for file in files for one in documents(file)}
    for one in documents(own):
        needed = {("PersistentVolumeClaim", name) for name in _claims(one)}
        spec = one.get("spec") or {}
        sources = (spec.get("model") or {}, ((spec.get("checkpoints") or {}).get("resume") or {}))
        trained = (sources[0].get("fromTraining") or {}).get("name"), (sources[1].get("from") or {}).get("training")
        needed |= {("DeepSeekTraining", name) for name in trained if name}
        assert needed <= made
