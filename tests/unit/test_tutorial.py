"""The tutorial is ten commands at most, its data is a file that it shows, and its Chinese form has the very same blocks."""

import json
from pathlib import Path

from tests.support.doc_blocks import Block, all_blocks
from tests.support.tutorial import typed_lines

ROOT = Path(__file__).parents[2]
BLOCKS = all_blocks()


def _of(page: str) -> list[Block]:
    return [block for block in BLOCKS if block.page == page]


def test_a_newcomer_types_ten_lines_at_most() -> None:
    lines = typed_lines(_of("docs/tutorial.md"))
    assert 0 < len(lines) <= 10
    assert lines[0] == "examples/run"
    assert lines[-1].startswith("curl ")


def test_the_chinese_form_has_the_same_blocks_in_the_same_order() -> None:
    english, chinese = ([(one.language, one.text) for one in _of(f"docs/{page}")] for page in ("tutorial.md", "zh/tutorial.md"))  # fmt: skip
    assert chinese == english


def test_the_lines_of_data_that_are_shown_are_in_the_file() -> None:
    data = (ROOT / "examples" / "tutorial" / "answers.jsonl").read_text().splitlines()
    shown = next(block.text for block in _of("docs/tutorial.md") if block.language == "json")
    assert set(shown.splitlines()) <= set(data)
    assert all(json.loads(line).keys() == {"prompt", "completion"} for line in data)


def test_a_line_that_goes_on_is_one() -> None:
    block = Block("x.md", 1, "bash", "kubectl get \\\n  dst\n\nls\n")
    assert typed_lines([block, Block("x.md", 9, "yaml", "a: 1\n")]) == ["kubectl get    dst", "ls"]
