"""What a client may ask, read from the body of an OpenAI request.

A parameter that changes the answer and is not supported is refused, never ignored; so is an unknown one.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from deepseek_runtime.chat.messages import Chat, chat_of
from deepseek_runtime.chat.template import rendered, tokens_of
from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import half_pair, parsed, refuse_constant
from deepseek_runtime.engine.grammar import Grammar, calling, grammar_of, is_named
from deepseek_runtime.engine.holding import THINKS
from deepseek_runtime.engine.model import Model, Usual
from deepseek_runtime.engine.sequence import Sampling

# What is read here, and what a client says of itself or of its account: the answer is the same without it.
ACCEPTED = frozenset(
    {
        *("model", "prompt", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options"),
        *("temperature", "top_p", "top_k", "min_p", "seed", "stop", "ignore_eos"),
        *("response_format", "structured_outputs"),
        *("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"),
        *("request_id", "priority"),
    }
)
# The values that mean "not used", for parameters of OpenAI and vLLM that this engine does not have.
UNSUPPORTED: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "min_tokens": (0,),
    "stop_token_ids": ([],),
    "include_stop_str_in_output": (False,),
    "skip_special_tokens": (True,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "chat_template_kwargs": ({},),
    "suffix": ("",),
    "functions": ([],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "modalities": (["text"],),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
}
_OTHERS = "serve the model by vLLM or SGLang, which have it, or leave it out"
INSTEAD: Mapping[str, str] = {
    "logprobs": _OTHERS,
    "top_logprobs": _OTHERS,
    "logit_bias": _OTHERS,
    "presence_penalty": _OTHERS,
    "frequency_penalty": _OTHERS,
    "repetition_penalty": _OTHERS,
    "n": "ask as many times as you want answers, with another seed each",
    "best_of": "ask as many times as you want answers, with another seed each",
    "echo": "put the prompt before the answer yourself",
    "functions": "write them as tools of /v1/chat/completions",
    "tools": "tools are for /v1/chat/completions",
    "tool_choice": "write auto or none; tools are for /v1/chat/completions",
    "guided_json": 'write structured_outputs: {"json": …}',
    "guided_regex": 'write structured_outputs: {"regex": "…"}',
    "guided_choice": 'write structured_outputs: {"choice": ["…"]}',
    "guided_grammar": 'write structured_outputs: {"grammar": "…"}',
    "stop_token_ids": "write texts, as stop",
}
"""What to write in place of a parameter; of the others that it be left out."""
_ONE_FORM = "write tool_choice: none, or leave one of the two out"
# Tokens at the end of a prompt in which thoughts are opened, were each of them a byte.
_OPENING = 16
# OpenAI's default for completions; chat answers may be as long as the model allows.
COMPLETION_TOKENS = 16


class BadRequest(Invalid):
    """The client's error; the message says what to send."""


class NoSuchModel(Invalid):
    """Another model than the served ones was asked for."""


@dataclass(frozen=True)
class Asked:
    """One request: prompt tokens, how to sample, how to deliver; `has_tools` says that the answer may be calls of some,
    `must_call` that it is held to a list of them, `is_named` to one of a tool that the request names. `grammar` is what an
    answer is held to; `thinks` says that the prompt leaves the model thinking, and the grammar begins behind its thoughts."""

    prompt: Sequence[int]
    sampling: Sampling
    stream: bool
    include_usage: bool
    has_tools: bool = False
    must_call: bool = False
    is_named: bool = False
    grammar: Grammar | None = None
    thinks: bool = False


@dataclass(frozen=True)
class Chosen:
    """Whose answer is wanted: the model, and the name by which it was asked for."""

    name: str
    model: Model


def read_body(body: bytes, charset: str | None) -> object:
    """The JSON value of a body; `charset` is what its Content-Type names. Raises BadRequest: JSON is UTF-8 (RFC 8259)."""
    if charset is not None and charset.strip("\"' ").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise BadRequest(f"charset {charset[:40]!r} is not read; send the body in UTF-8")
    try:
        return parsed(body.decode("utf-8-sig"), constants=refuse_constant)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def chosen(body: object, models: Mapping[str, Model]) -> Chosen:
    """The model that a body names, the first of `models` where it names none. Raises BadRequest, NoSuchModel."""
    if not isinstance(body, Mapping):
        raise BadRequest("the body must be a JSON object")
    name = body.get("model")
    if name is None:
        name = next(iter(models))
    if not isinstance(name, str) or name not in models:
        raise NoSuchModel(f"the model {name!r} is not served here; ask for {_listed(models)}")
    return Chosen(name, models[name])


def _listed(names: Iterable[str]) -> str:
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last


def completion(body: object, model: Model) -> Asked:
    """Reads a /v1/completions body. Raises BadRequest."""
    fields = _checked(body)
    match fields.get("prompt"):
        case str(text) | [str(text)]:
            ids = model.tokenizer(_whole_text("prompt", text)).input_ids
        case [int(), *_] as tokens if all(type(token) is int for token in tokens):  # JSON's true is no token
            ids = tokens
        case _:
            raise BadRequest("prompt must be one text or one list of token ids")
    return _asked(fields, ids, model, COMPLETION_TOKENS)


