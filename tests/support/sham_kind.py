"""A third kind with a child that no other kind has: its entry, and nothing else."""

from typing import Any, Literal

from pydantic import Field

from deepseek_operator.api.base import ApiModel, ObjectMeta, StatusModel
from deepseek_operator.api.definition import AGE, Definition
from deepseek_operator.api.resource import Family, of_kind
from deepseek_operator.core.actions import Apply, Plan
from deepseek_operator.core.kind import Decision, Event
from deepseek_operator.core.kinds import OWN, Entry, Kinds
from deepseek_operator.core.names import child_name, owner_labels, owner_reference
from deepseek_operator.core.resources import Manifest, Ref, Resource
from deepseek_operator.core.seen import Needs, Seen
from deepseek_operator.kinds.registry import KINDS

NOTE = of_kind("DeepSeekNote", "deepseeknotes", Family("note", "note"))
POD_TEMPLATE = Resource("v1", "PodTemplate", "podtemplates")


class NoteSpec(ApiModel):
    """What is to be written down."""

    text: str = Field(description="What is to be written down.", max_length=100)


class NoteStatus(StatusModel):
    """What was seen."""

    written: bool = Field(default=False, description="True once it is there.")


class Note(ApiModel):
    """A text that is kept in a PodTemplate."""

    api_version: str = NOTE.api_version
    kind: Literal["DeepSeekNote"] = "DeepSeekNote"
    metadata: ObjectMeta
    spec: NoteSpec
    status: NoteStatus = Field(default_factory=NoteStatus)


class NoteKind:
    """Keeps one PodTemplate with the text."""

    resource = NOTE
    owns: tuple[Resource, ...] = (POD_TEMPLATE,)
    many: tuple[Resource, ...] = ()
    records_first = False

    def parse(self, manifest: Manifest) -> Note:
        return Note.model_validate(manifest)

    def wanted_names(self, owner: Note) -> tuple[Ref, ...]:
        return (Ref(POD_TEMPLATE, child_name(NOTE, owner.metadata.name)),)

    def recorded_names(self, owner: Note) -> tuple[Ref, ...]:
        return self.wanted_names(owner)

    def recorded_uids(self, owner: Note) -> frozenset[str]:
        return frozenset()

    def needs(self, seen: Seen[Note]) -> Needs:
        return Needs()

    def is_dear(self, seen: Seen[Note]) -> bool:
        return False

    def decide(self, seen: Seen[Note]) -> Decision[NoteStatus]:
        meta = seen.owner.metadata
        (ref,) = self.wanted_names(seen.owner)
        there = ref in seen.children
        metadata = {
            "name": ref.name,
            "labels": owner_labels(NOTE, meta.name, meta.uid),
            "ownerReferences": [owner_reference(NOTE, meta.name, meta.uid)],
        }
        wanted = {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": metadata,
            "data": {"text": seen.owner.spec.text},
        }
        plan: Plan[NoteStatus] = Plan(actions=() if there else (Apply(wanted),))
        return Decision(plan, lambda done: NoteStatus(written=there))

    def events(self, before: NoteStatus, after: NoteStatus) -> tuple[Event, ...]:
        return ()

    def farewell(self, owner: Note) -> tuple[Event, ...]:
        return ()


SHAM = Entry(
    definition=Definition(NOTE, Note, "dsn", (AGE,), ()),
    make=lambda configuration: NoteKind(),
    owns={POD_TEMPLATE: OWN},
    reasons={"Written": "Nothing to do."},
    metrics_port="told",
)
ALL: Kinds = Kinds((*KINDS, SHAM))


def note(**metadata: Any) -> dict[str, Any]:
    meta = {"name": "n", "namespace": "team", **metadata}
    return {"apiVersion": NOTE.api_version, "kind": NOTE.kind, "metadata": meta, "spec": {"text": "hello"}}
