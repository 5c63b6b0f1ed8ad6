"""What tenants, strangers, nodes and administrators do. Each act is drawn, done, and told in a sentence.

An act that finds nothing to act on says None, and another is drawn. Whoever takes replicas of a serving away on purpose
tells the witness, and whoever forges a status tells the bed that nothing follows from it any more.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import MANAGED_BY, OWNER_UID, owner_label
from examples.local_cluster.api import ApiError, Manifest
from tests.campaign.bed import OWNERS, TENANTS, Bed
from tests.campaign.drawn import good_specs, mutated, schema_of, value
from tests.support.canonical import COLLECTIONS
from tests.support.our_kinds import DEFINITIONS

Act = Callable[[Bed, Random], str | None]

NAMES = {"DeepSeekTraining": ("a", "b", "elder"), "DeepSeekServing": ("x", "y")}
STEADY = "steady"
"""The serving that is released again and again; whatever else happens to it is drawn as for any."""
MOST_PODS = 3
"""Pods of a gang or replicas that are asked for at most: the nodes are made up, the machine is not."""
POLICIES = ("Background", "Background", "Foreground", "Orphan")
CHILDREN = tuple(kind for kind in COLLECTIONS if kind not in (*OWNERS, "Pod", "ReplicaSet"))
DERIVED = ("conditions", "phase", "summary", "observedGeneration", "readyReplicas", "url", "selector", "replicas")
"""Fields of a status that only say what was seen; whatever somebody writes there is corrected."""
API_VERSION = "deepseek-operator.io/v1alpha1"


def _deep() -> dict[str, Any]:
    nested: Any = 1
    for _ in range(600):
        nested = {"a": nested}
    return {**good_specs("DeepSeekTraining")[0], "model": {"custom": nested}}


def _large() -> dict[str, Any]:
    return {**good_specs("DeepSeekTraining")[0], "model": {"custom": {f"key-{n}": "y" * 9000 for n in range(100)}}}


def _dear() -> dict[str, Any]:
    spec = good_specs("DeepSeekTraining")[0]
    hyper = {**spec["hyperparameters"], "sequenceLength": 720720, "microBatchSize": 65536, "globalBatchSize": 65536}
    model, accelerator = {"name": "deepseek-r1"}, {"profile": "nvidia-h100-80"}
    return {**spec, "model": model, "accelerator": accelerator, "hyperparameters": hyper}


POISONS = (_deep, _large, _dear)

# --- the owner of a resource ----------------------------------------------------------------------------------------


def create(bed: Bed, random: Random) -> str | None:
    """A tenant creates a resource of a name that is free."""
    kind, tenant = random.choice(OWNERS), random.choice(TENANTS)
    taken = {item["metadata"]["name"] for item in bed.items(kind, tenant)}
    free = [name for name in NAMES[kind] if name not in taken]
    return _made(bed, kind, tenant, random.choice(free), _drawn_spec(random, kind)) if free else None


def edit(bed: Bed, random: Random) -> str | None:
    """The spec becomes another one, or one place of it changes."""
    item = _some_owner(bed, random)
    if item is None:
        return None
    kind = item["kind"]
    drawn = _drawn_spec(random, kind)
    changed = _bounded(mutated(random, item["spec"], schema_of(kind, "spec")))
    return f"edit {_named(item)}: {_put(bed, item, random.choice((drawn, changed)))}"


def poison(bed: Bed, random: Random) -> str | None:
    """A training that is deep, large, or dear to size; it must harm nobody else."""
    tenant = random.choice(TENANTS)
    if any(item["metadata"]["name"] == "poison" for item in bed.items("DeepSeekTraining", tenant)):
        return None
    return _made(bed, "DeepSeekTraining", tenant, "poison", random.choice(POISONS)())


def roll_back(bed: Bed, random: Random) -> str | None:
    """The spec becomes an earlier one of this name again."""
    item = _some_owner(bed, random)
    earlier = bed.accepted.get(_key(item), ()) if item is not None else ()
    return f"roll {_named(item)} back: {_put(bed, item, random.choice(earlier))}" if item and earlier else None


def suspend_or_resume(bed: Bed, random: Random) -> str | None:
    """suspend becomes what it was not."""
    item = _some_owner(bed, random)
    if item is None:
        return None
    wanted = not item["spec"].get("suspend", False)
    return f"suspend {wanted} of {_named(item)}: {_put(bed, item, {**item['spec'], 'suspend': wanted})}"


def release(bed: Bed, random: Random) -> str | None:
    """A plain serving is made, or gets another release: its replicas are replaced one after the other. What is drawn hardly
    ever comes to that, for it waits for claims, routes or models."""
    tenant, number = TENANTS[0], str(random.randint(1, 99))
    spec: dict[str, Any] = {
        "model": {"source": {"uri": "pvc://models/v2"}},
        "engine": {"env": [{"name": "RELEASE", "value": number}]},
    }
    items = bed.items("DeepSeekServing", tenant)
    item = next((item for item in items if item["metadata"]["name"] == STEADY), None)
    if item is not None:
        return f"release {number}: {_named(item)} becomes {_put(bed, item, spec)}"
    return f"release {number}: {_made(bed, 'DeepSeekServing', tenant, STEADY, spec)}"


def scale(bed: Bed, random: Random) -> str | None:
    """replicas change, as `kubectl scale` does it."""
    item = _some_owner(bed, random, "DeepSeekServing")
    if item is None:
        return None
    replicas = random.randint(0, MOST_PODS)
    bed.witness.lower(item["metadata"]["uid"], replicas)
    bed.api.patch(f"{_path(bed, item)}/scale", {"spec": {"replicas": replicas}})
    return f"scale {_named(item)} to {replicas}"


def delete(bed: Bed, random: Random) -> str | None:
    """The resource is deleted, by any policy."""
    item = _some_owner(bed, random)
    return _delete(bed, random, item) if item is not None else None


def recreate(bed: Bed, random: Random) -> str | None:
    """The resource is deleted and made again at once."""
    item = _some_owner(bed, random)
    if item is None:
        return None
    said = _delete(bed, random, item)
    metadata, spec = item["metadata"], _drawn_spec(random, item["kind"])
    return f"{said}, then {_made(bed, item['kind'], metadata['namespace'], metadata['name'], spec)}"


def _delete(bed: Bed, random: Random, item: Manifest) -> str:
    policy, uid = random.choice(POLICIES), item["metadata"]["uid"]
    bed.witness.lower(uid)
    if policy == "Orphan":
        bed.orphaned.add(uid)
    bed.api.delete(_path(bed, item), policy)
    return f"delete {_named(item)} ({policy})"


# --- strangers ------------------------------------------------------------------------------------------------------


def delete_child(bed: Bed, random: Random) -> str | None:
    """A child is deleted."""
    child = _some_child(bed, random)
    if child is None:
        return None
    _touch(bed, child)
    policy = random.choice(POLICIES[:3])
    bed.api.delete(_path(bed, child), policy)
    return f"delete child {_named(child)} ({policy})"


def edit_child(bed: Bed, random: Random) -> str | None:
    """A child says something else."""
    child = _some_child(bed, random)
    change = _meddling(random, child) if child is not None else None
    if child is None or change is None:
        return None
    _touch(bed, child)
    return f"edit child {_named(child)} by {json.dumps(change)}: {_patched(bed, child, change)}"


def take_labels(bed: Bed, random: Random) -> str | None:
    """A child or a pod loses labels, or they name somebody else."""
    child = _some_child(bed, random, ("Pod", *CHILDREN))
    if child is None:
        return None
    _touch(bed, child)
    bed.disowned.add(child["metadata"]["uid"])
    label = random.choice((OWNER_UID, OWNER_UID, MANAGED_BY, None))
    labels: Any = {label: random.choice((None, None, "00000000-0000-4000-8000-000000000000"))} if label else None
    return f"labels of {_named(child)} become {labels}: {_patched(bed, child, {'metadata': {'labels': labels}})}"


def take_owner(bed: Bed, random: Random) -> str | None:
    """A child loses its ownerReferences."""
    child = _some_child(bed, random)
    if child is None or not child["metadata"].get("ownerReferences"):
        return None
    _touch(bed, child)
    bed.disowned.add(child["metadata"]["uid"])
    return f"ownerReferences of {_named(child)} go: {_patched(bed, child, {'metadata': {'ownerReferences': None}})}"


def wipe_status(bed: Bed, random: Random) -> str | None:
    """The whole status goes, or a part that can be seen again."""
    item = _some_owner(bed, random)
    if item is None:
        return None
    bed.witness.lower(item["metadata"]["uid"])
    whole = random.random() < 0.5
    parts = random.sample(DERIVED[:3], 2)
    said = _patched(bed, item, {"status": None if whole else dict.fromkeys(parts)}, "/status")
    return f"status of {_named(item)} is wiped ({'whole' if whole else parts}): {said}"


def correct_me(bed: Bed, random: Random) -> str | None:
    """What a status says of what is seen becomes wrong."""
    item = _some_owner(bed, random)
    if item is None:
        return None
    properties = schema_of(item["kind"], "status")["properties"]
    name = random.choice([name for name in DERIVED if name in properties])
    bed.witness.lower(item["metadata"]["uid"])
    said = _patched(bed, item, {"status": {name: value(random, properties[name])}}, "/status")
    return f"status.{name} of {_named(item)} lies: {said}"


def lie(bed: Bed, random: Random) -> str | None:
    """Any part of a status is forged, records too."""
    item = _some_owner(bed, random)
    if item is None:
        return None
    bed.lied.add(item["metadata"]["uid"])
    bed.witness.lower(item["metadata"]["uid"])
    status = mutated(random, item.get("status", {}), schema_of(item["kind"], "status"))
    forged = {**dict.fromkeys(item.get("status", {})), **status}
    return f"status of {_named(item)} is forged: {_patched(bed, item, {'status': forged}, '/status')}"


# --- nodes ----------------------------------------------------------------------------------------------------------


def end_a_pod(bed: Bed, random: Random) -> str | None:
    """A container ends."""
    pod = _some_pod(bed, random, training=None)
    if pod is None:
        return None
    code = random.choice((1, 1, 75, 76, 137, 143, 0))
    message = _report(random, "Crash") if random.random() < 0.7 else random.choice(("", "boom", "{", "\x00é"))
    bed.nodes[pod["metadata"]["namespace"]].end(pod, code, message)
    return f"pod {_named(pod)} exits with {code}"


def finish(bed: Bed, random: Random) -> str | None:
    """Every worker of a training succeeds."""
    pod = _some_pod(bed, random, training=True)
    if pod is None:
        return None
    job = pod["metadata"]["labels"].get("batch.kubernetes.io/job-name", "")
    node = bed.nodes[pod["metadata"]["namespace"]]
    for worker in node.pods(f"batch.kubernetes.io/job-name={job}"):
        node.end(worker, 0, _report(random, "Complete"))
    return f"all workers of {pod['metadata']['namespace']}/{job} succeed"


def evict(bed: Bed, random: Random) -> str | None:
    """A pod is told to go, and goes at once or only after a while."""
    pod = _some_pod(bed, random, training=None)
    if pod is None:
        return None
    node = bed.nodes[pod["metadata"]["namespace"]]
    node.lingers = random.random() < 0.3
    node.evict(pod)
    return f"evict {_named(pod)}{', which lingers' if node.lingers else ''}"


def vanish(bed: Bed, random: Random) -> str | None:
    """A pod is deleted by force, or as anybody deletes one."""
    pod = _some_pod(bed, random, training=None)
    if pod is None:
        return None
    grace = random.choice((0, None))
    bed.api.delete(_path(bed, pod), grace_s=grace)
    return f"delete pod {_named(pod)}{' by force' if grace == 0 else ''}"


# --- administrators -------------------------------------------------------------------------------------------------


def delete_namespace(bed: Bed, random: Random) -> str:
    """A tenant's namespace goes; it is founded again before the next judgement."""
    tenant = random.choice(TENANTS)
    bed.witness.trust({})
    bed.api.delete(f"/api/v1/namespaces/{tenant}")
    return f"delete namespace {tenant}"


