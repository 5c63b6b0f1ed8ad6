"""How a chat becomes a record: its template's text, of which the assistant's turns are to be predicted.

Where a turn begins and ends is found by the template itself: what it writes of the chat before the turn, opening an
answer, must be the beginning of what it writes of the whole. That is what an engine is asked with when the turn is to be
answered, so a model is trained on exactly the prompts that it will get. A template of which this isn't true, or that
leaves out what a message says, would teach something else than the file holds; it is refused, with what to write instead.
"""

import json
from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

from deepseek_runtime.chat.messages import Chat, Fields
from deepseek_runtime.chat.template import rendered
from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import bounded
from deepseek_runtime.spec import LossOn
from deepseek_runtime.trainer.data.rendering import Record

INSTEAD = "write chatTemplate: {name: DeepSeek}, which writes every message as it stands"
_THOUGHT = "</think>"


def chat_record(place: str, chat: Chat, tokenizer: PreTrainedTokenizerBase, loss_on: LossOn) -> Record:
    """The chat as text, its learnt parts marked. Raises Invalid with the place for one that its template garbles."""

    def text_of(one: Chat, *, opens: bool) -> str:
        try:
            return rendered(tokenizer, one, opens=opens)
        except Invalid as error:
            raise Invalid(f"{place}: {error}") from None

    if loss_on == "All" and chat.unlearnt:
        raise Invalid(
            f"{place}: messages[{min(chat.unlearnt)}] has weight 0, and lossOn: All learns it; write one of them"
        )
    whole = text_of(chat, opens=False)
    _check_nothing_is_lost(place, chat, whole)
    _check_tools(place, chat, whole, text_of)
    pieces: list[tuple[str, bool]] = []
    done = 0
    ends = True
    for turn in _learnt(chat, loss_on):
        start, end = _span(place, chat, turn, whole, text_of)
        _check_answer(place, turn, chat.messages[turn], whole[start:end])
        is_last = turn == len(chat.messages) - 1
        closed = _closed(place, turn, whole[start:end], str(tokenizer.eos_token), is_last=is_last)
        pieces += [(whole[done:start], False), (whole[start : start + closed], True)]
        done = start + closed
        ends = is_last and not whole[start:done].endswith(str(tokenizer.eos_token))
    pieces.append((whole[done:], False))
    kept = tuple((text, is_learnt or loss_on == "All") for text, is_learnt in pieces if text)
    return Record(place, kept, begins=False, ends=ends)


def _learnt(chat: Chat, loss_on: LossOn) -> tuple[int, ...]:
    """Turns of the assistant that are to be learnt; the last one also where all is, for its end."""
    turns = tuple(turn for turn in chat.answers if turn not in chat.unlearnt)
    return turns if loss_on == "AssistantTurns" else turns[-1:]


def _span(place: str, chat: Chat, turn: int, whole: str, text_of: Callable[..., str]) -> tuple[int, int]:
    """Where in the whole text the turn's answer begins, and where the turn ends."""
    prompt = text_of(chat.before(turn), opens=True)
    if not whole.startswith(prompt):
        raise Invalid(
            f"{place}: the chat template opens messages[{turn}] by {_tail(prompt, whole)}, and writes the whole chat"
            f" otherwise: a model would be trained on other prompts than it is asked with; {INSTEAD}"
        )
    if turn == len(chat.messages) - 1:
        return len(prompt), len(whole)
    until = text_of(chat.before(turn + 1), opens=False)
    if not whole.startswith(until) or len(until) < len(prompt):
        raise Invalid(
            f"{place}: the chat template writes messages[{turn}] otherwise once messages follow it, so no text holds all"
            f" answers as they are to be given; {INSTEAD}, or lossOn: Completion, or one line for each answer"
        )
    return len(prompt), len(until)


def _closed(place: str, turn: int, answer: str, end: str, *, is_last: bool) -> int:
    """Characters of an answer up to its end token; what a template writes after it (a line break) no model has to."""
    found = answer.rfind(end)
    if found >= 0:
        return found + len(end)
    if is_last:
        return len(answer)
    raise Invalid(
        f"{place}: the chat template writes no end token ({end}) after messages[{turn}], so an answer would not end;"
        f" {INSTEAD} and ends it, or lossOn: Completion"
    )


def _check_nothing_is_lost(place: str, chat: Chat, whole: str) -> None:
    text = _bare(whole)
    for number, message in enumerate(chat.messages):
        for said in (message.get("content"), message.get("reasoning_content")):
            is_tools = message["role"] == "tool" and isinstance(said, str) and _bare(json.dumps(said)[1:-1]) in text
            if isinstance(said, str) and _bare(said) not in text and not is_tools:
                raise _lost(place, number, said)
        for call in _calls(message):
            if call not in whole:
                raise _lost(place, number, call)


def _check_answer(place: str, turn: int, message: Fields, answer: str) -> None:
    """The same words elsewhere in the chat are no proof that they are here."""
    said = message.get("content")
    if isinstance(said, str) and _bare(said) not in _bare(answer):
        raise _lost(place, turn, said)


def _check_tools(place: str, chat: Chat, whole: str, text_of: Callable[..., str]) -> None:
    if chat.tools and text_of(Chat(chat.messages), opens=False) == whole:
        raise Invalid(f"{place}: the chat template tells a model nothing of tools; {INSTEAD}, or leave tools out")


def _lost(place: str, number: int, said: str) -> Invalid:
    if _THOUGHT in said:
        return Invalid(
            f"{place}: the chat template leaves out what messages[{number}] says before {_THOUGHT}, so no thought would be"
            f" learnt; {INSTEAD}, or take the thoughts out of this line"
        )
    return Invalid(f"{place}: the chat template leaves out {bounded(said)!r} of messages[{number}]; {INSTEAD}")


def _calls(message: Fields) -> list[str]:
    calls = message.get("tool_calls")
    return [str(call["function"]["name"]) for call in calls] if isinstance(calls, list) else []


def _bare(text: str) -> str:
    """Without white space, which templates trim and set."""
    return "".join(text.split())


def _tail(prompt: str, whole: str) -> str:
    """What the prompt ends with that the whole has not."""
    same = next((n for n, (one, other) in enumerate(zip(prompt, whole, strict=False)) if one != other), len(whole))
    return repr(bounded(prompt[same:]))
