"""One look at the world as the driver has it: a `Seen`, the owner as stored, and what the look has read."""

from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from deepseek_operator.core.actions import Plan
from deepseek_operator.core.resources import Manifest, Ref
from deepseek_operator.core.seen import Seen

OwnerT = TypeVar("OwnerT")


@dataclass(frozen=True)
class Reading:
    """What a live look has read.

    Attributes:
        at: when it began, by the monotonic clock.
        has_owner: the server has told of the owner or taken a status of it as it is here; else only a watch has.
        presumes: names that the mirror knows nobody to have count as free.
        asked: each name that was asked for, with what had it; None: nobody.
        unwatched: children that no watch tells of, for they lost their labels.
    """

    at: float
    has_owner: bool = True
    presumes: bool = False
    asked: dict[Ref, Manifest | None] = field(default_factory=dict)
    unwatched: dict[Ref, Manifest] = field(default_factory=dict)


@dataclass(frozen=True)
class View(Generic[OwnerT]):
    """A `Seen` and the owner as stored, which a status write needs.

    Attributes:
        reading: of what was asked for; None of a look at the mirror.
    """

    seen: Seen[OwnerT]
    manifest: Manifest
    reading: Reading | None = None

    def suffices(self, plan: Plan[Any]) -> bool:
        """False where the plan has something final that may follow from old news. A record may where nothing but its owner is
        from a watch: the server takes it for no other version of that."""
        is_read = self.reading is not None and (self.reading.has_owner or plan.record is not None)
        return is_read or not plan.is_irreversible

    def confirmed(self) -> "View[OwnerT]":
        """The same behind a status that was written of the owner as it is here: no other version would have been taken."""
        return self if self.reading is None else replace(self, reading=replace(self.reading, has_owner=True))

    @property
    def free(self) -> frozenset[Ref]:
        """Names that nobody has, as was read live or is presumed: to be made there or not at all."""
        asked = self.reading.asked if self.reading is not None else {}
        taken = self.seen.children.keys() | self.seen.occupied.keys()
        return frozenset(ref for ref, found in asked.items() if found is None and ref not in taken)
