"""The mirror's index of autoscalers by what they scale: whoever is scaled finds all of them, and hears of each."""

from dataclasses import dataclass, field
from typing import Protocol

from deepseek_operator.controller import neighbours
from deepseek_operator.core.resources import Resource
from deepseek_operator.core.scale_target import ScaleTarget


class Entry(neighbours.Entry, Protocol):
    """What the mirror keeps of an object that may scale another."""

    @property
    def scales(self) -> ScaleTarget | None: ...


@dataclass
class Scalers:
    """`add` and `drop` as objects come and go; `of` which of them scale one object; `place` what one of them scales."""

    _entries: dict[tuple[str, ScaleTarget], dict[str, Entry]] = field(default_factory=dict)
    _resources: dict[tuple[str, str], Resource] = field(default_factory=dict)

    def of(self, resource: Resource, namespace: str, name: str) -> tuple[Entry, ...]:
        """Those that scale that object, ordered by resource and name."""
        found = self._entries.get((namespace, ScaleTarget(resource.group, resource.kind, name)), {}).values()
        return tuple(sorted(found, key=lambda entry: (entry.location.resource, entry.location.name)))

    def place(self, entry: Entry) -> tuple[Resource, str, str] | None:
        """Resource, namespace and name of what it scales; None where that is nothing, or of no resource ever seen."""
        aim = entry.scales
        resource = self._resources.get((aim.group, aim.kind)) if aim is not None else None
        return (resource, entry.location.namespace, aim.name) if aim is not None and resource is not None else None

    def add(self, entry: Entry) -> None:
        """Anew, or in the place of an earlier one of its uid."""
        at = entry.location
        self._resources.setdefault((at.resource.group, at.resource.kind), at.resource)
        if entry.scales is not None:
            self._entries.setdefault((at.namespace, entry.scales), {})[entry.uid] = entry

    def drop(self, entry: Entry) -> None:
        """It is gone."""
        if entry.scales is not None:
            neighbours.drop(self._entries, (entry.location.namespace, entry.scales), entry.uid)
