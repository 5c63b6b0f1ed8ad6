"""The operator's rights against the audit log: every granted verb is used, nothing is refused, and no Secret is read.

A control plane of its own, so that the operator may watch all namespaces under the chart's ClusterRole; a user leads
both kinds through whatever makes the operator use a right.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from deepseek_operator.core.names import OWNER_UID
from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.gateway_api import COLLECTIONS as GATEWAYS
from tests.support.gateway_api import dialect, install, standard
from tests.support.gateways import PUBLIC
from tests.support.keda_api import SCALED_OBJECTS, scaled_objects
from tests.support.kubectl import until
from tests.support.leader_worker_sets import COLLECTION as SETS
from tests.support.leader_worker_sets import definitions
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess, rendered_rights
from tests.support.our_kinds import serving_our_kinds

pytestmark = pytest.mark.timeout(240)
TEAM, SYSTEM = "team", "operator-system"
LIMIT_S = 60.0
MODELS_KEPT = 3
GATE = {"GATE_SERVICE": "gates/gate", "GATE_NAMESPACES": TEAM, "WANTED_URL": "http://operator:8082", "WANTED_PORT": "0"}

Right: TypeAlias = tuple[str, str, str]
"""Group, resource with its subresource, verb."""

ELSEWHERE: set[Right] = {
    ("coordination.k8s.io", "leases", "patch"),
    ("coordination.k8s.io", "leases", "delete"),
    ("policy", "poddisruptionbudgets", "delete"),
}
"""Of a serving that may sleep (test_zero.py) and of an answer cache (test_cache.py), which use them there."""


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """An API server with controllers; a parameter names admission plug-ins beside the usual ones."""
    admission = getattr(request, "param", ())
    serving = contextmanager(serving_our_kinds)
    with serving(tmp_path / "cluster", frozenset({"controller-manager"}), admission) as cluster:
        for name in (TEAM, SYSTEM):
            cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        wait_for_account(cluster.api, TEAM)
        yield cluster


@dataclass(frozen=True)
class User:
    """A tenant with one resource `x` of each kind."""

    api: Api

    def path(self, kind: str, name: str = "x") -> str:
        return f"{COLLECTIONS[kind].format(TEAM)}/{name}"

    def items(self, kind: str) -> list[Manifest]:
        found: list[Manifest] = self.api.get(COLLECTIONS[kind].format(TEAM))["items"]
        return found

    def create(self, kind: str, spec: Mapping[str, Any], name: str = "x") -> None:
        version = "deepseek-operator.io/v1alpha1" if kind.startswith("DeepSeek") else "v1"
        manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}
        self.api.create(COLLECTIONS[kind].format(TEAM), manifest)

    def edit(self, kind: str, **spec: Any) -> None:
        self.api.patch(self.path(kind), {"spec": spec})

    def reaches(self, kind: str, phase: str, **more: Any) -> None:
        def reached() -> bool:
            resource = self.api.get(self.path(kind))
            status = resource.get("status", {})
            seen = {key: status.get(key, type(value)()) for key, value in more.items()}  # what is empty isn't written
            is_current = status.get("observedGeneration") == resource["metadata"]["generation"]
            return is_current and status.get("phase") == phase and seen == more

        until(f"{kind} is {phase} {more or ''}", reached, timeout_s=LIMIT_S, every_s=0.2)

    def unmarks(self, kind: str) -> None:
        """Takes the owner's label off the first object of a kind, and waits until it is back."""
        path = self.path(kind, self.items(kind)[0]["metadata"]["name"])
        self.api.patch(path, {"metadata": {"labels": {OWNER_UID: None}}})
        until(
            f"the label is back on {path}",
            lambda: OWNER_UID in self.api.get(path)["metadata"]["labels"],
            timeout_s=LIMIT_S,
            every_s=0.2,
        )

    def tells(self, kind: str, reason: str) -> None:
        def told() -> bool:
            conditions = self.api.get(self.path(kind)).get("status", {}).get("conditions", [])
            return reason in [condition["reason"] for condition in conditions]

        until(f"{kind} tells {reason}", told, timeout_s=LIMIT_S, every_s=0.2)

    def has(self, kind: str, count: int) -> None:
        until(f"{count} of {kind}", lambda: len(self.items(kind)) == count, timeout_s=LIMIT_S, every_s=0.2)


