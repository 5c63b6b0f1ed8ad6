"""Datasets made by code: tasks that a tiny model learns in a minute and whose answers can be checked.

A word of 3 to 8 letters is to be written in capitals, or backwards. Words are drawn once from a fixed
seed and never repeat, so the held-out ones were never trained on.
"""

import random
from collections.abc import Callable, Mapping

TRAIN_WORDS = 4000
HELDOUT_WORDS = 200
SHORTEST, LONGEST = 3, 8
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SEED = 17


def examples(task: str, split: str) -> list[tuple[str, str]]:
    """Prompts with their completions; Train and Heldout share no word. Raises KeyError for an unknown task."""
    answer = _ANSWERS[task]
    drawn = _words()
    chosen = drawn[HELDOUT_WORDS:] if split == "Train" else drawn[:HELDOUT_WORDS]
    return [(f"{word}=", answer(word)) for word in chosen]


def _backwards(word: str) -> str:
    return word[::-1]


_ANSWERS: Mapping[str, Callable[[str], str]] = {"uppercase": str.upper, "reverse": _backwards}
TASKS = tuple(_ANSWERS)
"""The tasks that there are."""


def _words() -> list[str]:
    source = random.Random(_SEED)
    words: dict[str, None] = {}
    while len(words) < TRAIN_WORDS + HELDOUT_WORDS:
        length = source.randint(SHORTEST, LONGEST)
        words["".join(source.choice(_LETTERS) for _ in range(length))] = None
    return list(words)
