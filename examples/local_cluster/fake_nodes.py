"""Fake accelerator nodes: KWOK plays the kubelet, the stages below decide what its pods do.

A fake pod runs until a test says otherwise, by annotations on the pod (set in its template or later):

- `fake.deepseek-operator.io/hold: "true"` keeps it from starting; `…/start-after: 5s` delays the start.
- `…/exit-code: "75"` ends all its containers with that code; `…/message` becomes their termination message.
- `…/run-for: 10s` ends it after that time, with `exit-code` or 0.
- `…/sigterm-exit-code: "75"` is how it answers a deletion; 143 without it.
"""

from pathlib import Path

from examples.local_cluster import programs
from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.daemon import Daemon
from examples.local_cluster.home import Home
from examples.local_cluster.progress import wait_for

ACCELERATOR = "nvidia.com/gpu"
PER_NODE = 8
LABEL = {"type": "kwok"}
TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
PREFIX = "fake.deepseek-operator.io"
STAGES = "/apis/kwok.x-k8s.io/v1alpha1/stages"


def daemon(home: Home, client: Path) -> Daemon:
    """KWOK for the labelled nodes only: the real node keeps its kubelet."""
    flags = (
        f"--kubeconfig={client}",
        "--config=/dev/null",
        "--enable-crds=Stage",
        "--manage-all-nodes=false",
        "--manage-nodes-with-label-selector=type=kwok",
        "--node-lease-duration-seconds=40",
        f"--server-address=127.0.0.1:{home.port('kwok')}",
    )
    return Daemon("kwok", (programs.path("kwok"), *flags), inputs=(client,))


def install(api: Api) -> None:
    """Register the Stage kind and write the stages."""
    api.apply("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/stages.kwok.x-k8s.io", stage_crd())
    wait_for("Stage API", lambda: api.is_served(STAGES), timeout_s=30)
    for stage in stages():
        api.apply(f"{STAGES}/{stage['metadata']['name']}", stage)


def apply(api: Api, count: int) -> None:
    """Make fake-0 … fake-<count-1> exist; more that exist already stay."""
    for number in range(count):
        manifest = node(number)
        name = manifest["metadata"]["name"]
        api.apply(f"/api/v1/nodes/{name}", {key: manifest[key] for key in ("apiVersion", "kind", "metadata", "spec")})
        api.patch(f"/api/v1/nodes/{name}/status", {"status": manifest["status"]})


def node(number: int) -> Manifest:
    """A node of eight accelerators, in racks of four as a topology to spread over."""
    name = f"fake-{number}"
    resources = {"cpu": "96", "memory": "1Ti", "ephemeral-storage": "4Ti", "pods": "110", ACCELERATOR: str(PER_NODE)}
    labels = {
        **LABEL,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": "fake",
        "topology.deepseek-operator.io/rack": f"rack-{number // 4}",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"node.alpha.kubernetes.io/ttl": "0"}},
        "spec": {"taints": [TAINT]},
        "status": {"allocatable": resources, "capacity": resources},
    }


def stage_crd() -> Manifest:
    """The Stage kind without its schema: KWOK itself judges what a stage says."""
    names = {"kind": "Stage", "listKind": "StageList", "plural": "stages", "singular": "stage"}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "stages.kwok.x-k8s.io"},
        "spec": {"group": "kwok.x-k8s.io", "names": names, "scope": "Cluster", "versions": [version]},
    }


def stages() -> list[Manifest]:
    """What KWOK does to nodes and pods, one stage per transition."""
    living = _when(".metadata.deletionTimestamp", "DoesNotExist")
    deleted = _when(".metadata.deletionTimestamp", "Exists")
    active = _when(".status.phase", "In", "Pending", "Running")
    exits = f'.metadata.annotations["{PREFIX}/exit-code"] // .metadata.annotations["{PREFIX}/run-for"]'
    return [
        _stage(
            "node-ready",
            "Node",
            [_when('.status.conditions.[] | select( .type == "Ready" ) | .status', "NotIn", "True")],
            {"statusTemplate": NODE_READY},
        ),
        _stage(
            "pod-running",
            "Pod",
            [living, _when(".status.podIP", "DoesNotExist"), _when(_annotation("hold"), "DoesNotExist")],
            {"statusTemplate": POD_RUNNING},
            delay=_annotation("start-after"),
        ),
        _stage(
            "pod-exit",
            "Pod",
            [living, _when(".status.phase", "In", "Running"), _when(exits, "Exists")],
            {"statusTemplate": _pod_ended("exit-code", default=0)},
            delay=_annotation("run-for"),
        ),
        _stage(
            "pod-terminated",
            "Pod",
            [deleted, active, _when(".status.podIP", "Exists")],
            {"statusTemplate": _pod_ended("sigterm-exit-code", default=143)},
        ),
        _stage("pod-never-started", "Pod", [deleted, _when(".status.podIP", "DoesNotExist")], {"delete": True}),
        _stage("pod-gone", "Pod", [deleted, _when(".status.phase", "In", "Succeeded", "Failed")], {"delete": True}),
    ]


NODE_READY = """
{{ $now := Now }}
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
addresses:
- {type: Hostname, address: {{ .metadata.name | Quote }}}
nodeInfo:
  architecture: amd64
  operatingSystem: linux
  bootID: ""
  machineID: ""
  systemUUID: ""
  osImage: fake
  kernelVersion: fake
  kubeletVersion: fake
  kubeProxyVersion: fake
  containerRuntimeVersion: fake
phase: Running
"""

POD_RUNNING = """
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) \
( or .metadata.namespace "" ) | Quote }}
conditions:
- {type: PodReadyToStartContainers, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
{{ if .spec.initContainers }}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: true
  restartCount: 0
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}
{{ end }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: true
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
"""

POD_ENDED = """
{{ $now := Now }}
{{ $code := "DEFAULT" }}
{{ $message := "" }}
{{ with .metadata.annotations }}
{{ with index . "PREFIX/ANNOTATION" }}{{ $code = . }}{{ end }}
{{ with index . "PREFIX/message" }}{{ $message = . }}{{ end }}
{{ end }}
{{ $started := or .status.startTime $now }}
phase: {{ if eq $code "0" }}Succeeded{{ else }}Failed{{ end }}
conditions:
- {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now | Quote }}}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: false
  started: false
  restartCount: 0
  state:
    running: null
    terminated:
      exitCode: {{ $code }}
      reason: {{ if eq $code "0" }}Completed{{ else }}Error{{ end }}
      message: {{ $message | Quote }}
      startedAt: {{ $started | Quote }}
      finishedAt: {{ $now | Quote }}
{{ end }}
"""


def _pod_ended(annotation: str, default: int) -> str:
    return POD_ENDED.replace("DEFAULT", str(default)).replace("PREFIX", PREFIX).replace("ANNOTATION", annotation)


def _annotation(name: str) -> str:
    return f'.metadata.annotations["{PREFIX}/{name}"]'


def _when(key: str, operator: str, *values: str) -> Manifest:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def _stage(name: str, kind: str, when: list[Manifest], then: Manifest, delay: str | None = None) -> Manifest:
    wait = {"delay": {"durationMilliseconds": 0, "durationFrom": {"expressionFrom": delay}}} if delay else {}
    spec = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": when},
        **wait,
        "next": then,
    }
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": spec,
    }