def _lead_a_training(user: User, operator: OperatorProcess) -> None:
    spec = {
        "model": {"custom": {"model_type": "deepseek_v3"}},
        "datasets": [{"source": {"uri": "builtin://uppercase"}}],
        "hyperparameters": {"maxSteps": 100},
        "nodes": {"count": 2},
    }
    # A quota that no pod of it meets: why none comes is read in the events of its Job.
    quota = f"/api/v1/namespaces/{TEAM}/resourcequotas"
    user.api.create(quota, {"metadata": {"name": "none"}, "spec": {"hard": {"limits.cpu": "1"}}})
    until("the quota counts", lambda: user.api.get(f"{quota}/none").get("status", {}).get("used"), timeout_s=LIMIT_S)
    user.create("DeepSeekTraining", spec)
    user.tells("DeepSeekTraining", "WaitingForQuota")
    user.api.delete(f"{quota}/none")
    user.edit("DeepSeekTraining", trainer={"resources": {"memory": "1Gi"}})
    user.reaches("DeepSeekTraining", "Running")
    user.unmarks("Job")
    # A plain DELETE of a Job may leave its pods running: the operator ends them.
    (job,) = user.items("Job")
    user.api.delete(user.path("Job", job["metadata"]["name"]), policy="Orphan")
    user.reaches("DeepSeekTraining", "Running", disruptions=1)
    # Its watch of pods falls silent: what it should have told is found by the audit, and read one by one.
    operator.proxy.deaf_to.add("pods")
    operator.kill()
    for _ in range(2):
        user.edit("DeepSeekTraining", suspend=True)
        user.reaches("DeepSeekTraining", "Suspended")
        user.edit("DeepSeekTraining", suspend=False)
        user.reaches("DeepSeekTraining", "Running")
    user.edit("DeepSeekTraining", checkpoints={"onDelete": "Delete"})
    (claim,) = (c for c in user.items("PersistentVolumeClaim") if c["metadata"]["name"] != "models")
    name = claim["metadata"]["name"]
    until(
        "the claim has an owner",
        lambda: user.api.get(user.path("PersistentVolumeClaim", name))["metadata"].get("ownerReferences"),
        timeout_s=LIMIT_S,
    )
    user.api.delete(user.path("DeepSeekTraining"))


def _lead_a_serving(user: User) -> None:
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    user.create("PersistentVolumeClaim", claim, "models")
    optional = (
        "httproutes.",
        "grpcroutes.",
        "backendtrafficpolicies.",
        "securitypolicies.",
        "httproutefilters.",
        "leaderworkersets.",
    )
    all_of_them = (*standard(), *dialect(), *definitions())
    install(user.api, [one for one in all_of_them if one["metadata"]["name"].startswith(optional)])
    kept, model = {"keepRevisions": MODELS_KEPT}, {"source": {"uri": "pvc://models/v0"}}
    user.create("DeepSeekServing", {"model": model, "rollout": kept, "gateway": PUBLIC})
    user.reaches("DeepSeekServing", "Available")
    for number in range(1, MODELS_KEPT + 2):
        user.edit("DeepSeekServing", model={"source": {"uri": f"pvc://models/v{number}"}})
        user.reaches("DeepSeekServing", "Available", previous=None)
        user.has("Deployment", 1)
    user.has("ControllerRevision", MODELS_KEPT)
    user.unmarks("ControllerRevision")
    _change_the_gateway(user)
    _span_nodes(user)
    user.edit("DeepSeekServing", autoscaling={"maxReplicas": 3, "signals": [{"type": "InFlight", "target": 4}]})
    user.has("HorizontalPodAutoscaler", 1)
    user.edit("DeepSeekServing", autoscaling={"maxReplicas": 4})
    until(
        "the autoscaler follows",
        lambda: user.items("HorizontalPodAutoscaler")[0]["spec"]["maxReplicas"] == 4,
        timeout_s=LIMIT_S,
    )
    _change_to_keda(user)
    user.edit("DeepSeekServing", autoscaling=None)
    user.has("HorizontalPodAutoscaler", 0)
    user.api.delete(user.path("DeepSeekServing"))


