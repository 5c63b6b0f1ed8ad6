"""Which addresses of the web sources may be fetched from: an administrator's word; nobody has it before.

The pod that fetches holds every address to it that a server sends it to (`deepseek_runtime.fetcher.access`); here what a spec
says is judged, whose form is narrow: no user's name, no step that leads upwards and nothing that is written in two ways.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9][a-z0-9.-]*)(:(?P<port>[1-9][0-9]{0,4}))?(?P<path>(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?)"
)
_LAST_PORT = 65_535
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class WebAccess:
    """The permissions: addresses that a source is, or lies below."""

    allowed: tuple[str, ...] = ()

    @classmethod
    def of(cls, prefixes: Iterable[str]) -> Self:
        """Raises ValueError for what is no address; says what to write."""
        allowed = tuple(prefixes)
        for prefix in allowed:
            if _parts(prefix) is None:
                raise ValueError(
                    f"{prefix!r} is no address to fetch from; write one in small letters without a user's name, .. or ?, for "
                    "example https://artifacts.example.org/models"
                )
        return cls(allowed)

    def allows(self, address: str) -> bool:
        """Whether it may be fetched from: the same scheme, host and port, and each step of an allowed path."""
        asked = _parts(address)
        return asked is not None and any(_is_below(asked, _parts(prefix)) for prefix in self.allowed)


NOWHERE = WebAccess()

_Parts = tuple[tuple[str, str, int], list[str]]


def _is_below(asked: _Parts, allowed: _Parts | None) -> bool:
    return allowed is not None and asked[0] == allowed[0] and asked[1][: len(allowed[1])] == allowed[1]


def _parts(address: str) -> _Parts | None:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return None
    port = int(found["port"] or _PORTS[found["scheme"]])
    steps = [step for step in found["path"].split("/") if step]
    return ((found["scheme"], found["host"], port), steps) if port <= _LAST_PORT else None
