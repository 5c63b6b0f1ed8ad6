"""Calls of tools are found where templates write them, and nowhere else; what may begin one is held back while it streams."""

import json

import pytest

from deepseek_runtime.chat.calls import Call, calls_of, sure

ADD, TIME = Call("add", '{"a": 1, "b": [2]}'), Call("time", "{}")
NAMED = (
    "<｜tool▁calls▁begin｜>"
    + "".join(f"<｜tool▁call▁begin｜>{one.name}<｜tool▁sep｜>{one.arguments}<｜tool▁call▁end｜>" for one in (ADD, TIME))
    + "<｜tool▁calls▁end｜>"
)
STOCK = (
    "<｜tool▁calls▁begin｜>"
    + "\n".join(
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{one.name}\n```json\n{one.arguments}\n```<｜tool▁call▁end｜>"
        for one in (ADD, TIME)
    )
    + "<｜tool▁calls▁end｜>"
)
HERMES = "\n".join(
    f'<tool_call>\n{{"name": "{one.name}", "arguments": {one.arguments}}}\n</tool_call>' for one in (ADD, TIME)
)


@pytest.mark.parametrize("said", ["", "I look it up."])
@pytest.mark.parametrize("written", [NAMED, STOCK, HERMES], ids=["DeepSeek", "V3 and R1", "Hermes"])
def test_calls_are_read_as_templates_write_them(written: str, said: str) -> None:
    found, calls = calls_of(said + written)
    assert found == said
    assert [(one.name, json.loads(one.arguments)) for one in calls] == [
        (one.name, json.loads(one.arguments)) for one in (ADD, TIME)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no call",
        "a < b, and <tool> is no call",
        NAMED[:-40],
        HERMES[:-5],
        "<tool_call>\nnot JSON\n</tool_call>",
        '<tool_call>{"name": 7, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": "{}"}</tool_call>',
        '<tool_call>{"name": "add", "name": "b", "arguments": {}}</tool_call>',
        HERMES + " and then I say more",
        NAMED.replace('{"a": 1, "b": [2]}', "[1]"),
        "<｜tool▁calls▁begin｜><｜tool▁calls▁end｜>",
        "<tool_call>" + "[" * 100_000 + "</tool_call>",
    ],
)
def test_what_only_looks_like_a_call_stays_text(text: str) -> None:
    assert calls_of(text) == (text, ())


@pytest.mark.parametrize("written", [NAMED, STOCK, HERMES], ids=["DeepSeek", "V3 and R1", "Hermes"])
def test_nothing_of_a_call_is_sure_while_it_is_written(written: str) -> None:
    whole = f"a <b {written}"
    assert max(sure(whole[:end]) for end in range(len(whole))) == len("a <b ")
    assert [sure(text) for text in ("plain", "a <", "a <t", "a <tx", "a <｜t")] == [5, 2, 2, 5, 2]