def chat(body: object, model: Model) -> Asked:
    """Reads a /v1/chat/completions body. Raises BadRequest."""
    fields = _checked(body, ("tools", "tool_choice"))
    choice, several = fields.get("tool_choice"), fields.get("parallel_tool_calls") is not False
    must_call = choice not in (None, "none", "auto")
    try:
        said = chat_of(fields.get("messages"), None if choice == "none" else fields.get("tools"))
        text = rendered(model.tokenizer, said, opens=True)
        if said.tools and rendered(model.tokenizer, Chat(said.messages), opens=True) == text:
            raise Invalid("the model's chat template tells it nothing of tools; leave tools out")
        calls = calling(said.tools, choice, several=several) if must_call else None
    except Invalid as error:
        raise BadRequest(str(error)) from None
    (ids,) = tokens_of(model.tokenizer, [text])
    asked = _asked(fields, ids, model, None, calls)
    if said.tools and asked.grammar not in (None, calls):
        raise BadRequest(f"{asked.grammar.parameter} would keep the model from calling tools; {_ONE_FORM}")
    return replace(asked, has_tools=bool(said.tools), must_call=must_call, is_named=is_named(choice))


def _checked(body: object, more: Collection[str] = ()) -> Mapping[str, object]:
    if not isinstance(body, Mapping):
        raise BadRequest("the body must be a JSON object")
    for parameter, value in body.items():
        if value is not None and parameter not in {*ACCEPTED, *more} and not _is_unused(parameter, value):
            raise BadRequest(f"{parameter} is not supported by this engine; {INSTEAD.get(parameter, 'leave it out')}")
    return body


def _is_unused(parameter: str, value: object) -> bool:
    """JSON's false is no 0: with `logprobs: 0` an answer would carry the chosen tokens' own."""
    unused = UNSUPPORTED.get(parameter, ())
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in unused)


def _whole_text(name: str, text: str) -> str:
    if words := half_pair(text):
        raise BadRequest(f"{name} holds {words}; send the whole character")
    return text


def _asked(
    fields: Mapping[str, object],
    ids: Sequence[int],
    model: Model,
    usual_tokens: int | None,
    calls: Grammar | None = None,
) -> Asked:
    """`calls` is the form of those that the answer must be."""
    vocabulary = model.network.config.vocab_size
    if not ids or any(not 0 <= token < vocabulary for token in ids):
        raise BadRequest(f"the prompt must hold at least one token, each from 0 to {vocabulary - 1}")
    room = model.max_length - len(ids)
    limit = fields.get("max_tokens") if (newer := fields.get("max_completion_tokens")) is None else newer
    wanted = min(usual_tokens or room, room) if limit is None else _whole("max_tokens", limit, least=1)
    if wanted > room or room < 1:
        raise BadRequest(
            f"prompt ({len(ids)} tokens) and max_tokens ({wanted}) exceed the model's {model.max_length} tokens"
        )
    options = {} if (said := fields.get("stream_options")) is None else said
    if not isinstance(options, Mapping):
        raise BadRequest('stream_options must be an object, such as {"include_usage": true}')
    grammar = grammar_of(fields) or calls
    sampling = _sampling(fields, wanted, model.usual)
    if grammar is not None and sampling.ignore_eos:
        raise BadRequest(f"{grammar.parameter} says where the answer ends; leave ignore_eos out")
    return Asked(
        prompt=ids,
        sampling=sampling,
        stream=_flag(fields, "stream"),
        include_usage=_flag(options, "include_usage"),
        grammar=grammar,
        thinks=grammar is not None and _thinks(model, ids),
    )


def _thinks(model: Model, ids: Sequence[int]) -> bool:
    """Whether a prompt ends where the model is to think, as R1's template has it begin every answer."""
    end: str = model.tokenizer.decode(list(ids[-_OPENING:]), skip_special_tokens=False)
    return end.rstrip().endswith(THINKS)


def _sampling(fields: Mapping[str, object], max_tokens: int, usual: Usual) -> Sampling:
    seed = fields.get("seed")
    return Sampling(
        max_tokens=max_tokens,
        temperature=_number("temperature", fields.get("temperature"), usual.temperature, least=0.0, most=2.0),
        top_p=_number("top_p", fields.get("top_p"), usual.top_p, least=1e-6, most=1.0),
        top_k=usual.top_k if (most := fields.get("top_k")) is None else max(0, _whole("top_k", most, least=-1)),
        min_p=_number("min_p", fields.get("min_p"), usual.min_p, least=0.0, most=1.0),
        seed=None if seed is None else _whole("seed", seed, least=0),
        stop=_stops(fields.get("stop")),
        ignore_eos=_flag(fields, "ignore_eos"),
    )


def _stops(value: object) -> tuple[str, ...]:
    match value:
        case None:
            return ()
        case str(text) if text:
            return (_whole_text("stop", text),)
        case [*texts] if len(texts) <= 4 and all(isinstance(text, str) and text for text in texts):
            return tuple(_whole_text("stop", str(text)) for text in texts)
        case _:
            raise BadRequest("stop must be a text or a list of up to four texts")


def _flag(fields: Mapping[str, object], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false")
    return value is True


def _whole(name: str, value: object, *, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise BadRequest(f"{name} must be a whole number of at least {least}")
    return value


def _number(name: str, value: object, absent: float, *, least: float, most: float) -> float:
    if value is None:
        return absent
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadRequest(f"{name} must be a number")
    if not least <= value <= most:  # NaN lies nowhere
        raise BadRequest(f"{name} must lie between {least:g} and {most:g}")
    return float(value)
