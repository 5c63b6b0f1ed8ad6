"""Parquet tables are read as the JSON lines that they stand for; what is broken is refused with its row."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Dataset, Format
from deepseek_runtime.trainer.data import parquet
from deepseek_runtime.trainer.data.dataset import read_examples
from deepseek_runtime.trainer.data.records import read_content
from deepseek_runtime.trainer.tokenizer import byte_tokenizer

SAID = [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}]
CALLS = [
    {"role": "user", "content": "sum?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
    },
    {"role": "tool", "content": "2", "tool_call_id": "1"},
    {"role": "assistant", "content": "two"},
]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
# Its fields are null in the column of the other.
OTHER = {"type": "function", "function": {"name": "mul", "parameters": {"type": "object", "required": ["a"]}}}
ROWS: Mapping[Format, Sequence[Mapping[str, object]]] = {
    "PromptCompletion": [{"prompt": "a", "completion": "b", "score": 1.5}, {"prompt": "c", "completion": ""}],
    "Alpaca": [{"instruction": "a", "input": "b", "output": "c"}, {"instruction": "d", "output": "e"}],
    "Text": [{"text": "one", "id": 1}, {"text": "二"}],
    "Messages": [{"messages": SAID}, {"messages": CALLS, "tools": [TOOL, OTHER]}],
}


def table(file: Path, rows: Sequence[Mapping[str, object]], **options: object) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    whole = [{name: row.get(name) for name in columns} for row in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(whole), file, **options)
    return file


def dataset(path: Path, form: Format) -> Dataset:
    return Dataset(path, None, "Train", 1.0, form)


def tokens(path: Path, form: Format) -> list[tuple[list[int], object]]:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{{ tools | tojson if tools else '' }}{% for m in messages %}{{ m.role ~ ':' ~ (m.content or '') ~"
        " (m.tool_calls | tojson if m.tool_calls else '') ~ eos_token }}{% endfor %}"
        "{{ 'assistant:' if add_generation_prompt else '' }}"
    )
    return [(one.tokens.tolist(), one.learnt) for one in read_examples(dataset(path, form), tokenizer, 512).examples]


@pytest.mark.parametrize("form", list(ROWS))
@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a"])
def test_table_gives_the_tokens_of_its_rows_as_lines(form: Format, name: str, tmp_path: Path) -> None:
    """A list gives them as well; so do the three together, in the order of their names, as a folder and as a pattern."""
    lines, entries = tmp_path / "b.jsonl", tmp_path / "c"
    lines.write_text("".join(json.dumps(row) + "\n" for row in ROWS[form]))
    entries.write_text(json.dumps(ROWS[form]))
    folder = tmp_path / "of"
    folder.mkdir()
    rows = table(folder / name, ROWS[form], row_group_size=1)
    wanted = tokens(lines, form)
    assert tokens(rows, form) == tokens(entries, form) == wanted
    if form == "Text":
        return
    (folder / "b.jsonl").write_text(lines.read_text())
    (folder / "c").write_text(entries.read_text())
    assert tokens(folder, form) == tokens(folder / "*", form) == wanted * 3


def test_rows_are_counted_over_batches_and_groups(tmp_path: Path) -> None:
    rows = [{"text": str(number)} for number in range(3000)]
    file = table(tmp_path / "a", rows, row_group_size=700)
    found = list(parquet.rows("a", file, ["text"], ""))
    assert [record["text"] for _, record in found] == [row["text"] for row in rows]
    assert [place for place, _ in found][::1000] == ["a row 1", "a row 1001", "a row 2001"]


def bad_text(file: Path) -> Path:
    """The third row is no UTF-8, which a table's writer need not see."""
    values = [b"one", b"two", b"\xff\xfe", b"four"]
    bad = pyarrow.array(values, type=pyarrow.binary()).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"text": bad}), file)
    return file


def cut(file: Path) -> Path:
    table(file, ROWS["Text"])
    file.write_bytes(file.read_bytes()[:-10])
    return file


def damaged(file: Path) -> Path:
    table(file, [{"text": "x" * 100}] * 100, compression="none", use_dictionary=False)
    content = bytearray(file.read_bytes())
    content[10:60] = b"\xff" * 50
    file.write_bytes(content)
    return file


def without_footer(file: Path) -> Path:
    file.write_bytes(b"PAR1" + b"\x00" * 100 + b"\xff\xff\xff\x7fPAR1")
    return file


def twice(file: Path) -> Path:
    column = pyarrow.array(["a"])
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays([column, column], names=["text", "text"]), file)
    return file


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (bad_text, "a row 3 can't be read: .*utf-8.*; write text in UTF-8"),
        (cut, "is a Parquet table that was cut off; copy it again"),
        (damaged, "a can't be read: .*; copy it again"),
        (without_footer, "a can't be read: .*; copy it again"),
        (twice, "has the column 'text' twice"),
        (lambda file: table(file, [{"words": "x", "id": 1}]), "has the columns 'words', 'id'; write"),
        (lambda file: table(file, [{"text": "x"}, {"text": None}]), "row 2: 'text' is null, no text"),
        (lambda file: table(file, [{"text": 7}]), "row 1: 'text' is 7, no text"),
        (lambda file: table(file, ROWS["Messages"]), "row 1 is of format Messages, and the dataset's is Text"),
    ],
)
def test_broken_table_is_refused_with_its_row(make: object, words: str, tmp_path: Path) -> None:
    assert callable(make)
    file = make(tmp_path / "a")
    with pytest.raises(Invalid, match=words):
        read_examples(dataset(file, "Text"), byte_tokenizer(), 64)


def test_text_that_begins_and_ends_as_a_table_does_is_a_table_only_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("PAR1 is how a table begins, and its end is no PAR2")
    assert not read_content(tmp_path / "a").is_table
