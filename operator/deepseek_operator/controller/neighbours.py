"""The mirror's index of custom resources by their kind and namespace: who stands beside whom."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from deepseek_operator.controller.key import Key
from deepseek_operator.core.resources import Manifest, Resource

AtT = TypeVar("AtT", bound=Hashable)
ItemT = TypeVar("ItemT")


class Place(Protocol):
    """Where an object is."""

    @property
    def resource(self) -> Resource: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...


class Entry(Protocol):
    """What the mirror keeps of an object."""

    @property
    def location(self) -> Place: ...
    @property
    def uid(self) -> str: ...
    @property
    def manifest(self) -> Manifest: ...


@dataclass
class Neighbours:
    """`add` and `drop` as objects come and go; `of` whom there are."""

    _entries: dict[tuple[Resource, str], dict[str, Entry]] = field(default_factory=dict)

    def of(self, key: Key) -> tuple[Manifest, ...]:
        """Others of the key's kind in its namespace, ordered by name."""
        entries = self._entries.get((key.resource, key.namespace), {}).values()
        others = [entry for entry in entries if entry.location.name != key.name]
        return tuple(entry.manifest for entry in sorted(others, key=lambda entry: entry.location.name))

    def add(self, entry: Entry) -> None:
        """Anew, or in the place of an earlier one of its uid; what is no custom resource has no neighbours."""
        at = entry.location
        if at.resource.is_owner:
            self._entries.setdefault((at.resource, at.namespace), {})[entry.uid] = entry

    def drop(self, entry: Entry) -> None:
        """It is gone."""
        drop(self._entries, (entry.location.resource, entry.location.namespace), entry.uid)


def drop(index: dict[AtT, dict[str, ItemT]], at: AtT, uid: str) -> None:
    """Takes one object out of an index, and the place with the last of it."""
    found = index.get(at)
    if found is not None:
        found.pop(uid, None)
        if not found:
            del index[at]
