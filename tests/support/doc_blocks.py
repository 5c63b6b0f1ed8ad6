"""The fenced blocks of README and docs/, each with its language and the mark above it.

A mark is a comment on the line above the fence, for a block that nothing here can check:

    <!-- run by: tests/e2e/test_examples.py::test_the_examples_for_a_cpu_end_as_they_say_within_two_minutes -->
    <!-- not run: it needs a registry of one's own -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>\S*)\s*$")
_MARK = re.compile(r"^\s*<!-- (?P<word>run by|not run): (?P<rest>.+) -->$")
_LISTED = re.compile(r"^\s*([-*]|\d+\.) ")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: relative to the repository.
        line: of its opening fence, from 1.
        language: as the fence says; empty where it says none.
        text: without the fences and their indentation, ends in a newline.
        run_by: the test that runs it, `path::name`; empty without that mark.
        not_run: why nothing runs it; empty without that mark.
    """

    page: str
    line: int
    language: str
    text: str
    run_by: str = ""
    not_run: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_marked(self) -> bool:
        """Whether it says who runs it, or why nobody does."""
        return bool(self.run_by or self.not_run)


def blocks(page: str, text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in their order.

    Raises:
        ValueError: a fence is not closed, or a mark has no fence below it.
    """
    lines = iter(enumerate(text.splitlines(), start=1))
    mark = {"run by": "", "not run": ""}
    for number, line in lines:
        if found := _MARK.match(line):
            mark[found["word"]] = found["rest"].strip()
            continue
        opened = _FENCE.match(line)
        if opened is None:
            if any(mark.values()):
                raise ValueError(f"{page}:{number}: the mark above stands over no block")
            continue
        inner = []
        for _, below in lines:
            if below.strip() == opened["ticks"]:
                break
            inner.append(below.removeprefix(opened["indent"]))
        else:
            raise ValueError(f"{page}:{number}: the block is not closed")
        body = "".join(f"{one}\n" for one in inner)
        yield Block(page, number, opened["language"], body, mark["run by"], mark["not run"])
        mark = {"run by": "", "not run": ""}


def indented(text: str) -> Iterator[int]:
    """Numbers of lines that begin a block by indentation alone, which has no language: none may.

    Within a list four spaces are a paragraph of it, and eight such a block.
    """
    is_open, in_list, before = False, False, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if _FENCE.match(line) or (is_open and line.strip().startswith("```")):
            is_open = not is_open
        elif not is_open:
            if line.strip() and not line.startswith(" "):
                in_list = bool(_LISTED.match(line))
            begins = not before.strip() and line.startswith(" " * (8 if in_list else 4)) and line.strip() != ""
            if begins and not _LISTED.match(line):
                yield number
        before = line


def all_blocks() -> tuple[Block, ...]:
    """Those of every page."""
    return tuple(
        block for page in PAGES for block in blocks(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8"))
    )


def typed(block: Block) -> str:
    """What a person types of a block: of a console lines with a dollar, and those that they go on in."""
    if block.language != "console":
        return block.text
    lines, goes_on = [], False
    for line in block.text.splitlines():
        if line.startswith("$ ") or goes_on:
            lines.append(line.removeprefix("$ "))
            goes_on = line.endswith("\\")
    return "\n".join(lines) + "\n"
