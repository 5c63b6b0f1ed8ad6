"""Calls of tools in what a model says: read where a chat template of the family would have written them.

Three forms are known: DeepSeek's since V3.1, which the template named DeepSeek writes, that of V3 and R1 with a block of
JSON, and Hermes', which Qwen's templates write. What only looks like a call stays text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_runtime.documents import parsed

_BEGINNINGS = ("<｜tool▁calls▁begin｜>", "<tool_call>")
_DEEPSEEK = re.compile(
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>(?P<named>[^\n<]+)\n```json\n(?P<block>.*?)\n```"
    r"|(?P<name>[^\n<]+)<｜tool▁sep｜>(?P<arguments>.*?))<｜tool▁call▁end｜>\n?",
    re.DOTALL,
)
_HERMES = re.compile(r"\s*<tool_call>(?P<call>.*?)</tool_call>\s*", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """One call; `arguments` are a JSON object as text, as OpenAI gives them."""

    name: str
    arguments: str


def calls_of(text: str) -> tuple[str, tuple[Call, ...]]:
    """What is said before the calls, and the calls; all of the text and none where it doesn't end by whole calls."""
    for beginning in _BEGINNINGS:
        said, found, rest = text.partition(beginning)
        if found and (calls := _read(beginning, found + rest)):
            return said.rstrip(), calls
    return text, ()


def held_calls(text: str) -> tuple[Call, ...]:
    """The calls of an answer that was held to a list of them; none where it was cut off."""
    calls = _json(text)
    found = [_called(call) for call in calls] if isinstance(calls, list) else []
    return tuple(call for call in found if call is not None)


def sure(text: str) -> int:
    """How many characters of what is said so far are certainly no beginning of a call."""
    for beginning in _BEGINNINGS:
        if (place := text.find(beginning)) >= 0:
            return place
    return min(len(text) - overlap(text, beginning) for beginning in _BEGINNINGS)


def overlap(text: str, beginning: str) -> int:
    """Characters at the end of a text that a beginning begins with."""
    return next((size for size in range(len(beginning) - 1, 0, -1) if text.endswith(beginning[:size])), 0)


def _read(beginning: str, text: str) -> tuple[Call, ...]:
    if beginning == "<tool_call>":
        return _all(_HERMES, text, [_hermes(one["call"]) for one in _HERMES.finditer(text)])
    inner = text.removeprefix(beginning).rstrip().removesuffix("<｜tool▁calls▁end｜>")
    found = [_call(one["named"] or one["name"], one["block"] or one["arguments"]) for one in _DEEPSEEK.finditer(inner)]
    return _all(_DEEPSEEK, inner, found)


def _all(form: "re.Pattern[str]", text: str, found: Sequence[Call | None]) -> tuple[Call, ...]:
    """The calls, none where anything else stands between or after them."""
    calls = tuple(one for one in found if one is not None)
    return calls if len(calls) == len(found) and not form.sub("", text).strip() else ()


def _hermes(text: str) -> Call | None:
    return _called(_json(text))


def _called(call: object) -> Call | None:
    match call:
        case {"name": str(name), "arguments": Mapping() as arguments}:
            return Call(name, json.dumps(arguments, ensure_ascii=False))
    return None


def _call(name: str, arguments: str) -> Call | None:
    return Call(name.strip(), arguments.strip()) if isinstance(_json(arguments), Mapping) else None


def _json(text: str) -> object:
    try:
        return parsed(text)
    except (ValueError, RecursionError):
        return None
