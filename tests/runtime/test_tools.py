"""A client that offers tools gets the prompt that training saw, and calls in OpenAI's form, whole and streamed."""

import json
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deepseek_runtime.chat.messages import chat_of
from deepseek_runtime.chat.template import DEEPSEEK
from deepseek_runtime.engine.model import Model
from deepseek_runtime.engine.reply import Reply
from deepseek_runtime.engine.request import BadRequest, chat
from deepseek_runtime.engine.sequence import Answer, Finish, Piece
from deepseek_runtime.engine.state import Engine
from deepseek_runtime.trainer.data.chats import chat_record
from deepseek_runtime.trainer.tokenizer import byte_tokenizer
from tests.runtime.bare_model import model

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
ASKED = [{"role": "user", "content": "1+1?"}]
CALL = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CALLED = [*ASKED, {"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": "1"}]}]
WRITTEN = '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'


def served(template: str = DEEPSEEK) -> Model:
    found = model()
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return cast(Model, SimpleNamespace(**{**vars(found), "tokenizer": tokenizer, "max_length": 4000}))


def test_offered_tools_are_rendered_as_they_are_trained() -> None:
    asked = chat({"messages": ASKED, "tools": [TOOL]}, served())
    tokenizer = served().tokenizer
    trained = chat_record("a", chat_of(CALLED, [TOOL]), tokenizer, "Completion")
    (prompt, is_learnt), (answer, _) = trained.pieces[:2]
    assert not is_learnt
    assert tokenizer.decode(asked.prompt) == prompt
    assert answer.startswith(WRITTEN)
    assert asked.has_tools


def test_tools_that_are_not_to_be_called_are_not_told_of() -> None:
    plain = chat({"messages": ASKED}, served())
    unused: list[dict[str, object]] = [{"tools": []}, {"tools": None}, {"tools": [TOOL], "tool_choice": "none"}]
    for fields in unused:
        assert chat({"messages": ASKED, **fields}, served()) == plain


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": [{"type": "function"}]}, "tools\\[0\\] is .*; write"),
        ({"tools": "add"}, "tools is a text that is not JSON"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice is .*; write"),
    ],
)
def test_tools_that_can_not_be_offered_are_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        chat({"messages": ASKED, **fields}, served())


def test_template_that_knows_no_tools_is_told() -> None:
    plain = served("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(BadRequest, match="tells it nothing of tools; leave tools out"):
        chat({"messages": ASKED, "tools": [TOOL]}, plain)


async def pieces(texts: Sequence[str], finish: Finish) -> AsyncGenerator[Piece, None]:
    for text in texts:
        yield Piece(text, None)
    yield Piece("", finish)


def reply(*, has_tools: bool) -> Reply:
    body: dict[str, object] = {"messages": ASKED, **({"tools": [TOOL]} if has_tools else {})}
    answer = cast(Answer, SimpleNamespace(tokens=[1, 2]))
    return Reply(cast(Engine, None), "chat", "chat-1", "tiny", chat(body, served()), answer)


async def streamed(texts: Sequence[str], finish: Finish, *, has_tools: bool = True) -> list[dict[str, Any]]:
    made = reply(has_tools=has_tools)
    spoken = made._spoken(pieces(texts, finish))
    return [made._delta(piece, {}) async for piece in spoken if piece.text or getattr(piece, "finish", None)]


async def test_calls_are_given_in_openais_form() -> None:
    whole = await reply(has_tools=True).whole(pieces(["Let me see.", WRITTEN], "stop"))
    (choice,) = json.loads(cast(str, whole.text))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [{"id": "call-chat-1-0", **CALL}],
    }


async def test_calls_are_streamed_as_one_delta_and_nothing_of_their_text_before() -> None:
    for size in (1, 3, 50):
        text = f"Let me see. {WRITTEN}"
        found = await streamed([text[at : at + size] for at in range(0, len(text), size)], "stop")
        assert "".join(one["delta"].get("content", "") for one in found).rstrip() == "Let me see."
        assert [one["finish_reason"] for one in found][-1] == "tool_calls"
        assert found[-1]["delta"]["tool_calls"] == [{"index": 0, "id": "call-chat-1-0", **CALL}]


@pytest.mark.parametrize(("text", "finish"), [("a < b <tool", "stop"), (WRITTEN[:-30], "length"), ("plain", "stop")])
async def test_what_is_no_call_is_streamed_as_text(text: str, finish: Finish) -> None:
    found = await streamed(list(text), finish)
    assert "".join(one["delta"]["content"] for one in found) == text
    assert found[-1]["finish_reason"] == finish


async def test_without_tools_everything_is_text() -> None:
    (*_, last) = found = await streamed([WRITTEN], "stop", has_tools=False)
    assert found[0]["delta"]["content"] == WRITTEN
    assert last["finish_reason"] == "stop"
