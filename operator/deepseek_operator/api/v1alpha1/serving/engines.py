"""The engines of the table as the schema speaks of them: their types as an enum, in rules and in sentences."""

from collections.abc import Iterable

from deepseek_operator.domain.programs.engines.entry import Start
from deepseek_operator.domain.programs.engines.table import offered


def of(start: Start) -> tuple[str, ...]:
    """Types of the offered engines whose command is written so."""
    return tuple(entry.type for entry in offered() if entry.start is start)


TYPES = tuple(entry.type for entry in offered())
"""Everything that `engine.type` may be."""
BUILT, OURS, WRITTEN = of(Start.BUILT), of(Start.OURS), of(Start.WRITTEN)


def is_one(field: str, types: Iterable[str]) -> str:
    """CEL: the field is one of these types."""
    quoted = [f"'{name}'" for name in types]
    return f"{field} == {quoted[0]}" if len(quoted) == 1 else f"{field} in [{', '.join(quoted)}]"


def is_none(field: str, types: Iterable[str]) -> str:
    """CEL: the field is none of these types."""
    quoted = [f"'{name}'" for name in types]
    return f"{field} != {quoted[0]}" if len(quoted) == 1 else f"!({field} in [{', '.join(quoted)}])"


def joined(types: Iterable[str], word: str) -> str:
    """The types in a sentence: `a, b and c` where the word is `and`."""
    *others, last = types
    return f"{', '.join(others)} {word} {last}" if others else last


BUILT_AND, BUILT_OR = joined(BUILT, "and"), joined(BUILT, "or")
OURS_OR, WRITTEN_OR = joined(OURS, "or"), joined(WRITTEN, "or")
