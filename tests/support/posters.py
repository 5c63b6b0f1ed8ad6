"""A kind of the tests that keeps an object of somebody else's API, which a cluster may have or not: a Board.

It says nothing of its own about that API but what to install for it; all else is the machinery's.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from deepseek_operator.api.base import ApiModel, ObjectMeta, ObservedStatus, Summary
from deepseek_operator.api.definition import AGE, Definition
from deepseek_operator.api.resource import Family, of_kind
from deepseek_operator.core.actions import Apply, Done, Plan
from deepseek_operator.core.conditions import columns, merged, ready, reconciling
from deepseek_operator.core.drift import needs_apply
from deepseek_operator.core.kind import Decision, Event
from deepseek_operator.core.kinds import OWN, Entry, Kinds
from deepseek_operator.core.names import child_name, owner_labels, owner_reference
from deepseek_operator.core.resources import Manifest, Ref, Resource, is_terminating, uid_of
from deepseek_operator.core.seen import Needs, Seen
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.workloads.reasons import ADVICE, WAITING_FOR_API
from deepseek_operator.workloads.refusal import refusal

POSTER = of_kind("DeepSeekPoster", "deepseekposters", Family("poster", "poster"))
CONFIG_MAP = Resource("v1", "ConfigMap", "configmaps")
BOARD = Resource("boards.example.com/v1", "Board", "boards", installed_by="the board controller, release 2 or later")
NO_BOARDS = "boards.example.com/v1 has no boards: install the board controller, release 2 or later"


class PosterSpec(ApiModel):
    """What is to be shown, and where."""

    text: str = Field(description="What is to be shown.", max_length=100)
    board: bool = Field(default=True, description="On a Board too, not only in a ConfigMap.")


class PosterStatus(ObservedStatus):
    """What was seen of it."""

    summary: Summary = Field(default_factory=Summary, description="For the printed columns.")


class Poster(ApiModel):
    """A text in a ConfigMap and, if wanted, on a Board."""

    api_version: str = POSTER.api_version
    kind: Literal["DeepSeekPoster"] = "DeepSeekPoster"
    metadata: ObjectMeta
    spec: PosterSpec
    status: PosterStatus = Field(default_factory=PosterStatus)


class PosterKind:
    """Keeps one ConfigMap and one Board with the text."""

    resource = POSTER
    owns: tuple[Resource, ...] = (CONFIG_MAP, BOARD)
    many: tuple[Resource, ...] = (BOARD,)
    records_first = False

    def parse(self, manifest: Manifest) -> Poster:
        return Poster.model_validate(manifest)

    def wanted_names(self, owner: Poster) -> tuple[Ref, ...]:
        name, boards = child_name(POSTER, owner.metadata.name), (BOARD,) if owner.spec.board else ()
        return tuple(Ref(resource, name) for resource in (CONFIG_MAP, *boards))

    def recorded_names(self, owner: Poster) -> tuple[Ref, ...]:
        return self.wanted_names(owner)

    def recorded_uids(self, owner: Poster) -> frozenset[str]:
        return frozenset()

    def needs(self, seen: Seen[Poster]) -> Needs:
        return Needs()

    def is_dear(self, seen: Seen[Poster]) -> bool:
        return False

    def decide(self, seen: Seen[Poster]) -> Decision[PosterStatus]:
        wanted = [(ref, _child(seen.owner, ref)) for ref in self.wanted_names(seen.owner)]
        lives = {ref: seen.children.get(ref) for ref, _ in wanted}
        actions = tuple(
            Apply(manifest, uid_of(live) if live is not None else None)
            for ref, manifest in wanted
            if not is_terminating(live := lives[ref] or {}) and needs_apply(manifest, live or None)
        )
        return Decision(Plan(actions=actions), lambda done: _status(seen, list(lives.values()), done))

    def events(self, before: PosterStatus, after: PosterStatus) -> tuple[Event, ...]:
        return ()

    def farewell(self, owner: Poster) -> tuple[Event, ...]:
        return ()


def _child(owner: Poster, ref: Ref) -> Manifest:
    meta = owner.metadata
    metadata = {
        "name": ref.name,
        "labels": owner_labels(POSTER, meta.name, meta.uid),
        "ownerReferences": [owner_reference(POSTER, meta.name, meta.uid)],
    }
    body = "data" if ref.resource == CONFIG_MAP else "spec"
    head = {"apiVersion": ref.resource.api_version, "kind": ref.resource.kind}
    return {**head, "metadata": metadata, body: {"text": owner.spec.text}}


def _status(seen: Seen[Poster], lives: Sequence[Manifest | None], done: Done) -> PosterStatus:
    refused = refusal(done.failure)
    if refused is not None:
        verdicts = reconciling(refused.reason, refused.message)
    elif all(live is not None and not is_terminating(live) for live in lives):
        verdicts = ready("Shown", "")
    else:
        verdicts = reconciling("Showing", "")
    generation = seen.owner.metadata.generation
    conditions = merged(verdicts, seen.owner.status.conditions, generation, seen.now)
    summary = Summary(**columns(conditions))
    return PosterStatus(conditions=conditions, observed_generation=generation, summary=summary)


ENTRY = Entry(
    definition=Definition(POSTER, Poster, "dsposter", (AGE,), ()),
    make=lambda configuration: PosterKind(),
    owns={CONFIG_MAP: OWN, BOARD: OWN},
    reasons={"Shown": "Nothing to do.", "Showing": "Wait.", WAITING_FOR_API: ADVICE[WAITING_FOR_API]},
)
WITH_POSTERS = Kinds((*KINDS, ENTRY))


def a_poster(name: str = "p", namespace: str = "team", **spec: Any) -> dict[str, Any]:
    """A poster as a user writes it."""
    return {
        "apiVersion": POSTER.api_version,
        "kind": POSTER.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"text": "hello", **spec},
    }
