"""The README's generated part is what the code says, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from deepseek_operator.__main__ import main
from deepseek_operator.cli.handbook import with_programs, with_reasons
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.training.reasons import ADVICE, Reason

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_table_of_reasons_is_renewed_with_the_reasons() -> None:
    assert with_reasons(README, KINDS) == README, "run: python3 -m deepseek_operator reasons"


def test_the_tables_of_engines_and_trainers_are_renewed_with_their_entries() -> None:
    assert with_programs(README) == README, "run: python3 -m deepseek_operator reasons"


def test_every_training_reason_has_its_advice() -> None:
    assert set(ADVICE) == set(Reason)


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    missing = [link for link in links if not (ROOT / link).exists()]
    assert links
    assert not missing, missing


def test_every_command_that_the_readme_names_exists() -> None:
    for command in ("examples/run", "examples/cluster", "tests/run"):
        assert command in README
        assert (ROOT / command).stat().st_mode & 0o111, f"{command} is not executable"


def test_what_the_readme_shows_of_sizing_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.search(r"```\n\$ deepseek-operator (size .+)\n((?:.+\n|\n)+?)```", README)
    assert shown
    main(shown[1].split())
    printed = capsys.readouterr().out.splitlines()
    quoted = [line for line in shown[2].splitlines() if line and line != "…"]
    assert [line for line in printed if line in quoted] == quoted