def _span_nodes(user: User) -> None:
    """A version over two nodes is made, changed and given up for one of one node; nothing keeps its groups alive here."""
    part = "app.kubernetes.io/part-of"

    def sets() -> list[Manifest]:
        items: list[Manifest] = user.api.get(SETS.format(TEAM))["items"]
        return items

    engine = {"type": "custom", "image": "ours:1"}
    user.edit("DeepSeekServing", nodes={"count": 2}, engine=engine)
    until("there is a set", sets, timeout_s=LIMIT_S)
    user.api.patch(user.path("DeepSeekServing"), {"metadata": {"labels": {part: "chat"}}})
    until("it follows", lambda: sets()[0]["metadata"]["labels"].get(part) == "chat", timeout_s=LIMIT_S)
    user.edit("DeepSeekServing", nodes=None, engine=None)
    user.reaches("DeepSeekServing", "Available")
    until("there is none", lambda: not sets(), timeout_s=LIMIT_S)


def _change_to_keda(user: User) -> None:
    """What KEDA is given is made, changed and taken away."""

    def scaled() -> list[Manifest]:
        items: list[Manifest] = user.api.get(SCALED_OBJECTS.format(TEAM))["items"]
        return items

    install(user.api, scaled_objects())
    user.edit("DeepSeekServing", autoscaling={"backend": "KEDA"})
    until("a ScaledObject", scaled, timeout_s=LIMIT_S)
    user.edit("DeepSeekServing", autoscaling={"maxReplicas": 5})
    until("it follows", lambda: scaled()[0]["spec"]["maxReplicaCount"] == 5, timeout_s=LIMIT_S)
    user.edit("DeepSeekServing", autoscaling={"backend": "HPA"})
    until("none", lambda: not scaled(), timeout_s=LIMIT_S)
    user.has("HorizontalPodAutoscaler", 1)


def _change_the_gateway(user: User) -> None:
    """The route and its policy are changed, and go."""

    def found(kind: str) -> list[Manifest]:
        items: list[Manifest] = user.api.get(GATEWAYS[kind].format(TEAM))["items"]
        return items

    until("there are both", lambda: found("HTTPRoute") and found("BackendTrafficPolicy"), timeout_s=LIMIT_S)
    user.edit("DeepSeekServing", gateway={"hostnames": ["chat.example.com"], "timeouts": {"streamIdleSeconds": 60}})
    until("a host name", lambda: found("HTTPRoute")[0]["spec"].get("hostnames"), timeout_s=LIMIT_S)
    quiet = "60s"
    until(
        "another time",
        lambda: found("BackendTrafficPolicy")[0]["spec"]["timeout"]["http"]["streamIdleTimeout"] == quiet,
        timeout_s=LIMIT_S,
    )
    _judge_requests(user, found)
    _let_grpc_in(user, found)
    user.edit("DeepSeekServing", engine={"apiKey": {"name": "chat-key", "key": "key"}})
    until("its key is shown", lambda: found("HTTPRouteFilter"), timeout_s=LIMIT_S)
    user.edit("DeepSeekServing", gateway=None)
    kinds = ("HTTPRoute", "GRPCRoute", "BackendTrafficPolicy", "SecurityPolicy", "HTTPRouteFilter")
    until("none is left", lambda: not [one for kind in kinds for one in found(kind)], timeout_s=LIMIT_S)


def _judge_requests(user: User, found: Callable[[str], list[Manifest]]) -> None:
    """The policy that judges, and what the gate knows, are made and changed."""

    def models() -> str:
        items = user.api.get(f"/api/v1/namespaces/{TEAM}/configmaps")["items"]
        return "".join(item["data"].get("models.json", "") for item in items)

    user.edit("DeepSeekServing", gateway={"auth": {"apiKeys": True}})
    until("it is judged", lambda: found("SecurityPolicy") and '"ways": "keys"' in models(), timeout_s=LIMIT_S)
    jwt = {"issuer": "https://login.example.com", "audiences": ["a"], "jwks": {"configMapName": "keys"}}
    user.edit("DeepSeekServing", gateway={"auth": {"jwt": jwt}})
    until("otherwise", lambda: "jwt" in found("SecurityPolicy")[0]["spec"] and '"any.' in models(), timeout_s=LIMIT_S)


