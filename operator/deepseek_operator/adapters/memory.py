"""A cluster in memory that behaves like the real one where it bites: for tests and for `plan -f`.

Kept: uids, one resourceVersion for everything, generation, server-side apply with fields that go when they are left
out, preconditions, immutable fields, finalizers, orphans. A delete without a propagation policy orphans the
dependents, as a raw DELETE of a Job does. Left to the caller, as explicit steps: every controller, kubelet and clock.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from deepseek_operator.adapters.memory_fields import Fields, changed, copied, fields_of, merged, without
from deepseek_operator.adapters.memory_rules import (
    COUNTS_NO_GENERATIONS,
    HAS_NO_STATUS,
    PVC_PROTECTION,
    refusal_of_change,
    refusal_of_name,
    set_defaults,
)
from deepseek_operator.api.base import rfc3339
from deepseek_operator.core.actions import Propagation
from deepseek_operator.core.kind import Event
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.names import FIELD_MANAGER, OWNER_UID
from deepseek_operator.core.ownership import JOB_UID
from deepseek_operator.core.resources import CLAIM, POD, Manifest, Ref, Resource, labels_of, ref_of, uid_of
from deepseek_operator.core.seen import Warning
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import NOWHERE, ClusterError, Conflict, Listing, Rejected, is_watched

Key: TypeAlias = tuple[Resource, str, str]
Stored: TypeAlias = dict[str, Any]
ChangeType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]


_POSTED = f"{FIELD_MANAGER} by POST"
"""The server keeps what a manager posted apart from what it applied: a later apply takes no posted field away."""


@dataclass(frozen=True)
class Change:
    """One watch event, as the label selector of the mirror's watch would deliver it."""

    type: ChangeType
    resource: Resource
    manifest: Manifest


@dataclass(frozen=True)
class Write:
    """One write that reached the store through the port: what an oracle counts. `changed`: the object is another now."""

    verb: Literal["create", "apply", "delete", "status"]
    namespace: str
    ref: Ref
    uid: str
    changed: bool


@dataclass(frozen=True)
class Fault:
    """What happens at one write instead of an answer. `committed`: the server had carried it out already."""

    error: BaseException
    committed: bool = False


