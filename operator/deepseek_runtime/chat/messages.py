"""What a chat is: messages in OpenAI's form, with the tools that may be called, checked before any template sees them.

Trainer and engine read chats by this one function, so that a template is given the same of both. Arguments of tool calls
are given to it as an object, as vLLM does. What else stands in a message (an id, a time) changes nothing of what was said
and is left aside; what would change it (images, OpenAI's retired functions) is refused.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import half_pair, parsed, shown

ROLES = ("system", "developer", "user", "assistant", "tool")
# Each changes what is said, and no chat template of a language model takes it.
_UNREAD = ("function_call", "audio", "images", "image", "videos", "video", "refusal")
_SAID = 'write {"role": "user", "content": "…"}'
_TOOL = 'write {"type": "function", "function": {"name": "…", "parameters": {…}}}'
_CALL = 'write {"type": "function", "function": {"name": "…", "arguments": "{…}"}}'

Fields = Mapping[str, object]


@dataclass(frozen=True)
class Chat:
    """`messages` and `tools` as a template takes them; `unlearnt` are the indices of messages with weight 0."""

    messages: tuple[Fields, ...]
    tools: tuple[Fields, ...] = ()
    unlearnt: frozenset[int] = frozenset()

    @property
    def answers(self) -> tuple[int, ...]:
        """Indices of the assistant's messages."""
        return tuple(place for place, one in enumerate(self.messages) if one["role"] == "assistant")

    def before(self, place: int) -> "Chat":
        """The chat as it was before that message."""
        return Chat(self.messages[:place], self.tools)


def chat_of(messages: object, tools: object = None) -> Chat:
    """Reads the values of `messages` and `tools`. Raises Invalid with the place in them and what to write."""
    if not isinstance(messages, list):
        raise Invalid(f"messages is {shown(messages)}, no list; {_SAID} in a list")
    if not messages:
        raise Invalid(f"messages is empty; {_SAID} in it")
    read = tuple(_message(f"messages[{number}]", message) for number, message in enumerate(messages))
    unlearnt = frozenset(number for number, one in enumerate(messages) if _weight(f"messages[{number}]", one) == 0)
    return Chat(read, _tools(tools), unlearnt)


def check_exchange(chat: Chat) -> None:
    """Raises Invalid for a chat that nothing can be learnt from: one that doesn't end by an answer, or begins with one."""
    roles = [str(one["role"]) for one in chat.messages]
    if roles[-1] != "assistant":
        raise Invalid(f"messages end with the {roles[-1]}'s: the last must be the assistant's, which is to be learnt")
    spoken = [place for place, role in enumerate(roles) if role not in ("system", "developer")]
    if roles[spoken[0]] != "user":
        raise Invalid(f"messages[{spoken[0]}] is the {roles[spoken[0]]}'s: a user's message must come before it")
    if all(place in chat.unlearnt for place in chat.answers):
        raise Invalid("every message of the assistant has weight 0: leave the line out, or one of the weights")
    _check_tool_use(chat)


def _check_tool_use(chat: Chat) -> None:
    offered = {_function(tool).get("name") for tool in chat.tools}
    called: dict[str, int] = {}
    for place, message in enumerate(chat.messages):
        for call in _list(message.get("tool_calls")):
            name = _function(call).get("name")
            if name not in offered:
                there = "has none" if not offered else f"has {', '.join(sorted(map(repr, offered)))}"
                raise Invalid(f"messages[{place}] calls {name!r}, and tools {there}: a model can't know of it; {_TOOL}")
            called[str(call.get("id"))] = place
        if message["role"] != "tool":
            continue
        answered = message.get("tool_call_id")
        if not called or (answered is not None and answered not in called):
            what = f"tool_call_id {answered!r}" if answered is not None else "no call"
            raise Invalid(
                f"messages[{place}] is a tool's answer to {what} that stands before it; add the call, or leave it out"
            )


