"""Which folders of fetched sources the objects of a namespace name, in whatever field of a spec, a status or a template.

Read off their text, not field by field: what a later release writes somewhere else is found too. Too much is kept in doubt:
a folder that is named of one claim counts as named on each.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

ROOT = "sources/"
"""Below which a claim keeps what was fetched to it; as `deepseek_runtime.fetcher` has it."""

_PATH = re.compile(rb"(?<![\w.-])sources/([\w./*?-]*)")
_URI = re.compile(rb"pvc://([a-z0-9.-]+)/?([\w./*?-]*)")
_PATTERN = re.compile(r"[*?]")


@dataclass(frozen=True)
class Mentions:
    """What is named.

    Attributes:
        paths: below `sources/`; each names whatever begins with it, so that an empty one names all.
        claims: those of which everything is named, as by pvc://<claim>.
    """

    paths: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()

    def on(self, claim: str) -> tuple[str, ...]:
        """What is named of a claim, sorted: of two of which one begins with the other the shorter."""
        if claim in self.claims or "" in self.paths:
            return ("",)
        found: list[str] = []
        for path in sorted(self.paths):
            if not found or not path.startswith(found[-1]):
                found.append(path)
        return tuple(found)


def mentioned(texts: Iterable[bytes]) -> Mentions:
    """What objects name, given as JSON. A pattern names whatever begins as it does up to its first `*` or `?`."""
    paths, claims = set[str](), set[str]()
    for text in texts:
        paths |= {_beginning(path) for path in _PATH.findall(text)}
        claims |= {claim.decode() for claim, path in _URI.findall(text) if _holds_all(path.decode(errors="replace"))}
    return Mentions(frozenset(paths), frozenset(claims))


def _beginning(path: bytes) -> str:
    return _PATTERN.split(path.decode(errors="replace"), maxsplit=1)[0]


def _holds_all(path: str) -> bool:
    """Whether a path of a claim names the folder of all sources, or may."""
    beginning = _PATTERN.split(path, maxsplit=1)[0]
    return path in ("", ROOT.rstrip("/")) or (beginning != path and ROOT.startswith(beginning))
