"""JSON that somebody else wrote: what Python's reader lets pass and nothing after it can use, told in words."""

import json
import re
from collections.abc import Callable, Iterator

_BLANK = re.compile(r"[ \t\n\r]*")
_MORE = 1 << 20
# What is nearer to the end of what was read may go on in what comes: a number, a word, an escape.
_NEAR_THE_END = 32


def parsed(text: str, *, constants: Callable[[str], object] | None = None) -> object:
    """The value of a JSON text. `constants` is asked for NaN and Infinity, which Python reads and JSON doesn't know.

    Raises ValueError, also where a key stands twice in one object (one of the values would be lost), RecursionError.
    """
    return json.loads(text, object_pairs_hook=_unambiguous, parse_constant=constants)


def elements(read: Callable[[int], str]) -> Iterator[tuple[int, object]]:
    """The values of the JSON list that a text holds, each with the line where it begins, however long the list is.

    `read` gives the next characters of the text, at most as many as it is asked for. Raises as `parsed` does, once the
    values before the fault were given.
    """
    decoder, buffer = json.JSONDecoder(object_pairs_hook=_unambiguous), _Buffer(read)
    buffer.next()
    buffer.at += 1
    while buffer.next() != "]":
        line = buffer.line
        yield line, buffer.value(decoder)
        match buffer.next():
            case ",":
                buffer.at += 1
                if buffer.next() == "]":
                    raise buffer.fault("Illegal trailing comma before end of array")
            case "]":
                pass
            case _:
                raise buffer.fault("Expecting ',' delimiter")
    buffer.at += 1
    if buffer.next():
        raise buffer.fault("Extra data")


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


class _Buffer:
    """A text that is read piece by piece: `text` is the piece at hand, read up to `at`."""

    def __init__(self, read: Callable[[int], str]) -> None:
        self._read = read
        self.text, self.at = "", 0
        # Line and column where `text` begins, and how many of its lines end before `_counted`.
        self._line, self._column = 1, 1
        self._lines, self._counted = 0, 0

    @property
    def line(self) -> int:
        """Where it is, from 1. Asked for ever later places, it looks at each character once."""
        self._lines += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line + self._lines

    def next(self) -> str:
        """The next character that isn't JSON's white space; none at the end."""
        while True:
            self.at = _after_blank(self.text, self.at)
            if self.at < len(self.text) or not self._more():
                return self.text[self.at : self.at + 1]

    def value(self, decoder: json.JSONDecoder) -> object:
        """The value that begins here. Raises ValueError, RecursionError."""
        while True:
            begun = self.at
            try:
                value, end = decoder.raw_decode(self.text, begun)
            except json.JSONDecodeError as error:
                is_cut = error.pos > len(self.text) - _NEAR_THE_END or error.msg.startswith("Unterminated string")
                if is_cut and self._more():
                    continue
                raise self.fault(error.msg, error.pos - begun + self.at) from None
            if end + _NEAR_THE_END <= len(self.text) or not self._more():
                self.at += end - begun
                return value

    def fault(self, what: str, at: int | None = None) -> json.JSONDecodeError:
        """Told by its place in the whole text."""
        error = json.JSONDecodeError(what, self.text, self.at if at is None else at)
        error.colno += self._column - 1 if error.lineno == 1 else 0
        error.lineno += self._line - 1
        return error

    def _more(self) -> bool:
        """Whether there was more: as much again, so that a long value is looked at a few times only."""
        self._forget()
        found = self._read(max(_MORE, len(self.text)))
        self.text += found
        return bool(found)

    def _forget(self) -> None:
        """What was read."""
        line = self.line
        is_another = line > self._line
        self._column = self.at - self.text.rfind("\n", 0, self.at) if is_another else self._column + self.at
        self.text, self.at = self.text[self.at :], 0
        self._line, self._lines, self._counted = line, 0, 0
