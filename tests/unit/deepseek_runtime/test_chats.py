"""What a chat may be: one hostile line of a file is named with its place in it and what to write instead."""

import json
from pathlib import Path

import pytest

from deepseek_runtime.chat.messages import Chat, chat_of
from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Dataset, Format
from deepseek_runtime.trainer.data.source import chats_of, contents_of, pairs_of

USER = {"role": "user", "content": "What is the weather in Paris?"}
ANSWER = {"role": "assistant", "content": "Sunny."}
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "sunny"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
GOOD = json.dumps({"messages": [USER, ANSWER]})


def chats(folder: Path, content: str, form: Format = "Messages") -> list[tuple[str, Chat]]:
    """Each chat with its place behind the file's name."""
    file = folder / "chats"
    file.write_text(content)
    dataset = Dataset(file, None, "Train", 1.0, form)
    return [(place.removeprefix(f"dataset {file} "), chat) for place, chat in chats_of(dataset, contents_of(dataset))]


def line(*messages: object, **fields: object) -> str:
    return json.dumps({"messages": list(messages), **fields})


HOSTILE = {
    "no messages": ("{}", 'has no \'messages\', only nothing; write {"messages": [{"role"'),
    "messages that are none": (line() and '{"messages": "hi"}', 'messages is "hi", no list; write {"role"'),
    "messages that are true": ('{"messages": true}', "messages is true, no list"),
    "empty messages": (line(), 'messages is empty; write {"role"'),
    "message that is none": (line("hi"), 'messages[0] is "hi"; write {"role"'),
    "unknown role": (
        line({"role": "bot", "content": "a"}),
        'messages[0].role is "bot"; write one of system, developer',
    ),
    "role that is true": (line({"role": True, "content": "a"}), "messages[0].role is true; write one of"),
    "ShareGPT's names": (line({"from": "human", "value": "a"}), "messages[0].role is null; write one of"),
    "ShareGPT": ('{"conversations": [{"from": "human", "value": "a"}]}', "has ShareGPT's 'conversations': write {"),
    "last turn not the assistant's": (line(USER, ANSWER, USER), "messages end with the user's: the last must be"),
    "only a system's": (line({"role": "system", "content": "a"}), "messages end with the system's"),
    "answer without a question": (line(ANSWER), "messages[0] is the assistant's: a user's message must come before"),
    "empty answer": (line(USER, {"role": "assistant", "content": " "}), "messages[1].content is empty: an answer"),
    "answer that is null": (line(USER, {"role": "assistant", "content": None}), "messages[1].content is null, no text"),
    "content that is true": (line({"role": "user", "content": True}), "messages[0].content is true, no text"),
    "content that is a number": (line({"role": "user", "content": 7}), "messages[0].content is 7, no text"),
    "image": (
        line({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}),
        'messages[0].content[0] is of type "image_url": only text content is supported',
    ),
    "part without a text": (line({"role": "user", "content": [{"type": "text"}]}), "messages[0].content[0] is {"),
    "images beside": (line({**USER, "images": ["a.png"]}, ANSWER), "messages[0] has 'images', which no chat template"),
    "retired call": (line(USER, {**ANSWER, "function_call": {"name": "f"}}), "messages[1] has 'function_call'"),
    "half a surrogate pair": (
        '{"messages": [{"role": "user", "content": "hi \\ud83d"}]}',
        "messages[0].content holds half of a surrogate pair (\\ud83d) at character 4",
    ),
    "half a pair in a part": (
        '{"messages": [{"role": "user", "content": [{"type": "text", "text": "\\ud83d"}]}]}',
        "messages[0].content[0] holds half of a surrogate pair",
    ),
    "half a pair in a call": (
        line(USER, CALLING, RESULT, ANSWER, tools=[TOOL]).replace('Paris\\"', '\\\\ud83d\\"'),
        "messages[1].tool_calls[0].function.arguments holds half",
    ),
    "call without tools": (line(USER, CALLING, RESULT, ANSWER), "messages[1] calls 'weather', and tools has none"),
    "call of another tool": (
        line(USER, CALLING, RESULT, ANSWER, tools=[{"type": "function", "function": {"name": "time"}}]),
        "messages[1] calls 'weather', and tools has 'time'",
    ),
    "call by the user": (
        line({**USER, "tool_calls": [CALL]}, tools=[TOOL]),
        "messages[0].tool_calls stands in a message",
    ),
    "call without a name": (
        line(USER, {**CALLING, "tool_calls": [{"function": {}}]}, tools=[TOOL]),
        'messages[1].tool_calls[0] is {"function": {}}; write {"type": "function"',
    ),
    "calls that are none": (line(USER, {**CALLING, "tool_calls": "weather"}), 'messages[1].tool_calls is "weather"'),
    "arguments that are no JSON": (
        line(USER, {**CALLING, "tool_calls": [{"function": {"name": "weather", "arguments": "{city"}}]}, tools=[TOOL]),
        "messages[1].tool_calls[0].function.arguments is not JSON (Expecting property name",
    ),
    "arguments that are a list": (
        line(USER, {**CALLING, "tool_calls": [{"function": {"name": "weather", "arguments": "[1]"}}]}, tools=[TOOL]),
        "messages[1].tool_calls[0].function.arguments is [1], no object",
    ),
    "answer of a tool nobody called": (
        line(USER, RESULT, ANSWER),
        "messages[1] is a tool's answer to tool_call_id '1'",
    ),
    "answer to another call": (
        line(USER, CALLING, {**RESULT, "tool_call_id": "2"}, ANSWER, tools=[TOOL]),
        "messages[2] is a tool's answer to tool_call_id '2' that stands before it",
    ),
    "tools that are none": (line(USER, ANSWER, tools=True), "tools is true, no list; write {"),
    "tools as broken text": (line(USER, ANSWER, tools="[{"), "tools is a text that is not JSON"),
    "tool without a name": (
        line(USER, ANSWER, tools=[{"type": "function"}]),
        'tools[0] is {"type": "function"}; write',
    ),
    "weight that is true": (line(USER, {**ANSWER, "weight": True}), "messages[1].weight is true; write 0 or 1"),
    "weight of the user": (
        line({**USER, "weight": 0}, ANSWER),
        "messages[0].weight is 0; write 0 or 1, in a message of",
    ),
    "nothing to learn": (line(USER, {**ANSWER, "weight": 0}), "every message of the assistant has weight 0"),
    "deep JSON": ('{"messages": ' + "[" * 10_000, "can't be read: it is nested too deeply"),
    "key twice": ('{"messages": [{"role": "user", "role": "user"}]}', "can't be read: the key 'role' stands twice"),
    "another format": (
        '{"prompt": "a", "completion": "b"}',
        "is of format PromptCompletion, and the dataset's is Messages",
    ),
    "a third format": (
        '{"instruction": "a", "output": "b"}',
        "is of format Alpaca, and the dataset's is Messages: write",
    ),
    "prose": ("Hello", "is not JSON (Expecting value, column 1)"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_line_is_named_with_its_place_and_what_to_write(kind: str, tmp_path: Path) -> None:
    hostile, words = HOSTILE[kind]
    with pytest.raises(Invalid) as caught:
        chats(tmp_path, f"{GOOD}\n{hostile}\n{GOOD}\n")
    said = str(caught.value)
    place = f"dataset {tmp_path / 'chats'} line 2"
    assert said.startswith((f"{place}: {words}", f"{place} {words}"))
    assert len(said) < 1000
    said.encode()


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"instruction": "a"}, "has no 'output', only 'instruction'; write {\"instruction\""),
        ({"instruction": 7, "output": "b"}, "'instruction' is 7, no text"),
        ({"instruction": "a", "input": False, "output": "b"}, "'input' is false, no text"),
        ({"instruction": "a", "output": ""}, "messages[1].content is empty"),
        ({"instruction": "a", "output": "b", "history": "c"}, 'history is "c", no list; write [["question", "answer"]'),
        ({"instruction": "a", "output": "b", "history": [["c"]]}, 'history[0] is ["c"]; write ["question", "answer"]'),
        ({"instruction": "a", "output": "b", "system": ["c"]}, "'system' is [\"c\"], no text"),
        ({"messages": []}, "is of format Messages, and the dataset's is Alpaca"),
    ],
)
def test_line_that_is_no_alpaca_is_named_with_what_to_write(
    record: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid) as caught:
        chats(tmp_path, json.dumps(record), "Alpaca")
    place = f"dataset {tmp_path / 'chats'} line 1"
    assert str(caught.value).startswith((f"{place}: {words}", f"{place} {words}"))