def _let_grpc_in(user: User, found: Callable[[str], list[Manifest]]) -> None:
    """Of an engine that answers it, which no node here has a place for: the route is made, changed and taken away."""
    model, engine = {"name": "deepseek-r1-distill-llama-70b"}, {"type": "triton"}
    user.edit(
        "DeepSeekServing", model=model, engine=engine, accelerator={"profile": "nvidia-h200-141"}, gateway={"grpc": {}}
    )
    until("a route for gRPC", lambda: found("GRPCRoute"), timeout_s=LIMIT_S)
    user.edit("DeepSeekServing", gateway={"grpc": {"hostnames": ["grpc.example.com"]}})
    own = ["grpc.example.com"]
    until("its host name", lambda: found("GRPCRoute")[0]["spec"].get("hostnames") == own, timeout_s=LIMIT_S)
    user.edit("DeepSeekServing", model={"name": None}, engine=None, accelerator=None, gateway={"grpc": None})
    until("none is left", lambda: not found("GRPCRoute"), timeout_s=LIMIT_S)
    user.reaches("DeepSeekServing", "Available")


def test_every_right_is_used_and_none_is_missing(cluster: Cluster, tmp_path: Path) -> None:
    user = User(cluster.api)
    environment = {"EXTERNAL_METRICS": "true", "AUDIT_INTERVAL_SECONDS": "2", **GATE}
    operator = OperatorProcess(cluster, tmp_path, SYSTEM, None, environment)
    with FakeNode(cluster.api, TEAM, "node"), operator:
        _lead_a_serving(user)
        _lead_a_training(user, operator)
        user.has("Job", 0)
    used, refused = _audited(cluster, f"system:serviceaccount:{SYSTEM}:{SYSTEM}")
    assert refused == set()
    assert not {right for right in used if right[1].startswith("secrets")}
    granted = set(_granted(rendered_rights(SYSTEM, None)))
    assert {right for right in used if right[1] != "configmaps"} - granted == set(), "used, but not by this grant"
    assert granted - used - ELSEWHERE == set(), "granted and never used"


@pytest.mark.parametrize("cluster", [("OwnerReferencesPermissionEnforcement",)], indirect=True)
def test_no_right_is_missing_where_a_cluster_protects_owner_references(cluster: Cluster, tmp_path: Path) -> None:
    """OpenShift has that plug-in; the chart's value for it grants what it asks for."""
    user = User(cluster.api)
    values = ("rbac.ownerReferencesPermissionEnforcement=true",)
    operator = OperatorProcess(cluster, tmp_path, SYSTEM, None, {"AUDIT_INTERVAL_SECONDS": "2", **GATE}, values)
    with FakeNode(cluster.api, TEAM, "node"), operator:
        _lead_a_serving(user)
        _lead_a_training(user, operator)
        user.has("Job", 0)
    _, refused = _audited(cluster, f"system:serviceaccount:{SYSTEM}:{SYSTEM}")
    assert refused == set()


def _granted(manifests: list[Manifest]) -> Iterator[Right]:
    for manifest in manifests:
        for rule in manifest.get("rules", []):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    yield from ((group, resource, verb) for verb in rule["verbs"])


def _audited(cluster: Cluster, user: str) -> tuple[set[Right], set[Right]]:
    """What the user asked for and got, and what was forbidden. Applying what is not there needs `create` too."""
    used: set[Right] = set()
    refused: set[Right] = set()
    for line in cluster.audit_log.read_text().splitlines():
        event = json.loads(line)
        place = event.get("objectRef")
        if event["user"]["username"] != user or place is None:
            continue
        code = event.get("responseStatus", {}).get("code")
        resource = "/".join(filter(None, (place["resource"], place.get("subresource"))))
        right = (place.get("apiGroup", ""), resource, event["verb"])
        (refused if code == 403 else used).add(right)
        if (event["verb"], code) == ("patch", 201):
            used.add((right[0], resource, "create"))
    return used, refused