def delete_definition(bed: Bed, random: Random) -> str:
    """A definition goes, and with it all resources of that kind; it comes back at once or before the next judgement."""
    plural = random.choice(("deepseektrainings", "deepseekservings"))
    bed.witness.trust({})
    bed.api.delete(f"{DEFINITIONS}/{plural}.deepseek-operator.io")
    if random.random() < 0.5:
        bed.restore()
        return f"delete definition of {plural}, and bring it back"
    return f"delete definition of {plural}"


ACTS: tuple[tuple[int, Act], ...] = (
    (20, create),
    (14, edit),
    (2, poison),
    (6, roll_back),
    (6, suspend_or_resume),
    (4, scale),
    (6, delete),
    (4, recreate),
    (6, delete_child),
    (6, edit_child),
    (4, take_labels),
    (4, take_owner),
    (4, wipe_status),
    (3, correct_me),
    (2, lie),
    (5, end_a_pod),
    (2, finish),
    (4, evict),
    (3, vanish),
    (1, delete_namespace),
    (1, delete_definition),
    (14, release),
)


# --- how ------------------------------------------------------------------------------------------------------------


def _drawn_spec(random: Random, kind: str) -> dict[str, Any]:
    good = random.choice(good_specs(kind))
    way = random.random()
    if way < 0.6:
        return _bounded(good)
    schema = schema_of(kind, "spec")
    return _bounded(mutated(random, good, schema) if way < 0.85 else value(random, schema))