def test_lines_and_a_list_are_read_alike(tmp_path: Path) -> None:
    for content, places in (
        (f"{GOOD}\n\n{GOOD}", ["line 1", "line 3"]),
        (f"[{GOOD},{GOOD}]", ["entry 1 (line 1)", "entry 2 (line 1)"]),
    ):
        found = chats(tmp_path, content)
        assert [place for place, _ in found] == places
        assert [chat for _, chat in found] == [Chat((USER, ANSWER))] * 2


def test_chat_with_tools_reaches_the_template_whole(tmp_path: Path) -> None:
    """Arguments become an object; tools may be one text; what says nothing of the chat is left aside."""
    said = [{**USER, "id": 7, "time": "now"}, CALLING, {**RESULT, "name": "weather"}, {**ANSWER, "weight": 1}]
    for tools in ([TOOL], json.dumps([TOOL])):
        ((_, chat),) = chats(tmp_path, line(*said, tools=tools, source="web"))
        function = {"name": "weather", "arguments": {"city": "Paris"}}
        called = {**CALLING, "tool_calls": [{"id": "1", "type": "function", "function": function}]}
        assert chat == Chat((USER, called, {**RESULT, "name": "weather"}, ANSWER), (TOOL,))


def test_parts_of_text_are_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat_of([{"role": "user", "content": parts}]).messages == ({"role": "user", "content": "ab"},)


def test_weight_zero_is_an_answer_that_is_only_read(tmp_path: Path) -> None:
    ((_, chat),) = chats(tmp_path, line(USER, {**ANSWER, "weight": 0}, USER, ANSWER))
    assert (chat.answers, chat.unlearnt) == ((1, 3), frozenset({1}))


def test_alpaca_is_a_question_with_its_input_and_an_answer(tmp_path: Path) -> None:
    records = [
        {"instruction": "Translate.", "input": "猫", "output": "cat", "id": 3},
        {"instruction": "Hi", "input": "", "output": "Hello", "system": "Be kind.", "history": [["a", "b"]]},
    ]
    first, second = (chat for _, chat in chats(tmp_path, json.dumps(records), "Alpaca"))
    assert [one["content"] for one in first.messages] == ["Translate.\n猫", "cat"]
    assert [(one["role"], one["content"]) for one in second.messages] == [
        ("system", "Be kind."), ("user", "a"), ("assistant", "b"), ("user", "Hi"), ("assistant", "Hello"),
    ]  # fmt: skip


def test_task_made_by_code_can_be_a_chat() -> None:
    dataset = Dataset(None, "uppercase", "Heldout", 1.0, "Messages")
    _, prompt, completion = next(pairs_of(dataset, ()))
    _, chat = next(chats_of(dataset, ()))
    assert [one["content"] for one in chat.messages] == [prompt, completion]
