"""What a kind says once and everything that enumerates kinds takes from there: watches, definitions, rights, commands.

A kind that is in the list is defined, watched, mirrored, reconciled, planned offline, documented and granted its rights;
nothing else has to be told of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from deepseek_operator.api.definition import Definition
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.dashboards import Dashboard
from deepseek_operator.core.kind import Kind
from deepseek_operator.core.metrics import Metric
from deepseek_operator.core.names import family_of
from deepseek_operator.core.resources import Manifest, Ref, Resource, ref_of
from deepseek_operator.core.seen import NoData, Signal, SignalWish, Unavailable


@dataclass(frozen=True)
class Rights:
    """What the operator may do with one resource.

    Attributes:
        verbs: as RBAC has them; without get, list and watch it could not be watched.
        where_enforced: besides those, where the plug-in OwnerReferencesPermissionEnforcement asks for more of whoever
            gives a living object an owner.
    """

    verbs: tuple[str, ...]
    where_enforced: tuple[str, ...] = ()


READ = Rights(("get", "list", "watch"))
END = Rights((*READ.verbs, "delete"))
KEEP = Rights((*READ.verbs, "create", "patch"))
OWN = Rights((*KEEP.verbs, "delete"))


@dataclass(frozen=True)
class Assumed:
    """An object that a resource refers to, made up for `plan` as it would be once all is well.

    Attributes:
        body: of the object, without its identity.
        words: the rest of a sentence that begins with its kind and name.
    """

    body: Manifest
    words: str = "exists"


def shared_claim(_: Manifest, name: str) -> Assumed:
    """A PersistentVolumeClaim that is bound, and that any number of nodes may mount."""
    return Assumed({"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Bound"}})


Assume: TypeAlias = Callable[[Manifest, str], Assumed]
"""From the resource that refers to the object, and the object's name."""


@dataclass(frozen=True)
class Wanted:
    """Replicas that the load wants, and what each signal says.

    Attributes:
        replicas: None when the samples don't say.
    """

    replicas: int | None
    wishes: tuple[SignalWish, ...] = ()


@dataclass(frozen=True)
class Demand:
    """How many replicas the load wants, for a kind that is scaled by it.

    Attributes:
        queries: signal names and PromQL expressions of one number each; none of an owner that is not scaled, or rests.
        wanted: what the samples, by the names of the queries, want.
        presumed: what the signals say of an owner that nobody has been asked about yet, while every query has this answer;
            none where only asking tells.
    """

    queries: Callable[[Any, Configuration], tuple[tuple[str, str], ...]]
    wanted: Callable[[Any, Configuration, Mapping[str, Signal]], Wanted]
    presumed: Callable[[Any, Configuration, NoData | Unavailable], tuple[SignalWish, ...]]


@dataclass(frozen=True)
class Runs:
    """What a person does with versions that are tried by steps, for a kind that has such.

    Attributes:
        annotation: key and value that a verb writes, None to take it away; of verb, stored resource, revision and a token
            that makes the value another one than before. ValueError says what to write instead.
    """

    annotation: Callable[[str, Manifest, str | None, str], tuple[str, str | None]]


@dataclass(frozen=True)
class BenchWish:
    """What a person asks of a bench; None: what is usual for the object.

    Attributes:
        limits: milliseconds that are not to be exceeded, by the name of the signal; empty: what is usual.
        quantile: share of requests that are to be within them, a decimal.
        model: name that is asked for.
        prompt_words, answer_tokens: of each request.
        most_streams: never more requests at a time.
        load_s: never longer with one number of them.
        among_others: go on although others ask.
        image: of the bencher.
        token: makes the Job's name another one than before.
    """

    limits: Mapping[str, int]
    quantile: str | None
    model: str | None
    prompt_words: int | None
    answer_tokens: int | None
    most_streams: int | None
    load_s: int | None
    among_others: bool
    image: str | None
    token: str


@dataclass(frozen=True)
class Benched:
    """How a kind whose replicas answer requests is measured. ValueError says why it can't be, and what to write instead.

    Attributes:
        label: by which the Jobs are found; its value is the object's uid.
        container: of the Job's pod.
        job: the Job that loads one replica, of the stored object, its pods and the wish.
        patch: a merge patch with targets, of the stored object, the result and the room that is left, in percent.
    """

    label: str
    container: str
    job: Callable[[Manifest, Sequence[Manifest], BenchWish], Manifest]
    patch: Callable[[Manifest, Mapping[str, Any], int], Manifest]


@dataclass(frozen=True)
class Failed:
    """A pod that the status remembers as failed.

    Attributes:
        attempt: number of the attempt that it belonged to.
        pod: its name; empty where the status does not keep it.
        words: why, in a sentence.
    """

    attempt: int
    pod: str
    words: str


@dataclass(frozen=True)
class Lived:
    """What the status keeps of one attempt's losses.

    Attributes:
        first_step: optimizer step that it began with; last_step: the last that it reported, whose loss is `loss`.
        ended: why it ended, in a word; empty while it goes on.
        curve: file of the checkpoint claim that has a line for each step; empty where none is known.
    """

    attempt: int
    first_step: int | None
    last_step: int | None
    loss: float | None
    ended: str
    curve: str


