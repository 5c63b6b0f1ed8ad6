"""The words of a text, whatever its script: what near duplicates and contamination are told by."""

import re

# Chinese and Japanese write no spaces between words: each of their characters counts as one.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_ALONE}]|[^\\W_{_ALONE}]+")


def words(text: str) -> list[str]:
    """Runs of letters and digits in order, without case; marks and spaces between them count for nothing."""
    return _WORD.findall(text.casefold())


def runs(of: list[str], length: int) -> set[str]:
    """Every `length` words that follow each other; of a shorter text all of its words as one, of none nothing."""
    if len(of) <= length:
        return {" ".join(of)} if of else set()
    return {" ".join(of[start : start + length]) for start in range(len(of) - length + 1)}
