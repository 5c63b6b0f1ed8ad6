"""Which object a person means by `NAME` or `KIND/NAME`, and what is said where that is none, or two."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from deepseek_operator.core.kinds import Entry, Kinds
from deepseek_operator.core.resources import Manifest

_NEAR = 0.5
"""Likeness from which a name is offered in place of another, as `difflib` has it: `uper` and `uppercase` are."""


@dataclass(frozen=True)
class Wanted:
    """A name, and the kinds that it may be of."""

    name: str
    entries: tuple[Entry, ...]


def wanted(text: str, among: Iterable[Entry]) -> Wanted:
    """What `NAME` or `KIND/NAME` asks for; a kind is written in any way that kubectl takes, or as its word.

    Raises:
        ValueError: there is no such kind; names those that are.
    """
    entries = tuple(among)
    kind, slash, name = text.rpartition("/")
    if not slash:
        return Wanted(text, entries)
    named = tuple(entry for entry in entries if kind.lower() in names(entry))
    if not named:
        raise ValueError(
            f"there is no kind {kind!r} for this: write {' or '.join(f'{e.word}/{name}' for e in entries)}"
        )
    return Wanted(name, named)


def names(entry: Entry) -> frozenset[str]:
    """All names of a kind, in small letters."""
    resource = entry.resource
    told = (resource.kind, resource.plural, entry.word, f"{entry.word}s", entry.definition.short_name)
    return frozenset(name.lower() for name in told)


def full_name(entry: Entry, manifest: Manifest) -> str:
    """`word/name`, which no other object of the namespace has."""
    return f"{entry.word}/{manifest['metadata']['name']}"


def only(wish: Wanted, found: Sequence[tuple[Entry, Manifest]], namespace: str) -> tuple[Entry, Manifest]:
    """The one that was found.

    Raises:
        ValueError: there are several of that name; says how each is written.
    """
    if len(found) > 1:
        choices = " or ".join(full_name(entry, manifest) for entry, manifest in found)
        raise ValueError(f"{len(found)} objects in {namespace} are called {wish.name}: write {choices}")
    return found[0]


def absent(wish: Wanted, namespace: str, here: Iterable[str], elsewhere: Mapping[str, Iterable[str]]) -> str:
    """What is said where nothing has that name: which are near, or where else it is.

    `here`: names in the namespace; `elsewhere`: by namespace, as far as they may be listed.
    """
    kinds = " or ".join(entry.resource.kind for entry in wish.entries)
    said = f"there is no {kinds} {wish.name} in {namespace}"
    if near := get_close_matches(wish.name, sorted(set(here)), n=3, cutoff=_NEAR):
        return f"{said}: did you mean {' or '.join(near)}?"
    if places := sorted(place for place, names_there in elsewhere.items() if wish.name in names_there):
        return f"{said}: there is one in {', '.join(places)}, write -n {places[0]}"
    return said


def kinds_of(kinds: Kinds) -> tuple[Entry, ...]:
    """Those that a person may be shown."""
    return tuple(entry for entry in kinds if entry.told is not None)
