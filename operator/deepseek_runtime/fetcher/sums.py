"""`SHA256SUMS`: what a publisher promises of files, as sha256sum prints it."""

import re

from deepseek_runtime.fetcher.failures import NotThere

SUMS = "SHA256SUMS"
LONGEST = 16 << 20
"""Bytes: of some hundred thousand files."""
WRITTEN_BY = "find . -type f ! -name SHA256SUMS -exec sha256sum {} + > SHA256SUMS"
"""What to run in a folder that lacks it."""
_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(.+)")


def promised(content: bytes) -> dict[str, str]:
    """The sha256 of each file that is named; lines of other forms are passed over."""
    return {match[2]: match[1] for line in _lines(content) if (match := _LINE.fullmatch(line)) is not None}


def named(content: bytes, place: str) -> dict[str, str]:
    """The same of a list that says which files there are. Raises NotThere for a line of another form: a file less would not be
    missed."""
    for number, line in enumerate(_lines(content), start=1):
        if line.strip() and _LINE.fullmatch(line) is None:
            raise NotThere(
                f"line {number} of {place} is {line[:80]!r}, and not <sha256>  <path>; write the file by: {WRITTEN_BY}"
            )
    return promised(content)


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", errors="replace").splitlines()
