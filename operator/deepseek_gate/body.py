"""Which model a body asks for, and whether its answer will say how many tokens it took. Nobody believes a body: it may be anything, and must be read as the engine will read it, so
what two readers could understand in two ways is refused."""

import gc
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any

import orjson

from deepseek_gate.answers import Denied, bad_request, too_large

MOST_VALUES = 1_000_000
"""Commas and brackets of a body, as a bound on what reading it takes: 280 MB at the peak, with four of the largest bodies under
way, and a second for a million short fields (seen; 0.1 s for 31 MiB of text)."""
LONGEST_NAME = 256
_TWICE = 'The body can be read in two ways: write "model" once.'
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_ESCAPED = re.compile(rb"\\u006[4-9A-Fa-f]")
"""Escapes of the letters of `model`, by which a second one could hide."""


@dataclass(frozen=True)
class Asked:
    """What a body asks for.

    Attributes:
        model: the name under `model`.
        is_untold: a stream at whose end an engine with OpenAI's API says no tokens, since it was not asked to.
    """

    model: str
    is_untold: bool = False


def asked_of(body: bytes | bytearray, content_type: str, content_encoding: str) -> Asked | Denied:
    """What it asks for; every body without one model is denied, in words for who wrote the client."""
    if refused := _unreadable(content_type, content_encoding):
        return refused
    if not body.strip():
        return bad_request("The body is empty: send JSON with a model.", "model")
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        return too_large(f"The body has more than {MOST_VALUES:,} values.")
    try:
        with _uncollected():
            asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return bad_request("We could not parse the JSON body of your request.")
    if not isinstance(asked, dict):
        return bad_request("The body must be a JSON object.")
    if "model" not in asked:
        return bad_request("You must provide a model parameter.", "model")
    name = _named(asked["model"]) if _is_once(body) else bad_request(_TWICE, "model")
    return name if isinstance(name, Denied) else Asked(name, _is_untold(asked))


def _is_untold(asked: Mapping[str, Any]) -> bool:
    """Engines take more than `true` for a wish to stream (1, "yes"), and what they take for the other is not relied on."""
    options = asked.get("stream_options")
    is_told = isinstance(options, dict) and options.get("include_usage") is True
    return asked.get("stream") not in (None, False) and not is_told


@contextmanager
def _uncollected() -> Iterator[None]:
    """While a text is read nothing becomes garbage, but each few hundred values have it searched for, and nobody else is
    answered meanwhile."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


def _unreadable(content_type: str, content_encoding: str) -> Denied | None:
    if content_encoding.strip().lower() not in ("", "identity"):
        return Denied(415, "bad_request", "Send the body without Content-Encoding.", "unsupported_encoding")
    header = Message()
    header["Content-Type"] = content_type
    # Without the header the engines read JSON as well.
    if content_type and (not content_type.isascii() or header.get_content_type() != "application/json"):
        return Denied(415, "bad_request", "Send the body as application/json.", "unsupported_media_type")
    if (header.get_content_charset() or "") not in _CHARSETS:
        return Denied(415, "bad_request", "Send the body in UTF-8.", "unsupported_charset")
    return None


def _named(name: object) -> str | Denied:
    if not isinstance(name, str):
        return bad_request("The model must be a string.", "model")
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        return bad_request(f"The model must be a name of 1 to {LONGEST_NAME} printable characters.", "model")
    return name


def _is_once(body: bytes | bytearray) -> bool:
    """Whether `model` stands once on the top level: of two the gate could read the one and the engine the other.

    The bytes alone tell it of nearly every body: inside a text the quotes around the word would be escaped.
    """
    if body.count(b'"model"') == 1 and _ESCAPED.search(body) is None:
        return True
    pairs: list[tuple[str, object]] = []

    def last(found: list[tuple[str, object]]) -> None:
        pairs[:] = found

    try:
        json.loads(body, object_pairs_hook=last)
    except (ValueError, RecursionError):
        return False
    return sum(name == "model" for name, _ in pairs) == 1
