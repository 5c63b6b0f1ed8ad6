"""What a kind must say, all of it pure. One driver serves every kind.

A kind decides once per look: the plan and the status of a `Decision` are read off the same facts, none of which is
derived again. A pass may look twice (at the mirror, then live when something irreversible is wanted), so `decide` must
depend on nothing but its `Seen`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from deepseek_operator.core.actions import Done, Plan
from deepseek_operator.core.resources import Manifest, Ref, Resource
from deepseek_operator.core.seen import Needs, Seen

OwnerT = TypeVar("OwnerT")
StatusT = TypeVar("StatusT")


@dataclass(frozen=True)
class Event:
    """An event to publish after the status write that it belongs to. `reason` <= 128, `note` <= 1,024 characters."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str


@dataclass(frozen=True)
class Decision(Generic[StatusT]):
    """What a kind made of one look.

    Attributes:
        plan: what to do now.
        status: what is true, from what was seen before the actions ran and what became of them; asked after the plan
            was carried out, and not at all when the plan records something.
    """

    plan: Plan[StatusT]
    status: Callable[[Done], StatusT]


class Kind(Protocol[OwnerT, StatusT]):
    """One custom resource's behaviour.

    Attributes:
        owns: resources of its children.
        many: those of them of which there may be any number, under names that only a list tells. None is made before
            a status of the owner was written. A list costs the API server a look at every object of the namespace; all
            others are looked for by `wanted_names`.
        records_first: the first plan over a new owner is nearly always a record, so that nothing is read of the owner
            before; it may be any other, which only costs a further look.
    """

    resource: Resource
    owns: tuple[Resource, ...]
    many: tuple[Resource, ...]
    records_first: bool

    def parse(self, manifest: Manifest) -> OwnerT:
        """The typed resource.

        Raises:
            pydantic.ValidationError: the stored object is not what the CRD's schema lets in.
        """

    def wanted_names(self, owner: OwnerT) -> tuple[Ref, ...]:
        """Names that the children take now; a live look asks for each one that the children lack."""

    def recorded_names(self, owner: OwnerT) -> tuple[Ref, ...]:
        """Names that children had, by the status, or have in some state of the spec: a process asks for each of them once,
        because what lost its labels while none was there is told by no watch."""

    def recorded_uids(self, owner: OwnerT) -> frozenset[str]:
        """uids of children that the status records: these are the owner's, whatever became of their labels."""

    def needs(self, seen: Seen[OwnerT]) -> Needs:
        """What to look at besides the children, which are there already; asked again with what it named, until it
        names nothing new."""

    def is_dear(self, seen: Seen[OwnerT]) -> bool:
        """True when `decide` may compute for more than a few milliseconds: it is then asked beside the event loop."""

    def decide(self, seen: Seen[OwnerT]) -> Decision[StatusT]:
        """What to do now, and what is true."""

    def events(self, before: StatusT, after: StatusT) -> tuple[Event, ...]:
        """Transitions worth telling, from the status as it was and as it is written now."""

    def farewell(self, owner: OwnerT) -> tuple[Event, ...]:
        """What a person must know of an owner that has just gone; told once, and not by a process that was not there."""
