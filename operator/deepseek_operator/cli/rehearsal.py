"""`plan -f`: what the operator would do with resources in a file, on a memory cluster in which nothing else moves.

Passes are made until they settle; no pod starts, no claim binds. So it shows the first thing that happens, not the
whole life: the children that are made and the conditions that a user would read meanwhile. What the resources refer to
is taken from the file, from `--seen`, or, without that, assumed to be there, and said to be.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import yaml

from deepseek_operator.adapters.clock import SystemClock
from deepseek_operator.adapters.memory import Change, MemoryCluster
from deepseek_operator.cli.assumption import assumptions
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.look import Look
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.pulls import Pulls
from deepseek_operator.controller.reconcile import Acted, Reconciler, Reconciles
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kept import TooLarge
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.resources import Manifest, Ref, Resource
from deepseek_operator.core.seen import Unavailable

_PASSES = 50
"""More passes than any kind needs on a cluster where nothing happens; it only bounds a defect."""


@dataclass(frozen=True)
class Rehearsal:
    """What happened to one resource.

    Attributes:
        key: the resource.
        made: its children as stored, in the order in which they were first written.
        conditions: of its status in the end.
        plan: devices and layout that were found under a profile; None without one.
        assumed: what was taken to be there, in words.
        notes: what happens inside of the pods that a person might expect otherwise.
    """

    key: Key
    made: tuple[Manifest, ...]
    conditions: tuple[Mapping[str, Any], ...]
    plan: Mapping[str, Any] | None = None
    assumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


async def rehearse(
    wanted: Iterable[Manifest],
    existing: Iterable[Manifest],
    configuration: Configuration,
    kinds: Kinds,
    *,
    assume: bool = False,
) -> tuple[Rehearsal, ...]:
    """Reconciles the resources of `wanted` on a cluster that has `existing` already.

    Args:
        wanted: the resources, in the order in which they are made.
        existing: what is there before.
        configuration: the operator's.
        kinds: the kinds that there are.
        assume: what a resource refers to and neither of the two has is made up, as it would be once all is well.

    Raises:
        KeyError: an object is of a resource that the operator does not know.
        pydantic.ValidationError: a resource is not what its schema lets in.
        RuntimeError: the passes do not settle.
    """
    clock = SystemClock()
    cluster, mirror = MemoryCluster(clock, kinds), Mirror()
    cluster.listeners.append(lambda change: _feed(mirror, change))
    for manifest in existing:
        _store(cluster, manifest, kinds)
    keys = [_store(cluster, manifest, kinds) for manifest in wanted]
    drivers = _drivers(cluster, mirror, kinds, configuration)
    rehearsals = []
    for key in keys:
        assumed = _assume(cluster, kinds, key) if assume else ()
        rehearsal = await _rehearse_one(cluster, drivers, kinds, key)
        rehearsals.append(replace(rehearsal, assumed=(*assumed, *rehearsal.assumed)))
    return tuple(rehearsals)


def _assume(cluster: MemoryCluster, kinds: Kinds, key: Key) -> tuple[str, ...]:
    entry = kinds[key.resource]
    known = {kinds.ref_of(item): item for resource in entry.assumed for item in cluster.all(resource, key.namespace)}
    owner = cluster.read(key.resource, key.namespace, key.name) or {}
    made = assumptions(entry, owner, known, SystemClock().now())
    for manifest, _ in made:
        _store(cluster, manifest, kinds)
    return tuple(words for _, words in made)


def _drivers(
    cluster: MemoryCluster, mirror: Mirror, kinds: Kinds, configuration: Configuration
) -> Mapping[Resource, Reconciles]:
    clock = SystemClock()
    pulls = Pulls(_Silence(), clock, timedelta(seconds=configuration.first_progress_s))
    return {
        resource: Reconciler(kind, cluster, mirror, Look(kind, cluster, mirror, clock, pulls))
        for resource, kind in kinds.behaviours(configuration).items()
    }


async def _rehearse_one(
    cluster: MemoryCluster, drivers: Mapping[Resource, Reconciles], kinds: Kinds, key: Key
) -> Rehearsal:
    first = len(cluster.writes)
    driver = drivers[key.resource]
    for _ in range(_PASSES):
        try:
            outcome = await driver.reconcile(key)
        except TooLarge as error:
            outcome = await driver.park(key, error, SystemClock().now())
        if not isinstance(outcome, Acted):
            break
    else:
        raise RuntimeError(f"{key}: still acting after {_PASSES} passes")
    refs = dict.fromkeys(write.ref for write in cluster.writes[first:] if not write.ref.resource.is_owner)
    made = (cluster.read(ref.resource, key.namespace, ref.name) for ref in refs)
    owner = cluster.read(key.resource, key.namespace, key.name) or {}
    status = owner.get("status", {})
    conditions, plan, notes = status.get("conditions", ()), status.get("plan"), kinds[key.resource].notes(owner)
    children = tuple(item for item in made if item is not None)
    return Rehearsal(key, children, tuple(conditions), plan, tuple(_apis(refs)), notes)


def _apis(refs: Iterable[Ref]) -> Iterator[str]:
    """A file doesn't tell which APIs a cluster has; what is made of one that not every cluster has shows that it is needed."""
    for resource in sorted({ref.resource for ref in refs if ref.resource.is_optional}):
        yield f"{resource.plural} of {resource.api_version} are served (else install {resource.installed_by})"