def _bounded(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec with no more pods than this machine bears."""
    spec = deepcopy(spec)
    for path in (("nodes", "count"), ("replicas",), ("autoscaling", "minReplicas")):
        *parents, last = path
        part: Any = spec
        for key in parents:
            part = part.get(key) if isinstance(part, dict) else None
        if isinstance(part, dict) and isinstance(part.get(last), int) and part[last] > MOST_PODS:
            part[last] = MOST_PODS
    return spec


def _made(bed: Bed, kind: str, tenant: str, name: str, spec: dict[str, Any]) -> str:
    manifest = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    return f"create {kind} {tenant}/{name}: {_sent(bed, kind, tenant, name, manifest, bed.api.create)}"


def _put(bed: Bed, item: Manifest, spec: Manifest) -> str:
    # As this client read it: an edit of what has changed since is refused, as a person's would be.
    manifest = {key: part for key, part in {**item, "spec": spec}.items() if key != "status"}
    uid = item["metadata"]["uid"]
    replicas = spec.get("replicas", 1)
    gives_up = spec.get("suspend") or spec.get("autoscaling") or spec.get("rollout", {}).get("strategy") == "Recreate"
    bed.witness.lower(uid, 0 if gives_up or not isinstance(replicas, int) else replicas)
    path = _path(bed, item)
    metadata = item["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    return _sent(bed, item["kind"], namespace, name, manifest, lambda _, body: bed.api.replace(path, body))


def _sent(
    bed: Bed, kind: str, namespace: str, name: str, manifest: Manifest, send: Callable[[str, Manifest], Manifest]
) -> str:
    try:
        stored = send(bed.path(kind, namespace), manifest)
    except ApiError as error:
        if error.code >= 500:
            raise
        return f"refused: {str(error)[:160]}"
    bed.accepted.setdefault((kind, namespace, name), []).append(stored["spec"])
    return json.dumps(manifest["spec"])[:300]


def _patched(bed: Bed, item: Manifest, change: Manifest, part: str = "") -> str:
    try:
        bed.api.patch(f"{_path(bed, item)}{part}", change)
    except ApiError as error:
        if error.code >= 500:
            raise
        return f"refused: {str(error)[:160]}"
    return "done"


def _touch(bed: Bed, child: Manifest) -> None:
    """A serving loses what may carry its replicas."""
    if child["kind"] in ("Deployment", "ControllerRevision", "Pod"):
        uid = (child["metadata"].get("labels") or {}).get(OWNER_UID, "")
        bed.witness.lower(uid)


def _meddling(random: Random, child: Manifest) -> Manifest | None:
    match child["kind"]:
        case "Deployment":
            container = child["spec"]["template"]["spec"]["containers"][0]["name"]
            template = {"spec": {"containers": [{"name": container, "image": "stranger:1"}]}}
            return random.choice(({"spec": {"replicas": random.randint(0, 4)}}, {"spec": {"template": template}}))
        case "Service":
            return random.choice(
                ({"spec": {"selector": {"app": "stranger"}}}, {"spec": {"publishNotReadyAddresses": None}})
            )
        case "HorizontalPodAutoscaler":
            return {"spec": {"maxReplicas": random.randint(1, 5)}}
        case "NetworkPolicy":
            return {"spec": {"ingress": [{}]}}
        case "PodDisruptionBudget":
            return {"spec": {"maxUnavailable": None, "minAvailable": 0}}
        case "Job":
            change = (
                {"spec": {"suspend": True}},
                {"spec": {"suspend": False}},
                {"spec": {"activeDeadlineSeconds": 86400}},
            )
            return random.choice(change)
        case "PersistentVolumeClaim":
            return {"metadata": {"annotations": None}}
        case _:
            return None


def _report(random: Random, result: str) -> str:
    """The last words of a trainer."""
    step = random.randint(1, 10**6)
    told = {"formatVersion": 1, "result": result, "step": step, "exports": [step], "latest": {"step": step}}
    return json.dumps(told)


def _some_owner(bed: Bed, random: Random, *kinds: str) -> Manifest | None:
    found = [item for kind in kinds or OWNERS for tenant in TENANTS for item in bed.items(kind, tenant)]
    return random.choice(found) if found else None


def _some_child(bed: Bed, random: Random, kinds: tuple[str, ...] = CHILDREN) -> Manifest | None:
    tenant = random.choice(TENANTS)
    for kind in random.sample(kinds, len(kinds)):
        found = [
            item
            for item in bed.items(kind, tenant)
            if OWNER_UID in {**(item["metadata"].get("labels") or {}), **(item["metadata"].get("annotations") or {})}
        ]
        if found:
            return random.choice(found)
    return None


def _some_pod(bed: Bed, random: Random, *, training: bool | None) -> Manifest | None:
    tenant = random.choice(TENANTS)
    pods = [
        pod
        for pod in bed.items("Pod", tenant)
        if pod["status"].get("phase") == "Running"
        and (training is None or (owner_label(TRAINING) in (pod["metadata"].get("labels") or {})) is training)
    ]
    if not pods:
        return None
    pod = random.choice(pods)
    bed.witness.lower(bed.witness.owner_of(pod))
    return pod


def _path(bed: Bed, item: Manifest) -> str:
    return bed.path(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])


def _key(item: Manifest) -> tuple[str, str, str]:
    return item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]


def _named(item: Manifest) -> str:
    return f"{item['kind']} {item['metadata']['namespace']}/{item['metadata']['name']}"
