"""Everything a kind may look at in one pass, as one frozen value.

`Seen` is total: an absent object, a pod that does not answer and a stranger at a wanted name are facts in it, never
exceptions. A saved `Seen` replays a bug report without a cluster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from deepseek_operator.core.mentions import Mentions
from deepseek_operator.core.resources import Manifest, Ref, Resource
from deepseek_operator.domain.policy.analysis import Reading

OwnerT_co = TypeVar("OwnerT_co", covariant=True)


@dataclass(frozen=True)
class Sample:
    """A measured value (unit: that of its query) and when it was taken."""

    value: float
    at: datetime


@dataclass(frozen=True)
class NoData:
    """The source answered that it has nothing: an empty result or NaN. Never the same as zero."""


@dataclass(frozen=True)
class Unavailable:
    """The source could not be asked; `reason` is a sentence for a condition's message."""

    reason: str


Signal: TypeAlias = Sample | NoData | Unavailable
Answer: TypeAlias = Reading | Unavailable
"""What a metrics store says to a question: all series of it, if only none; or why it could not be asked."""


@dataclass(frozen=True)
class SignalWish:
    """What one signal that an owner is scaled by was last seen to say.

    Attributes:
        name: which one.
        value: in its unit, when `replicas` or `why` last changed; None without data.
        target: what is aimed at, in the same unit.
        replicas: that it wants; None where it does not say.
        why: what keeps it from a number, or from a higher one, as a sentence; empty where nothing does.
    """

    name: str
    value: float | None
    target: float
    replicas: int | None
    why: str = ""

    def says_as(self, other: "SignalWish | None") -> bool:
        """True where both say the same, whatever the value is."""
        return other is not None and replace(self, value=None) == replace(other, value=None)


@dataclass(frozen=True)
class Question:
    """A PromQL expression, and since when it must have been asked: an answer from before is of no use any more."""

    query: str
    since: datetime


@dataclass(frozen=True)
class Warning:
    """A Warning event of one object: `reason` in one word, `note` as its reporter wrote it."""

    reason: str
    note: str


@dataclass(frozen=True)
class Needs:
    """What must be looked at besides the owner's children.

    Attributes:
        references: objects named by the spec; only those that exist reach `Seen.references`.
        progress: Pod whose `/progress` is to be pulled, with the training's uid; None to pull nothing.
        warnings: children of which the Warning events are to be read, because they do not get on.
        questions: to the metrics store; none at rest.
        neighbours: whether it matters what others of the owner's kind in its namespace are and say.
        mentions: whether it matters which folders of fetched sources the objects of the namespace name.
    """

    references: tuple[Ref, ...] = ()
    progress: Ref | None = None
    warnings: tuple[Ref, ...] = ()
    questions: tuple[Question, ...] = ()
    neighbours: bool = False
    mentions: bool = False


@dataclass(frozen=True)
class Seen(Generic[OwnerT_co]):
    """One look at the world.

    Attributes:
        owner: the custom resource, parsed; its status is what was last written.
        children: live objects of the owner (label owner-uid), pods of its Jobs and Deployments included.
        occupied: objects of somebody else under a name that a child would take.
        references: the existing ones of `Needs.references`; a missing key means that the object does not exist.
        progress: what rank 0 said, schema-checked; `Unavailable` when it could not be asked; None when not asked.
        warnings: Warning events of `Needs.warnings`, newest first; display only; a key is missing
            where they were not read.
        readings: answers to `Needs.questions` by expression; a missing one has not come yet, and wakes when it does.
        now: the time of this pass, with time zone.
        neighbours: others of the owner's kind in its namespace, by name, as watches have told of them; none where `Needs` does
            not ask. What becomes of them wakes nobody.
        unserved: optional resources that can't be had in the owner's namespace, and why, as a sentence that ends with what
            to do. Nothing is known of their objects: none is among the others here, though some may live.
        scalers: autoscalers, whoever made them, of the owner or of one of its children, as watches have told of them; those
            that are children are not among them.
        mentions: what the objects of the namespace name, of whatever owner, as watches have told of them; None where `Needs`
            does not ask, or where one of them is not all there.
        wishes: what the signals that it is scaled by say, as of the last reading of which something came; none before the
            first.
    """

    owner: OwnerT_co
    now: datetime
    children: Mapping[Ref, Manifest] = field(default_factory=dict)
    occupied: Mapping[Ref, Manifest] = field(default_factory=dict)
    references: Mapping[Ref, Manifest] = field(default_factory=dict)
    progress: Mapping[str, object] | Unavailable | None = None
    warnings: Mapping[Ref, tuple[Warning, ...]] = field(default_factory=dict)
    readings: Mapping[str, Answer] = field(default_factory=dict)
    unserved: Mapping[Resource, str] = field(default_factory=dict)
    wishes: tuple[SignalWish, ...] = ()
    neighbours: tuple[Manifest, ...] = ()
    scalers: tuple[Manifest, ...] = ()
    mentions: Mentions | None = None

    def child(self, resource: Resource, name: str) -> Manifest | None:
        """The live child of that name; None when there is none."""
        return self.children.get(Ref(resource, name))

    def all(self, resource: Resource) -> tuple[Manifest, ...]:
        """Children of one resource, ordered by name."""
        named = {ref.name: child for ref, child in self.children.items() if ref.resource == resource}
        return tuple(named[name] for name in sorted(named))