@dataclass(frozen=True)
class Told:
    """What a person is shown of a kind's objects, each read off the stored resource. ValueError: its status can't be read.

    Attributes:
        picture: lines for a terminal: where it stands now.
        exit_status: of a command that watches it: None while what it waits for goes on.
        columns: heads of what a table of many says of each, beside place and phase.
        row: as many cells, a dash for what is not known.
        failures: what failed, newest attempt first, and in it what failed first.
        lives: attempts that learn, oldest first; None: it learns nothing.
        history: panels of a picture over time, each a heading and PromQL expressions by what they show; for a kind that
            learns nothing.
        revisions: a row of a table for each version that is kept, the newest first; none of a kind without versions.
    """

    picture: Callable[[Manifest], str]
    exit_status: Callable[[Manifest], int | None]
    columns: tuple[str, ...]
    row: Callable[[Manifest], tuple[str, ...]]
    failures: Callable[[Manifest], tuple[Failed, ...]] = lambda manifest: ()
    lives: Callable[[Manifest], tuple[Lived, ...]] | None = None
    history: Callable[[Manifest], Mapping[str, Mapping[str, str]]] = lambda manifest: {}
    revisions: Callable[[Manifest], tuple[Mapping[str, str], ...]] = lambda manifest: ()


@dataclass(frozen=True, eq=False)
class Entry:
    """One kind.

    Attributes:
        definition: what the API server is told of it.
        make: its behaviour under a configuration.
        owns: resources of its children, with what may be done with each.
        reasons: every reason of its conditions, with what a person does about it.
        reads: other resources that its specs name. These and its children are watched.
        assumed: what it may refer to.
        notes: what `plan` says of a resource beside its children: what happens inside of the pods that one might
            expect otherwise.
        demand: None: it is not scaled by load.
        metrics_port: name of the port at which its pods tell metrics; empty: they tell none.
        runs: None: its versions are not tried by steps.
        benched: None: it answers no requests.
        told: None: nobody is shown more of it than of any object.
        metrics: what is told of its objects by the operator itself; names begin with `deepseek_operator_<word>_`.
        dashboard: the page of its objects; None: they are on the page over everything alone.
    """

    definition: Definition
    make: Callable[[Configuration], Kind[Any, Any]]
    owns: Mapping[Resource, Rights]
    reasons: Mapping[str, str]
    reads: tuple[Resource, ...] = ()
    assumed: Mapping[Resource, Assume] = field(default_factory=dict)
    notes: Callable[[Manifest], tuple[str, ...]] = lambda manifest: ()
    demand: Demand | None = None
    metrics_port: str = ""
    runs: Runs | None = None
    benched: Benched | None = None
    told: Told | None = None
    metrics: tuple[Metric, ...] = ()
    dashboard: Dashboard | None = None

    @property
    def resource(self) -> Resource:
        """The custom resource."""
        return self.definition.resource

    @property
    def word(self) -> str:
        """The kind in labels, metrics and tables."""
        return family_of(self.resource).word


@dataclass(frozen=True, eq=False)
class Kinds:
    """The kinds of one process. No two have a kind, a word or a suffix in common."""

    entries: tuple[Entry, ...]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, resource: Resource) -> Entry:
        """The kind of that custom resource. KeyError: there is none."""
        return self._by_resource[resource]

    @cached_property
    def _by_resource(self) -> Mapping[Resource, Entry]:
        return {entry.resource: entry for entry in self.entries}

    @cached_property
    def owners(self) -> tuple[Resource, ...]:
        """The custom resources."""
        return tuple(self._by_resource)

    @cached_property
    def children(self) -> tuple[Resource, ...]:
        """What any of them owns or looks at, but for themselves."""
        named = dict.fromkeys(resource for entry in self.entries for resource in (*entry.owns, *entry.reads))
        return tuple(resource for resource in named if not resource.is_owner)

    @cached_property
    def watched(self) -> tuple[Resource, ...]:
        """All that is watched."""
        return (*self.owners, *self.children)

    @cached_property
    def definitions(self) -> tuple[Definition, ...]:
        """What the API server is told of them."""
        return tuple(entry.definition for entry in self.entries)

    def users(self, resource: Resource) -> frozenset[Resource]:
        """The custom resources whose kinds own it or look at it."""
        return frozenset(e.resource for e in self.entries if resource in e.owns or resource in e.reads)

    def rights(self, *, where_enforced: bool = False) -> Mapping[tuple[str, str], frozenset[str]]:
        """Verbs by API group and resource: all that the operator may do where it works, but for events."""
        granted: dict[tuple[str, str], set[str]] = {}
        for owner in self.owners:
            granted[owner.group, owner.plural] = set(READ.verbs)
            granted[owner.group, f"{owner.plural}/status"] = {"update"}
            if where_enforced:
                granted[owner.group, f"{owner.plural}/finalizers"] = {"update"}
        for entry in self.entries:
            for resource, may in (*entry.owns.items(), *((resource, READ) for resource in entry.reads)):
                verbs = granted.setdefault((resource.group, resource.plural), set())
                verbs.update(may.verbs, may.where_enforced if where_enforced else ())
        return {resource: frozenset(verbs) for resource, verbs in granted.items()}

    def ref_of(self, manifest: Manifest) -> Ref:
        """The reference that names `manifest`. KeyError: it is of a resource that none of them knows, or has no name."""
        return ref_of(manifest, self.watched)

    def behaviours(self, configuration: Configuration) -> Mapping[Resource, Kind[Any, Any]]:
        """What each of them does under a configuration."""
        return {entry.resource: entry.make(configuration) for entry in self.entries}
