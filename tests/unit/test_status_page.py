"""docs/status.md has every condition, every reason and every event that the operator can tell, and none that it can't."""

import re
from pathlib import Path

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


def test_what_the_source_tells_is_seen() -> None:
    assert {"Ready", "SizingWarning", "CacheReady", "Complete"} <= condition_types()
    assert {"Tight", "NotSized", "GraceTooShort", "Settled"} <= condition_reasons()
    assert {"AttemptStarted", "CanaryPromoted", "EngineStalled"} <= event_reasons()
