"""Engines and trainers of the tables as the schema speaks of them: in rules and in sentences."""

from collections.abc import Iterable


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
