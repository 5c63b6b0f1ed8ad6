"""A tiny kind for tests of the shell: a training that wants one Service, one Job per `attempt`, and says so.

It has one of everything that the driver distinguishes: a record (the attempt's number is written before its Job), a
write-once child, an applied child, a reference, and an irreversible decision (the Job of a former attempt goes).
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import Field

from deepseek_operator.api.base import ApiModel, ObjectMeta, StatusModel
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.actions import Action, Apply, Create, Delete, Done, Plan
from deepseek_operator.core.drift import needs_apply
from deepseek_operator.core.kind import Decision, Event
from deepseek_operator.core.names import owner_labels, owner_reference
from deepseek_operator.core.resources import (
    CLAIM,
    JOB,
    POD,
    SERVICE,
    Manifest,
    Ref,
    Resource,
    is_terminating,
    uid_of,
)
from deepseek_operator.core.seen import Needs, Seen


class TinySpec(ApiModel):
    """`attempt` is the number of the wanted Job; `port` goes into the Service; `claim` is looked up."""

    attempt: int = 1
    port: int = 80
    claim: str | None = None
    poison: bool = False


class TinyStatus(StatusModel):
    """`recorded` is written before the Job of that number is made."""

    observed_generation: int = -1
    recorded: int = 0
    message: str = ""
    claims: list[str] = Field(default_factory=list)


class Tiny(ApiModel):
    """The resource, under the training's name."""

    api_version: str
    kind: str
    metadata: ObjectMeta
    spec: TinySpec
    status: TinyStatus = Field(default_factory=TinyStatus)


@dataclass
class TinyKind:
    """`ports.Kind` for `Tiny`; `requeue` is what a quiet plan asks for."""

    requeue: timedelta | None = None
    resource: Resource = TRAINING
    owns: tuple[Resource, ...] = (JOB, POD, SERVICE)
    many: tuple[Resource, ...] = (JOB, POD)
    records_first: bool = False

    def parse(self, manifest: Manifest) -> Tiny:
        return Tiny.model_validate(manifest)

    def wanted_names(self, owner: Tiny) -> tuple[Ref, ...]:
        return (_service_ref(owner), _job_ref(owner, owner.spec.attempt))

    def recorded_names(self, owner: Tiny) -> tuple[Ref, ...]:
        return self.wanted_names(owner)

    def recorded_uids(self, owner: Tiny) -> frozenset[str]:
        return frozenset()

    def needs(self, seen: Seen[Tiny]) -> Needs:
        claim = seen.owner.spec.claim
        return Needs(references=(Ref(CLAIM, claim),) if claim else ())

    def is_dear(self, seen: Seen[Tiny]) -> bool:
        return False

    def decide(self, seen: Seen[Tiny]) -> Decision[TinyStatus]:
        return Decision(self._plan(seen), partial(_status, seen))

    def _plan(self, seen: Seen[Tiny]) -> Plan[TinyStatus]:
        owner = seen.owner
        if owner.spec.poison:
            raise ArithmeticError("poison")
        if owner.status.recorded < owner.spec.attempt:
            told = {"recorded": owner.spec.attempt, "observed_generation": owner.metadata.generation}
            return Plan(record=owner.status.model_copy(update=told), confirm=True)
        return Plan(actions=(*_service(seen), *_jobs(seen)), requeue_after=self.requeue)

    def events(self, before: TinyStatus, after: TinyStatus) -> tuple[Event, ...]:
        told = before.message != after.message
        return (Event("Normal", "Changed", "Reconcile", after.message),) if told else ()

    def farewell(self, owner: Tiny) -> tuple[Event, ...]:
        return ()


def _status(seen: Seen[Tiny], done: Done) -> TinyStatus:
    update: dict[str, Any] = {
        "observed_generation": seen.owner.metadata.generation,
        "message": done.failure.reason if done.failure else f"{len(seen.all(JOB))} jobs",
        "claims": [ref.name for ref in seen.references],
    }
    return seen.owner.status.model_copy(update=update)


def _service(seen: Seen[Tiny]) -> tuple[Action, ...]:
    owner = seen.owner
    spec = {"clusterIP": "None", "ports": [{"name": "http", "port": owner.spec.port}]}
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(owner, _service_ref(owner)), "spec": spec}
    live = seen.children.get(_service_ref(owner))
    return (Apply(manifest, uid_of(live) if live else None),) if needs_apply(manifest, live) else ()


def _jobs(seen: Seen[Tiny]) -> tuple[Action, ...]:
    owner, wanted = seen.owner, _job_ref(seen.owner, seen.owner.spec.attempt)
    others = tuple(
        Delete(Ref(JOB, job["metadata"]["name"]), uid_of(job), "its attempt is over")
        for job in seen.all(JOB)
        if job["metadata"]["name"] != wanted.name and not is_terminating(job)
    )
    if others or wanted in seen.children:
        return others
    labels = owner_labels(TRAINING, owner.metadata.name, owner.metadata.uid)
    template = {
        "metadata": {"labels": labels},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "trainer", "image": "i"}]},
    }
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimit": 0, "template": template}
    return (Create({"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(owner, wanted), "spec": spec}),)


def _metadata(owner: Tiny, ref: Ref) -> dict[str, Any]:
    name, uid = owner.metadata.name, owner.metadata.uid
    return {
        "name": ref.name,
        "namespace": owner.metadata.namespace,
        "labels": owner_labels(TRAINING, name, uid),
        "ownerReferences": [owner_reference(TRAINING, name, uid)],
    }


def _service_ref(owner: Tiny) -> Ref:
    return Ref(SERVICE, f"{owner.metadata.name}-train")


def _job_ref(owner: Tiny, attempt: int) -> Ref:
    return Ref(JOB, f"{owner.metadata.name}-train-{attempt}")


def tiny(name: str = "t", namespace: str = "team", **spec: Any) -> dict[str, Any]:
    """A resource of the tiny kind as a user would write it."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": TRAINING.api_version, "kind": TRAINING.kind, "metadata": metadata, "spec": spec}
