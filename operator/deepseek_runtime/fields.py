"""Reading a JSON object field by field: each refusal names the field by its path, what it is, and what to write."""

import math
from collections.abc import Mapping
from typing import TypeVar

from deepseek_runtime.contract import Invalid

_Choice = TypeVar("_Choice", bound=str)


class Fields:
    """An object of the specification that knows its own path. Null counts as absent."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            raise Invalid(f"{path or 'DEEPSEEK_TRAINING_SPEC'} must be an object with fields, it is {value!r}")
        self._value = value
        self.path = path

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def only(self, *known: str) -> None:
        """Raises Invalid where anything else is written."""
        for name in sorted(str(key) for key in self._value if key not in known):
            if self.has(name):
                raise self.wrong(name, "this trainer knows no such field: leave it out, or use a newer runtime image")

    def wrong(self, name: str, advice: str) -> Invalid:
        return Invalid(f"{self._at(name)} is {self._value.get(name)!r}; {advice}")

    def fields(self, name: str) -> "Fields":
        return Fields(self._value.get(name), self._at(name))

    def mapping(self, name: str) -> Mapping[str, object]:
        value = self._value.get(name)
        if not isinstance(value, Mapping):
            raise self.wrong(name, "write an object with fields")
        return value

    def list(self, name: str) -> "list[Fields]":
        value = self._value.get(name)
        if not isinstance(value, list) or not value:
            raise self.wrong(name, "write a list with at least one entry")
        return [Fields(entry, f"{self._at(name)}[{number}]") for number, entry in enumerate(value)]

    def texts(self, name: str, absent: tuple[str, ...]) -> tuple[str, ...]:
        if not self.has(name):
            return absent
        value = self._value.get(name)
        if not isinstance(value, list) or not value or not all(isinstance(entry, str) and entry for entry in value):
            raise self.wrong(name, f"write a list of texts, for example [{', '.join(absent)}]")
        return tuple(value)

    def text(self, name: str) -> str:
        value = self._value.get(name)
        if not isinstance(value, str) or not value:
            raise self.wrong(name, "write a text")
        return value

    def choice(self, name: str, allowed: tuple[_Choice, ...], absent: _Choice) -> _Choice:
        value = self._value.get(name)
        if value is None:
            return absent
        for one in allowed:
            if value == one:
                return one
        raise self.wrong(name, f"write one of {', '.join(allowed)}")

    def optional(self, name: str, allowed: tuple[_Choice, ...]) -> _Choice | None:
        return self.choice(name, allowed, allowed[0]) if self.has(name) else None

    def integer(self, name: str, absent: int, *, least: int) -> int:
        if not self.has(name):
            return absent
        value = self._value.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(name, f"write a whole number of at least {least}")
        return value

    def decimal(self, name: str, absent: float, *, least: float) -> float:
        """A decimal as a quoted string ("3e-5"); a plain number is taken too."""
        if not self.has(name):
            return absent
        value = self._value.get(name)
        try:
            number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < least:
            raise self.wrong(name, f'write a quoted decimal of at least {least:g}, for example "3e-4"')
        return number

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name