def _store(cluster: MemoryCluster, manifest: Manifest, kinds: Kinds) -> Key:
    namespace = manifest["metadata"].get("namespace", "default")
    stored = cluster.put({**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}})
    ref = kinds.ref_of(stored)
    status = manifest.get("status")
    if status is not None:
        cluster.edit(ref.resource, namespace, ref.name, lambda live: live.update(status=status))
    return Key(ref.resource, namespace, ref.name)


def _feed(mirror: Mirror, change: Change) -> None:
    (mirror.forget if change.type == "DELETED" else mirror.observe)(change.resource, change.manifest)


class _Silence:
    async def pull(self, pod: Manifest) -> Unavailable:
        return Unavailable("a rehearsal asks nobody")


def told(rehearsals: Sequence[Rehearsal]) -> str:
    """For people: conditions as comments, then the children as YAML documents."""
    return "".join(part for rehearsal in rehearsals for part in _told(rehearsal))


def _told(rehearsal: Rehearsal) -> Iterator[str]:
    yield f"# {rehearsal.key}\n"
    yield from (f"#   assumed: {line}\n" for line in rehearsal.assumed)
    yield from (f"#   note: {line}\n" for line in rehearsal.notes)
    for condition in rehearsal.conditions:
        line = f"{condition['type']}={condition['status']} ({condition['reason']}) {condition.get('message', '')}"
        yield f"#   {line.rstrip()}\n"
    if rehearsal.plan is not None and not rehearsal.plan.get("refused"):
        yield from _sizing(rehearsal.plan)
    yield f"# it would make {len(rehearsal.made)} objects\n"
    for manifest in rehearsal.made:
        yield "---\n" + yaml.safe_dump(as_written(manifest), sort_keys=False, width=120)


def _sizing(plan: Mapping[str, Any]) -> Iterator[str]:
    shape = f"{plan['nodes']} × {plan['perNode']} {plan['profile']}"
    memory = plan.get("memory")
    held = f", {memory['needed']} of {memory['available']} on the fullest device" if memory else ""
    count = f"{plan['gpus']} device{'s' if plan['gpus'] != 1 else ''}"
    yield f"# plan: {count} ({shape}){', ' if plan.get('layout') else ''}{plan.get('layout', '')}{held}\n"
    if "checkpointBytes" in plan:
        yield f"#   one checkpoint: {plan['checkpointBytes'] / 10**9:,.1f} GB\n"
    yield from (f"#   {line}\n" for line in (*plan["reason"].split("; "), *plan.get("warnings", ())))


_SERVERS_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "finalizers", "managedFields")


def as_written(manifest: Manifest) -> dict[str, Any]:
    """The object as a person would write it, without what the server adds."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SERVERS_OWN}
    body = {key: value for key, value in manifest.items() if key not in ("metadata", "status", "apiVersion", "kind")}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata, **body}
