"""What form an answer is held to: OpenAI's `response_format`, vLLM's `structured_outputs`, or tools of which one must be called.

Here it is only read, and written as llguidance reads it: `holding` compiles it and holds answers to it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from llguidance import LLMatcher, grammar_from

from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import half_pair, parsed, shown

Fields = Mapping[str, object]

MOST_CHARACTERS = 1 << 16
"""Of a grammar. OpenAI allows 120,000 in names and values of a schema; the longest that people publish have some ten thousand."""
# A weak model would write white space until its last token; JSON printed at 31 columns of indentation is nobody's wish.
_SPACE = {"whitespace_pattern": "[ \\t\\n\\r]{1,32}", "lenient": False}
_NO_SPACE = {"whitespace_flexible": False, "lenient": False}
_FORMAT = 'write {"type": "json_object"}, or {"type": "json_schema", "json_schema": {"name": "…", "schema": {…}}}'
_KINDS = ("json", "regex", "choice", "grammar", "json_object")
_OUTPUTS = f"write an object with one of {', '.join(_KINDS)}"
_NAMED = 'write {"type": "function", "function": {"name": "…"}}, with the name of one of tools'


@dataclass(frozen=True)
class Grammar:
    """A form as llguidance reads it; `parameter` is the one that asked for it."""

    parameter: str
    text: str


def grammar_of(fields: Fields) -> Grammar | None:
    """The form that a body asks for; None where any text will do. Raises Invalid with what to write."""
    format_, outputs = _format(fields.get("response_format")), _outputs(fields.get("structured_outputs"))
    if format_ is not None and outputs is not None:
        raise Invalid("response_format and structured_outputs both hold the answer to a form; leave one of them out")
    return outputs if format_ is None else format_


def calling(tools: Sequence[Fields], choice: object, *, several: bool) -> Grammar:
    """The form of calls of these tools: a list of objects with name and arguments, as vLLM holds a required call.

    `choice` is `required` or names one tool. Raises Invalid where it does neither.
    """
    functions = {str(function["name"]): function for tool in tools if isinstance(function := tool["function"], Mapping)}
    if choice != "required":
        name = _name(choice)
        if name not in functions:
            raise Invalid(f"tool_choice is {shown(choice)}; {_NAMED}: {', '.join(functions) or 'there is none'}")
        functions = {name: functions[name]}
    if not functions:
        raise Invalid("tool_choice is required, and there are no tools; write tools, or leave tool_choice out")
    more = ' (", " call)*' if several and choice == "required" else ""
    lines = [f'start: "[" call{more} "]"', f"call: {' | '.join(f'call{number}' for number in range(len(functions)))}"]
    for number, (name, function) in enumerate(functions.items()):
        begins = _quoted(f'{{"name": {_quoted(name)}, "arguments": ')
        lines += [f'call{number}: {begins} arguments{number} "}}"', f"arguments{number}: %json {_arguments(function)}"]
    return _bounded("tools", "\n".join(lines), LLMatcher.grammar_from_lark)


def is_named(choice: object) -> bool:
    """Whether a `tool_choice` names a function."""
    return isinstance(choice, Mapping)


def _name(choice: object) -> str:
    match choice:
        case {"type": "function", "function": {"name": str(name)}}:
            return name
    raise Invalid(f"tool_choice is {shown(choice)}; {_NAMED}, or required, auto or none")


def _arguments(function: Fields) -> str:
    parameters = function.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}, "additionalProperties": False}
    if not isinstance(parameters, Mapping):
        raise Invalid(f"parameters of the tool {function['name']!r} are {shown(parameters)}; write a JSON schema")
    return _quoted({**parameters, "x-guidance": _SPACE})


def _format(value: object) -> Grammar | None:
    place = "response_format"
    match value:
        case None | {"type": "text"}:
            allowed, found = {"type"}, None
        case {"type": "json_object"}:
            allowed, found = {"type"}, _schema(place, {"type": "object"}, _SPACE)
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema, **more}}:
            _refuse_others(f"{place}.json_schema", map(str, more), {"name", "description", "strict"})
            allowed, found = {"type", "json_schema"}, _schema(f"{place}.json_schema.schema", schema, _SPACE)
        case _:
            raise Invalid(f"{place} is {shown(value)}; {_FORMAT}")
    if isinstance(value, Mapping):
        _refuse_others(place, value, allowed)
    return found


def _outputs(value: object) -> Grammar | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise Invalid(f"structured_outputs is {shown(value)}; {_OUTPUTS}")
    said = {name: one for name, one in value.items() if one is not None and one is not False}
    _refuse_others("structured_outputs", said, {*_KINDS, "disable_any_whitespace"})
    options = _NO_SPACE if said.pop("disable_any_whitespace", None) is True else _SPACE
    match list(said.items()):
        case [("json", str() | Mapping() as schema)]:
            return _schema("structured_outputs.json", _read(schema) if isinstance(schema, str) else schema, options)
        case [("json_object", True)]:
            return _schema("structured_outputs.json_object", {"type": "object"}, options)
        case [("regex", str(text))]:
            return _bounded("structured_outputs.regex", text, LLMatcher.grammar_from_regex)
        case [("grammar", str(text))]:
            return _bounded("structured_outputs.grammar", text, _grammar)
        case [("choice", [*texts])] if texts and all(isinstance(text, str) and text for text in texts):
            return _bounded(
                "structured_outputs.choice", f"start: {' | '.join(map(_quoted, texts))}", LLMatcher.grammar_from_lark
            )
    raise Invalid(f"structured_outputs is {shown(value)}; {_OUTPUTS}")


def _refuse_others(place: str, fields: Iterable[str], known: set[str]) -> None:
    for name in fields:
        if name not in known:
            raise Invalid(f"{place}.{name} is not supported by this engine; leave it out")


def _read(text: str) -> Fields:
    try:
        schema = parsed(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"structured_outputs.json is a text that is not JSON ({error}); write a JSON schema") from None
    if not isinstance(schema, Mapping):
        raise Invalid(f"structured_outputs.json is {shown(schema)}; write a JSON schema")
    return schema


def _schema(place: str, schema: Fields, options: Fields) -> Grammar:
    """`lenient` would have llguidance pass over what it does not hold an answer to."""

    def made(text: str) -> str:
        return str(LLMatcher.grammar_from_json_schema(text, overrides=dict(options)))

    return _bounded(place, _quoted(schema), made)


def _bounded(place: str, text: str, made: Callable[[str], object]) -> Grammar:
    """Raises Invalid for one that is too long, or is not read at all."""
    if len(text) > MOST_CHARACTERS:
        raise Invalid(f"{place} has {len(text)} characters; write at most {MOST_CHARACTERS}")
    if words := half_pair(text):
        raise Invalid(f"{place} holds {words}; send the whole character")
    try:
        return Grammar(place, str(made(text)))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{place} can't be held to: {str(error)[:300]}; write it in another way") from None


def _grammar(text: str) -> str:
    """Lark's form, or GBNF."""
    return str(grammar_from("grammar", text))


def _quoted(value: object) -> str:
    """JSON, of which Lark's texts are a part."""
    return json.dumps(value, ensure_ascii=False)
