"""JSON that somebody else wrote: what Python's reader lets pass and nothing after it can use, told in words."""

import json
import re
from collections.abc import Callable, Iterator

_BLANK = re.compile(r"[ \t\n\r]*")


def parsed(text: str, *, constants: Callable[[str], object] | None = None) -> object:
    """The value of a JSON text. `constants` is asked for NaN and Infinity, which Python reads and JSON doesn't know.

    Raises ValueError, also where a key stands twice in one object (one of the values would be lost), RecursionError.
    """
    return json.loads(text, object_pairs_hook=_unambiguous, parse_constant=constants)


def elements(text: str) -> Iterator[tuple[int, object]]:
    """The values of the JSON list that a text begins with, each with the index where it begins, read one by one.

    Raises as `parsed` does, once the values before the fault were given.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_unambiguous)
    at = _after_blank(text, _after_blank(text, 0) + 1)
    while text[at : at + 1] != "]":
        value, end = decoder.raw_decode(text, at)
        yield at, value
        at = _after_blank(text, end)
        if text[at : at + 1] == ",":
            at = _after_blank(text, at + 1)
            if text[at : at + 1] == "]":
                raise json.JSONDecodeError("Illegal trailing comma before end of array", text, at)
        elif text[at : at + 1] != "]":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
    if (rest := _after_blank(text, at + 1)) < len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def refuse_constant(name: str) -> object:
    """For `parsed`. Raises ValueError."""
    raise ValueError(f"{name} is no JSON")


def half_pair(text: str) -> str | None:
    """Where a text holds half of a surrogate pair, in words; None when it is text throughout.

    JSON can escape one (`\\ud83d`), often where a text was cut; UTF-8 has no form for it, and no tokenizer reads it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"half of a surrogate pair (\\u{ord(text[error.start]):04x}) at character {error.start + 1}"
    return None


def shown(value: object) -> str:
    """A JSON value as a person wrote it, cut to what fits a message."""
    return bounded(json.dumps(value, ensure_ascii=True, default=str))


def bounded(text: str) -> str:
    """A text cut to what fits a message."""
    return text if len(text) <= 100 else f"{text[:100]}…"


def _after_blank(text: str, start: int) -> int:
    """Where the first character that isn't JSON's white space stands, from `start`; the length where none does."""
    found = _BLANK.match(text, start)
    return found.end() if found else start


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
    return found
