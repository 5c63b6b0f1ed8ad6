"""The reference has every field, value and command with words of its own, and what Markdown would read as markup is harmless."""

from argparse import ArgumentParser
from pathlib import Path

import pytest
import yaml

from deepseek_operator.__main__ import parser, tables
from deepseek_operator.cli import kubectl, reference
from deepseek_operator.kinds.registry import KINDS
from tests.support.leaves import schema_leaves
from tests.support.sham_kind import ALL as WITH_SHAM

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("plural", ["deepseektrainings", "deepseekservings"])
@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_leaf_of_a_definition_has_its_row(plural: str, part: str) -> None:
    page = (DOCS / "fields.md").read_text()
    leaves = {leaf.removeprefix(f"{part}.") for leaf in schema_leaves(plural, part)}
    named = {leaf for leaf in leaves if not leaf.endswith("[]")} | {leaf.removesuffix("[]") for leaf in leaves}
    assert {leaf for leaf in named if f"| `{leaf}` |" not in page and f"| `{leaf}[]" not in page} == set()


def test_every_value_of_the_chart_has_its_row() -> None:
    page = (DOCS / "values.md").read_text()
    values = yaml.safe_load((ROOT / "charts" / "deepseek-operator" / "values.yaml").read_text())
    assert {name for name in values if f"| `{name}` |" not in page and f"| `{name}." not in page} == set()


@pytest.mark.parametrize("program", [parser(), kubectl.parser()], ids=lambda one: one.prog)
def test_every_verb_has_its_section_and_says_what_it_does(program: ArgumentParser) -> None:
    page = (DOCS / "commands.md").read_text()
    sections = [line for line in reference.commands(program).splitlines() if line.startswith("### ")]
    assert len(sections) > 8
    assert [line for line in sections if f"\n{line}\n" not in page] == []
    assert ": .\n" not in reference.commands(program), "a verb without help"


def test_every_argument_says_what_it_is() -> None:
    rows = [line for table in tables()["commands.md"].values() for line in table.splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []


def test_a_kind_that_is_added_is_in_the_reference() -> None:
    assert len(reference.fields(WITH_SHAM)) > len(reference.fields(KINDS))


def test_comments_are_of_the_value_below_them_and_blocks_are_paths() -> None:
    text = "# -- One.\n# More.\na: 1\n# no word\nb:\n  # -- Two.\n  c: x\n  d: y\n\ne:\n  # -- Three.\n  c: []\n"
    assert reference.comments(text) == {"a": "One. More.", "b.c": "Two.", "e.c": "Three."}


def test_a_value_without_words_is_told() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"description": "Second."}}}
    with pytest.raises(ValueError, match="a has neither a comment"):
        reference.values({}, schema, {"b": 1, "a": ""})


def test_values_say_default_and_words_and_free_maps_are_one_value() -> None:
    schema = {
        "properties": {"a": {"properties": {"b": {"type": "integer"}, "c": {"$ref": "#/$defs/map"}}}},
        "$defs": {"map": {"type": "object", "description": "Labels <of> a|b."}},
    }
    made = reference.values({"a.b": "How many*."}, schema, {"a": {"b": 3, "c": {"x": "1"}}})
    assert made.splitlines()[2:] == ["| `a.b` | `3` | How many\\*. |", "| `a.c` | `{x: 1}` | Labels &lt;of> a\\|b. |"]
