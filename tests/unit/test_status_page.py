"""docs/status.md has every condition, every reason and every event that the operator can tell, and none that it can't."""

import re
from pathlib import Path

import pytest

from deepseek_operator.kinds.serving.exam import EXAMINER
from deepseek_operator.kinds.serving.failing import is_invalid
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.workloads.batch.fetch import FETCHER
from deepseek_operator.workloads.batch.program import Program
from deepseek_runtime.contract import ExitCode
from tests.support.serving_look import INVALID, container, ended
from tests.support.told_reasons import condition_reasons, condition_types, event_reasons

PAGE = (Path(__file__).parents[2] / "docs" / "status.md").read_text()
JUDGED = frozenset({"AnalysisPassed", "AnalysisInconclusive"})
"""Put together of two words where they are told."""


def rows(heading: str) -> dict[str, str]:
    """By each name of a table's first column, its line."""
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    return {name: line for line in lines for name in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_condition_has_its_row_and_no_other_has_one() -> None:
    assert rows("Conditions").keys() == condition_types()


def test_every_event_has_its_row_and_no_other_has_one() -> None:
    assert rows("Events").keys() == event_reasons() | JUDGED


def test_every_reason_stands_beside_its_condition_or_in_the_table_of_reasons() -> None:
    told = set(re.findall(r"(?m)^\| \w+ \| `(\w+)` \|", PAGE))
    beside = {word for line in rows("Conditions").values() for word in re.findall(r"`(\w+)`", line.split("|", 2)[2])}
    assert condition_reasons() - told - beside == set()


def exits() -> dict[tuple[str, int], tuple[list[str], str]]:
    """By container and exit code its causes, and what follows."""
    part = PAGE.partition("\n## Exit codes\n")[2].partition("\n## ")[0]
    found = re.findall(r"(?m)^\| `(\w+)` \| (\d+) \| (.+?) \| (.+) \|$", part)
    return {(name, int(code)): (re.findall(r"`(\w+)`", causes), follows) for name, code, causes, follows in found}


@pytest.mark.parametrize("program", [TRAINER, FETCHER, EXAMINER], ids=lambda one: one.container)
def test_every_exit_code_of_a_program_has_its_row_and_no_other_has_one(program: Program) -> None:
    rows = {code: told for (name, code), told in exits().items() if name == program.container}
    assert rows.keys() == program.exits.keys()
    for code, known in program.exits.items():
        causes, follows = rows[code]
        assert causes == [known.cause, *known.told.values()]
        assert ("a person must edit" in follows or "no other try" in follows) is known.is_final
        assert ("not counted" in follows) is known.is_disruption


def test_no_row_is_of_another_container() -> None:
    assert {name for name, _ in exits()} == {"engine", TRAINER.container, FETCHER.container, EXAMINER.container}


def test_of_an_engine_its_code_counts_with_its_own_words_alone() -> None:
    assert [code for name, code in exits() if name == "engine"] == [ExitCode.INVALID]
    assert "`formatVersion`" in exits()["engine", ExitCode.INVALID][1]
    assert is_invalid(container(ended(ExitCode.INVALID, INVALID)))
    assert not is_invalid(container(ended(ExitCode.INVALID, "usage: vllm serve")))
    assert not is_invalid(container(ended(ExitCode.STALLED, INVALID)))


def test_what_the_source_tells_is_seen() -> None:
    assert {"Ready", "SizingWarning", "CacheReady", "Complete"} <= condition_types()
    assert {"Tight", "NotSized", "GraceTooShort", "Settled"} <= condition_reasons()
    assert {"AttemptStarted", "CanaryPromoted", "EngineStalled"} <= event_reasons()