def _message(place: str, message: object) -> Fields:
    if not isinstance(message, dict):
        raise Invalid(f"{place} is {shown(message)}; {_SAID}")
    for name in _UNREAD:
        if message.get(name) not in (None, [], {}, ""):
            raise Invalid(f"{place} has {name!r}, which no chat template here takes; leave the chat out, or write text")
    role = message.get("role")
    if role not in ROLES or not isinstance(role, str):
        raise Invalid(f"{place}.role is {shown(role)}; write one of {', '.join(ROLES)}{_translation(message)}")
    calls = _calls(f"{place}.tool_calls", role, message.get("tool_calls"))
    made: dict[str, object] = {"role": role, "content": _content(place, message, has_calls=bool(calls))}
    if calls:
        made["tool_calls"] = calls
    for name in ("name", "tool_call_id", "reasoning_content"):
        if message.get(name) is not None:
            made[name] = _text(f"{place}.{name}", message[name])
    if role == "assistant" and not calls and not str(made["content"]).strip() and "reasoning_content" not in made:
        raise Invalid(
            f"{place}.content is empty: an answer says something, or calls a tool; write it, or leave the chat out"
        )
    return made


def _translation(message: Fields) -> str:
    """A word for whoever has ShareGPT's form."""
    return ", and the text as content (from and value are ShareGPT's names)" if "from" in message else ""


def _content(place: str, message: Fields, *, has_calls: bool) -> str | None:
    content = message.get("content")
    match content:
        case None if has_calls:
            return None
        case str():
            return _text(f"{place}.content", content)
        case [*parts]:
            return "".join(_part(f"{place}.content[{number}]", part) for number, part in enumerate(parts))
        case _:
            raise Invalid(f"{place}.content is {shown(content)}, no text; {_SAID}")


def _part(place: str, part: object) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return _text(place, text)
        case {"type": str(kind)} if kind != "text":
            raise Invalid(f"{place} is of type {shown(kind)}: only text content is supported")
        case _:
            raise Invalid(
                f'{place} is {shown(part)}: only text content is supported; write {{"type": "text", "text": "…"}}'
            )


def _calls(place: str, role: str, value: object) -> list[Fields]:
    calls = _list(value)
    if value not in (None, []) and not calls:
        raise Invalid(f"{place} is {shown(value)}; {_CALL} in a list")
    if calls and role != "assistant":
        raise Invalid(f"{place} stands in a message of the {role}: only the assistant calls tools; leave it out")
    return [_call(f"{place}[{number}]", call) for number, call in enumerate(calls)]


def _call(place: str, call: Fields) -> Fields:
    function = _function(call)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name:
        raise Invalid(f"{place} is {shown(call)}; {_CALL}")
    if isinstance(arguments, str):
        try:
            arguments = parsed(arguments)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"{place}.function.arguments is not JSON ({error}); {_CALL}") from None
    if not isinstance(arguments, dict):
        raise Invalid(f"{place}.function.arguments is {shown(arguments)}, no object; {_CALL}")
    _whole(f"{place}.function.arguments", arguments)
    _whole(place, call)
    return {**call, "type": "function", "function": {**function, "arguments": arguments}}


def _tools(value: object) -> tuple[Fields, ...]:
    """A list of them, or its JSON as one text, as tables store it."""
    if isinstance(value, str):
        try:
            value = parsed(value)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"tools is a text that is not JSON ({error}); {_TOOL} in a list") from None
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Invalid(f"tools is {shown(value)}, no list; {_TOOL} in a list")
    for number, tool in enumerate(value):
        name = _function(tool).get("name") if isinstance(tool, dict) else None
        if not isinstance(name, str) or not name:
            raise Invalid(f"tools[{number}] is {shown(tool)}; {_TOOL}")
        _whole(f"tools[{number}]", tool)
    return tuple(value)


def _weight(place: str, message: Fields) -> int:
    """OpenAI's: 0 is an answer that is only read. 1 where none is written."""
    weight = message.get("weight")
    if weight is None:
        return 1
    if isinstance(weight, bool) or weight not in (0, 1) or message.get("role") != "assistant":
        raise Invalid(
            f"{place}.weight is {shown(weight)}; write 0 or 1, in a message of the assistant, or leave it out"
        )
    return int(weight == 1)


def _function(value: Fields) -> Fields:
    function = value.get("function")
    return function if isinstance(function, dict) else {}


def _list(value: object) -> Sequence[Fields]:
    """Objects in a list; nothing where it is anything else."""
    return value if isinstance(value, list) and all(isinstance(one, dict) for one in value) else []


def _text(place: str, text: object) -> str:
    if not isinstance(text, str):
        raise Invalid(f"{place} is {shown(text)}, no text; write a text, or leave it out")
    if words := half_pair(text):
        raise Invalid(f"{place} holds {words}: no text has one; write the whole character")
    return text


def _whole(place: str, value: Fields) -> None:
    _text(place, json.dumps(value, ensure_ascii=False))
