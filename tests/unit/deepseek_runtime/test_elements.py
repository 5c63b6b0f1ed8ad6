"""A JSON list is read value by value, in pieces, as it would be read whole; faults are told by their place in all of it."""

import io
import json
from collections.abc import Callable

import pytest

from deepseek_runtime import documents
from deepseek_runtime.documents import elements

LISTS = (
    "[]",
    " [ ] ",
    '[{"a": 1}, {"b": [1, 2, {"c": "]"}]}]',
    '[\n  {"text": "one"},\n  {"text": "zwei\\u00fc\\n"},\n\n  {"text": "三"}\n]\n',
    "[1, 23, 456, -7.5e10, true, false, null]",
    '["\\ud83d\\ude00", "a\\\\", "\\"", "' + "x" * 100 + '"]',
    "[[[[]]], [[]], []]",
)
FAULTS = (
    "[1, 2,]",
    "[1 2]",
    "[1, 2",
    "[",
    '[{"a": 1},\n {"a" 2}]',
    '[{"a": 1},\n {"a": 2}] x',
    '[{"a": "never ends}]',
    '[{"a": tru}]',
    '["\\x"]',
    "[1,\n\n\n   ,]",
)


def in_pieces(text: str, size: int) -> Callable[[int], str]:
    stream = io.StringIO(text)
    return lambda _: stream.read(size)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("text", LISTS)
def test_values_are_those_of_the_whole_list(text: str, size: int) -> None:
    assert [value for _, value in elements(in_pieces(text, size))] == json.loads(text)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_each_value_knows_its_line(size: int) -> None:
    found = [line for line, _ in elements(in_pieces(LISTS[3], size))]
    assert found == [2, 3, 5]


@pytest.mark.parametrize("size", [1, 2, 9, 1000])
@pytest.mark.parametrize("text", FAULTS)
def test_fault_is_told_by_its_place_in_the_whole_text(text: str, size: int) -> None:
    with pytest.raises(json.JSONDecodeError) as whole:
        list(elements(in_pieces(text, 1000)))
    with pytest.raises(json.JSONDecodeError) as found:
        list(elements(in_pieces(text, size)))
    told = (found.value.msg, found.value.lineno, found.value.colno)
    assert told == (whole.value.msg, whole.value.lineno, whole.value.colno)
    assert found.value.lineno <= text.count("\n") + 1


def test_list_of_many_is_read_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is asked for once, and none is as large as the list."""
    monkeypatch.setattr(documents, "_MORE", 1000)
    text, asked = json.dumps([{"text": f"{number} {'x' * 50}"} for number in range(5000)]), list[int]()
    stream = io.StringIO(text)

    def read(size: int) -> str:
        asked.append(size)
        return stream.read(size)

    assert len(list(elements(read))) == 5000
    assert max(asked) < 2500
    assert sum(asked) < 1.5 * len(text)