class MemoryCluster:
    """`ports.Cluster` on dicts. What others do to the cluster is done with the synchronous methods.

    Attributes:
        writes: every write of the operator that was committed, in order.
        reads: number of requests by verb.
        events: events published, as (regarding uid, event).
        warnings: what others have told, by the uid of the object.
        faults: by ordinal of the write attempt, from 1; an entry is used up when it strikes.
        refuse: asked before every request of the operator (verb, namespace, ref); an error is raised.
        listeners: called with every change, in commit order, before the writer has its answer.
    """

    def __init__(self, clock: Clock, kinds: Kinds = KINDS) -> None:
        self._clock = clock
        self._resources = kinds.watched
        self._objects: dict[Key, Stored] = {}
        self._managed: dict[str, dict[str, Fields]] = {}
        self._version = int(NOWHERE)
        self._uids = 0
        self.attempts = 0
        self.writes: list[Write] = []
        self.reads: Counter[str] = Counter()
        self.events: list[tuple[str, Event]] = []
        self.warnings: dict[str, Sequence[Warning]] = {}
        self.faults: dict[int, Fault] = {}
        self.refuse: Callable[[str, str, Ref], ClusterError | None] = lambda verb, namespace, ref: None
        self.listeners: list[Callable[[Change], object]] = []

    @property
    def version(self) -> str:
        """The newest resourceVersion."""
        return str(self._version)

    # --- the port -----------------------------------------------------------------------------------------------

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        self._asked("get", namespace, Ref(resource, name))
        return self.read(resource, namespace, name)

    async def list_owned(self, resource: Resource, namespace: str, owner_uid: str) -> Listing:
        return self._listed(resource, namespace, OWNER_UID, owner_uid)

    async def list_pods_of_job(self, namespace: str, job_uid: str) -> Listing:
        return self._listed(POD, namespace, JOB_UID, job_uid)

    async def list_warnings(self, namespace: str, uid: str) -> Sequence[Warning]:
        self.reads["warnings"] += 1
        return self.warnings.get(uid, ())

    async def list_metadata(self, resource: Resource) -> Listing:
        self._asked("list", "", Ref(resource, ""))
        return Listing(str(self._version), [{"metadata": item["metadata"]} for item in self.watched(resource)])

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        return self._write(
            "create", namespace, ref_of(manifest, self._resources), lambda: self._create(resource, namespace, manifest)
        )

    async def apply(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        return self._write(
            "apply", namespace, ref_of(manifest, self._resources), lambda: self._apply(resource, namespace, manifest)
        )

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str, propagation: Propagation | None = None
    ) -> None:
        def commit() -> Manifest:
            live = self._objects.get((resource, namespace, name))
            if live is None:
                return {}
            if uid_of(live) != uid:
                raise Conflict(f"Precondition failed: UID in precondition: {uid}, UID in object meta: {uid_of(live)}")
            self.remove(resource, namespace, name, propagation)
            return live

        self._write("delete", namespace, Ref(resource, name), commit)

    async def put_status(self, resource: Resource, manifest: Manifest) -> Manifest:
        metadata = manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]

        def commit() -> Manifest:
            live = self._objects.get((resource, namespace, name))
            if live is None or uid_of(live) != metadata["uid"]:
                raise Conflict(f"{resource.kind} {namespace}/{name} with uid {metadata['uid']} is gone")
            if live["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
                raise Conflict("the object has been modified; please apply your changes to the latest version")
            return self._store(resource, {**copied(live), "status": copied(manifest["status"])})

        return self._write("status", namespace, Ref(resource, name), commit)

    async def publish(self, resource: Resource, regarding: Manifest, event: Event) -> None:
        self.events.append((uid_of(regarding), event))

    # --- what others do -----------------------------------------------------------------------------------------

    def read(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """A copy of the object; None when there is none."""
        live = self._objects.get((resource, namespace, name))
        return copied(live) if live is not None else None

    def all(self, resource: Resource, namespace: str | None = None) -> list[Stored]:
        """Copies of all objects of a resource, ordered by namespace and name."""
        return [copied(item) for item in self.shown(resource, namespace)]

    def shown(self, resource: Resource, namespace: str | None = None) -> list[Manifest]:
        """The objects themselves, which nobody may change, in the order of `all`: no write changes one in its place."""
        keys = sorted(key for key in self._objects if key[0] == resource and namespace in (None, key[1]))
        return [self._objects[key] for key in keys]

    def watched(self, resource: Resource) -> list[Stored]:
        """Copies of all objects that the mirror's watch of the resource would list."""
        return [copied(item) for item in self.shown(resource) if is_watched(resource, item)]

    def put(self, manifest: Manifest, manager: str = "user") -> Stored:
        """Creates the object, or replaces the spec and labels of the one that is there (`kubectl replace`)."""
        ref, namespace = ref_of(manifest, self._resources), manifest["metadata"].get("namespace", "default")
        if (ref.resource, namespace, ref.name) not in self._objects:
            return copied(self._create(ref.resource, namespace, manifest, manager))  # type: ignore[no-any-return]

        def replace(live: Stored) -> None:
            metadata = {**live["metadata"], **{k: v for k, v in manifest["metadata"].items() if k != "uid"}}
            status = {"status": live["status"]} if "status" in live else {}
            body = {key: copied(value) for key, value in manifest.items() if key != "status"}
            live.clear()
            live.update({**body, "metadata": metadata, **status})

        return self.edit(ref.resource, namespace, ref.name, replace, manager)

    def edit(
        self, resource: Resource, namespace: str, name: str, change: Callable[[Stored], object], manager: str = "user"
    ) -> Stored:
        """Changes any part of an object, status included, as somebody else. An immutable field raises Rejected."""
        live = self._objects[resource, namespace, name]
        after = copied(live)
        change(after)
        after = copied(after)
        self._check(resource, live, after)
        taken = changed(live, after)
        managed = self._managed.setdefault(uid_of(live), {})
        for other in [other for other in managed if other != manager]:
            managed[other] -= taken
        managed[manager] = managed.get(manager, frozenset()) | taken
        return copied(self._store(resource, after))  # type: ignore[no-any-return]

    def remove(self, resource: Resource, namespace: str, name: str, propagation: Propagation | None = None) -> None:
        """Deletes as anybody may; without a policy the dependents are orphaned. Absence is nothing."""
        live = self._objects.get((resource, namespace, name))
        if live is None:
            return
        if propagation is None:
            self._orphan(uid_of(live))
        after = copied(live)
        if propagation == "Foreground":
            after["metadata"]["finalizers"] = [*after["metadata"].get("finalizers", ()), "foregroundDeletion"]
        if resource == POD and _runs(live):
            after["metadata"].setdefault("deletionGracePeriodSeconds", _grace_s(live))
        elif not after["metadata"].get("finalizers"):
            self._drop(resource, namespace, name)
            return
        if "deletionTimestamp" not in after["metadata"]:
            # As the server has it: the moment at which the grace is over, not the one of the request.
            grace = timedelta(seconds=after["metadata"].get("deletionGracePeriodSeconds", 0))
            after["metadata"]["deletionTimestamp"] = rfc3339(self._clock.now() + grace)
            self._bump(resource, after)
            self._store(resource, after)

    def drop(self, resource: Resource, namespace: str, name: str) -> None:
        """Takes the object away at once, whatever its finalizers: what a kubelet or a controller does last."""
        if (resource, namespace, name) in self._objects:
            self._drop(resource, namespace, name)

    # --- storage ------------------------------------------------------------------------------------------------

    def _listed(self, resource: Resource, namespace: str, label: str, value: str) -> Listing:
        self._asked("list", namespace, Ref(resource, ""))
        items = [copied(item) for item in self.shown(resource, namespace) if labels_of(item).get(label) == value]
        return Listing(str(self._version), items)

    def _asked(self, verb: str, namespace: str, ref: Ref) -> None:
        self.reads[verb] += 1
        if (error := self.refuse(verb, namespace, ref)) is not None:
            raise error

    def _write(
        self,
        verb: Literal["create", "apply", "delete", "status"],
        namespace: str,
        ref: Ref,
        commit: Callable[[], Manifest],
    ) -> Manifest:
        self.attempts += 1
        fault = self.faults.pop(self.attempts, None)
        if (error := self.refuse(verb, namespace, ref)) is not None:
            raise error
        if fault is not None and not fault.committed:
            raise fault.error
        before = self._version
        after: Manifest = copied(commit())
        self.writes.append(Write(verb, namespace, ref, uid_of(after), self._version != before))
        if fault is not None:
            raise fault.error
        return after

    def _create(self, resource: Resource, namespace: str, manifest: Manifest, manager: str = _POSTED) -> Manifest:
        name = manifest["metadata"].get("name", "")
        if (refusal := refusal_of_name(resource, name)) is not None:
            raise Rejected(refusal)
        if (resource, namespace, name) in self._objects:
            raise Conflict(f'{resource.plural} "{name}" already exists')
        self._uids += 1
        stored = copied(manifest)
        if resource not in HAS_NO_STATUS:
            stored.pop("status", None)
        stored["metadata"].update(
            namespace=namespace,
            uid=f"{self._uids:08x}-0000-4000-8000-{self._uids:012x}",
            creationTimestamp=rfc3339(self._clock.now()),
        )
        stored["metadata"].pop("resourceVersion", None)
        if resource not in COUNTS_NO_GENERATIONS:
            stored["metadata"]["generation"] = 1
        if resource == CLAIM:
            stored["metadata"].setdefault("finalizers", [PVC_PROTECTION])
        self._managed[uid_of(stored)] = {manager: fields_of(manifest)}
        return self._store(resource, stored)

    def _apply(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        metadata = manifest["metadata"]
        live = self._objects.get((resource, namespace, metadata["name"]))
        wanted_uid = metadata.get("uid")
        if wanted_uid is not None and (live is None or uid_of(live) != wanted_uid):
            raise Conflict(f"uid mismatch: the provided object specified uid {wanted_uid}")
        if live is None:
            return self._create(resource, namespace, manifest, FIELD_MANAGER)
        if metadata.get("resourceVersion") not in (None, live["metadata"]["resourceVersion"]):
            raise Conflict(f'{resource.plural} "{metadata["name"]}": the object has been modified')
        applied = {key: value for key, value in manifest.items() if key != "status" or resource in HAS_NO_STATUS}
        managed = self._managed.setdefault(uid_of(live), {})
        ours, before = fields_of(applied), managed.get(FIELD_MANAGER, frozenset())
        others: Fields = frozenset().union(*(f for m, f in managed.items() if m != FIELD_MANAGER))
        after = copied(without(merged(live, applied), before - ours - others, others | ours))
        self._check(resource, live, after)
        overridden = changed(live, after)
        for other in [other for other in managed if other != FIELD_MANAGER]:
            managed[other] -= overridden
        taken = managed.get(FIELD_MANAGER) != ours
        managed[FIELD_MANAGER] = ours
        return self._store(resource, after, is_moved=taken)

    def _check(self, resource: Resource, before: Manifest, after: Stored) -> None:
        set_defaults(resource, after)
        if (refusal := refusal_of_change(resource, before, after)) is not None:
            raise Rejected(f"{resource.kind} is invalid: {refusal}")

    def _store(self, resource: Resource, stored: Stored, is_moved: bool = False) -> Manifest:
        """`is_moved`: only the fields' managers changed, which is a new version all the same."""
        set_defaults(resource, stored)
        metadata = stored["metadata"]
        key = (resource, metadata["namespace"], metadata["name"])
        before = self._objects.get(key)
        if before is not None and before == stored and not is_moved:
            return before
        if before is not None and _body(before) != _body(stored):
            self._bump(resource, stored)
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and not _runs_as(resource, stored):
            self._drop(*key)
            return stored
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        self._objects[key] = stored
        self._tell(resource, before, stored)
        return stored

    def _drop(self, resource: Resource, namespace: str, name: str) -> None:
        gone = copied(self._objects.pop((resource, namespace, name)))
        self._managed.pop(uid_of(gone), None)
        self._version += 1
        gone["metadata"]["resourceVersion"] = str(self._version)
        if is_watched(resource, gone):
            self._emit(Change("DELETED", resource, gone))

    def _tell(self, resource: Resource, before: Manifest | None, after: Manifest) -> None:
        was, is_now = before is not None and is_watched(resource, before), is_watched(resource, after)
        if is_now:
            self._emit(Change("MODIFIED" if was else "ADDED", resource, copied(after)))
        elif was:
            self._emit(Change("DELETED", resource, copied(after)))

    def _emit(self, change: Change) -> None:
        for listener in self.listeners:
            listener(change)

    def _bump(self, resource: Resource, stored: Stored) -> None:
        if resource not in COUNTS_NO_GENERATIONS:
            stored["metadata"]["generation"] = stored["metadata"].get("generation", 0) + 1

    def _orphan(self, uid: str) -> None:
        for resource, namespace, name in list(self._objects):
            owners = self._objects[resource, namespace, name]["metadata"].get("ownerReferences", [])
            if any(owner["uid"] == uid for owner in owners):
                after = copied(self._objects[resource, namespace, name])
                after["metadata"]["ownerReferences"] = [owner for owner in owners if owner["uid"] != uid]
                self._store(resource, after)


def _body(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stored.items() if key not in ("metadata", "status")}


def _runs(pod: Manifest) -> bool:
    phase = pod.get("status", {}).get("phase")
    return bool(pod.get("spec", {}).get("nodeName")) and phase not in ("Succeeded", "Failed")


def _runs_as(resource: Resource, stored: Manifest) -> bool:
    return resource == POD and _runs(stored)


def _grace_s(pod: Manifest) -> int:
    return int(pod.get("spec", {}).get("terminationGracePeriodSeconds", 30))
