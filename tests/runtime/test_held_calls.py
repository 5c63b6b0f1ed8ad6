"""Calls that must be made, and thoughts before a form, in OpenAI's terms, whole and streamed."""

import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import pytest
import torch

from deepseek_runtime.chat.template import DEEPSEEK
from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.reply import Reply
from deepseek_runtime.engine.request import Asked, chat
from deepseek_runtime.engine.sequence import Answer, Piece
from deepseek_runtime.engine.state import Engine
from tests.runtime.forms import PARAMETERS, SAID, SCHEMA, TOKENIZERS, TOOLS, WANTED, Drawn, answered


@pytest.fixture(autouse=True)
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms of the tests' own need no process that tries them."""
    monkeypatch.setattr("deepseek_runtime.engine.holding.wrong_with", lambda grammar: "")


def reply(asked: Asked) -> Reply:
    return Reply(cast(Engine, None), "chat", "chat-1", "tiny", asked, cast(Answer, SimpleNamespace(tokens=[1])))


async def each(pieces: list[Piece]) -> AsyncGenerator[Piece, None]:
    for piece in pieces:
        yield piece


THINKING = DEEPSEEK.replace("'<｜Assistant｜>' -}}{%- endif -%}\n", "'<｜Assistant｜><think>\n' -}}{%- endif -%}\n")


@pytest.mark.parametrize("kind", TOKENIZERS)
async def test_thoughts_are_free_and_stand_apart_from_the_form(kind: str) -> None:
    assert THINKING != DEEPSEEK
    model = Drawn(kind, 1, THINKING)
    asked = chat({"messages": SAID, "response_format": WANTED, "max_tokens": 3000, "temperature": 0}, cast(Any, model))
    assert asked.thinks
    thoughts = "I think: a </thin {"
    ids = model.tokenizer(thoughts + "</think>", add_special_tokens=False).input_ids
    drawn, spoken = model.logits, iter(ids)

    def logits(ids: list[int], cache: object) -> torch.Tensor:
        scores = drawn(ids, cache)
        if (token := next(spoken, None)) is not None:
            scores[token] = 1000
        return scores

    model.logits = logits  # type: ignore[method-assign]
    pieces, _ = answered(asked, model)
    whole = json.loads(cast(str, (await reply(asked).whole(each(pieces))).text))["choices"][0]
    jsonschema.validate(json.loads(whole["message"]["content"]), SCHEMA)
    assert whole["message"]["reasoning_content"].strip() == thoughts
    assert whole["finish_reason"] == "stop"
    made = reply(asked)
    deltas = [made._delta(piece, {})["delta"] async for piece in made._spoken(each(pieces))]
    for name in ("content", "reasoning_content"):
        assert "".join(cast(Any, delta).get(name, "") for delta in deltas) == whole["message"][name]


def test_model_that_is_not_left_thinking_answers_at_once() -> None:
    model = cast(
        Any,
        Drawn("bytes", 1, DEEPSEEK.replace("'<｜Assistant｜>' -}}{%- endif", "'<｜Assistant｜></think>' -}}{%- endif")),
    )
    assert not chat({"messages": SAID, "response_format": WANTED}, model).thinks
    assert not chat({"messages": [{"role": "user", "content": "<think>"}], "response_format": WANTED}, model).thinks


@pytest.mark.parametrize("kind", TOKENIZERS)
async def test_a_call_that_is_required_is_made(kind: str) -> None:
    called: set[str] = set()
    for seed in range(6):
        model = Drawn(kind, seed)
        body = {"messages": SAID, "tools": TOOLS, "tool_choice": "required", "max_tokens": 4000}
        asked = chat({**body, "parallel_tool_calls": seed > 2}, cast(Any, model))
        pieces, _ = answered(asked, model)
        whole = json.loads(cast(str, (await reply(asked).whole(each(pieces))).text))["choices"][0]
        assert (whole["message"]["content"], whole["finish_reason"]) == (None, "tool_calls")
        calls = whole["message"]["tool_calls"]
        for call in calls:
            called.add(call["function"]["name"])
            schema = PARAMETERS[call["function"]["name"]]
            jsonschema.validate(json.loads(call["function"]["arguments"]), schema or {"const": {}})
        assert seed > 2 or len(calls) == 1
        made = reply(asked)
        (last,) = [
            made._delta(one, {}) async for one in made._spoken(each(pieces)) if one.text or getattr(one, "finish", None)
        ]
        assert [call["id"] for call in cast(Any, last)["delta"]["tool_calls"]] == [call["id"] for call in calls]
    assert len(called) > 1


async def test_the_call_that_is_named_is_made() -> None:
    model = Drawn("bytes")
    choice = {"type": "function", "function": {"name": "é"}}
    asked = chat({"messages": SAID, "tools": TOOLS, "tool_choice": choice, "max_tokens": 900}, cast(Any, model))
    pieces, _ = answered(asked, model)
    whole = json.loads(cast(str, (await reply(asked).whole(each(pieces))).text))["choices"][0]
    assert [call["function"]["name"] for call in whole["message"]["tool_calls"]] == ["é"]
    assert whole["finish_reason"] == "stop"


async def test_calls_that_were_cut_off_are_text() -> None:
    model = Drawn("bytes")
    asked = chat({"messages": SAID, "tools": TOOLS, "tool_choice": "required", "max_tokens": 5}, cast(Any, model))
    pieces, _ = answered(asked, model)
    whole = json.loads(cast(str, (await reply(asked).whole(each(pieces))).text))["choices"][0]
    assert (whole["message"]["content"], whole["finish_reason"]) == ('[{"na', "length")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tool_choice": "required"}, "there are no tools; write tools"),
        ({"tools": TOOLS, "tool_choice": "any"}, 'tool_choice is "any"; write {"type": "function"'),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "gone"}}}, "one of tools: city, ping, é"),
        ({"tools": TOOLS, "response_format": WANTED}, "would keep the model from calling tools; write tool_choice: none"),
        ({"tools": TOOLS, "tool_choice": "required", "response_format": WANTED}, "write tool_choice: none, or leave"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": 3}}], "tool_choice": "required"}, "write a JSON schema"),
    ],
)  # fmt: skip
def test_calls_that_can_not_be_required_are_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        chat({"messages": SAID, **fields}, cast(Any, Drawn("bytes")))


def test_tools_that_are_not_to_be_called_leave_the_form() -> None:
    model = cast(Any, Drawn("bytes"))
    assert chat({"messages": SAID, "tools": TOOLS, "tool_choice": "none", "response_format": WANTED}, model).grammar
