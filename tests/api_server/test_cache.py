"""The cache of a serving on a real API server: its children stay as they are stored, come back when somebody takes them, and
go with the field. There is no controller of a Gateway here: the test says what one would."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.kinds.serving.cache import CACHE_LABEL, names_of
from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.bench import Bench
from tests.support.fake_node import FakeNode
from tests.support.gateway_api import COLLECTIONS as GATEWAYS
from tests.support.gateway_api import dialect, served, standard
from tests.support.gateways import ENVOY_GATEWAY, PUBLIC
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(400)
LIMIT_S = 120.0
KEYS: dict[str, Any] = {**PUBLIC, "auth": {"apiKeys": True}}
CACHED: dict[str, Any] = {**KEYS, "cache": {"image": "nginx:1.28"}}
KINDS = ("ConfigMap", "Service", "Deployment", "PodDisruptionBudget")
COLLECTIONS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Service": "/api/v1/namespaces/{}/services",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
}


@pytest.fixture
def bench(controllers: Cluster, tmp_path: Path, namespace: str) -> Iterator[Bench]:
    """An operator that knows a gate, with a node, where Gateway API and Envoy Gateway's definitions are."""
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    knows = {"GATE_SERVICE": f"{system}/gate", "GATE_NAMESPACES": namespace}
    operator = OperatorProcess(controllers, tmp_path, system, namespace, knows)
    with (
        served(controllers.api, standard(), dialect()),
        FakeNode(controllers.api, namespace, namespace) as node,
        operator,
    ):
        yield Bench(controllers, namespace, node, operator)
    assert node.failure is None
    assert operator.exits == []


def takes(bench: Bench) -> None:
    """What the Gateway's controller writes once it has looked at policies and route."""
    for kind, field, ref in (
        ("SecurityPolicy", "ancestors", "ancestorRef"),
        ("BackendTrafficPolicy", "ancestors", "ancestorRef"),
        ("HTTPRoute", "parents", "parentRef"),
    ):
        for live in bench.api.get(GATEWAYS[kind].format(bench.namespace))["items"]:
            accepted = {
                "type": "Accepted",
                "status": "True",
                "reason": "Accepted",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "observedGeneration": live["metadata"]["generation"],
            }
            parent = {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "name": "public",
                "namespace": "gateways",
            }
            said = [{ref: parent, "controllerName": ENVOY_GATEWAY, "conditions": [accepted]}]
            path = f"{GATEWAYS[kind].format(bench.namespace)}/{live['metadata']['name']}/status"
            bench.api.patch(path, {"status": {field: said}})


def led(bench: Bench) -> set[str]:
    """Services of the serving that the route names."""
    routes = bench.api.get(GATEWAYS["HTTPRoute"].format(bench.namespace))["items"]
    return {name for route in routes for name in names_of(route)} - {"gate"}


def of_caches(bench: Bench) -> list[Manifest]:
    """Children of the caches, with their kind."""
    return [
        {**item, "kind": kind}
        for kind in KINDS
        for item in bench.api.get(COLLECTIONS[kind].format(bench.namespace))["items"]
        if "-cache" in item["metadata"]["name"]
    ]


def versions(bench: Bench) -> dict[str, str]:
    """What changes with each write of a spec; a Deployment's status is its controller's."""
    return {
        f"{one['kind']}/{one['metadata']['name']}": str(
            one["metadata"].get("generation", one["metadata"]["resourceVersion"])
        )
        for one in of_caches(bench)
    }


def is_led_through(bench: Bench) -> bool:
    takes(bench)
    return any("-cache-" in name for name in led(bench)) and not any("-cache-" not in name for name in led(bench))


def test_a_cache_comes_stays_comes_back_and_goes(bench: Bench) -> None:
    bench.claim("models")
    bench.create("DeepSeekServing", {"model": {"source": {"uri": "pvc://models/v1"}}, "gateway": CACHED})
    until("requests go through the cache", lambda: is_led_through(bench), timeout_s=LIMIT_S, every_s=0.5)
    bench.tells("DeepSeekServing", "CacheReady", "CacheUsed")
    pods = [pod["metadata"]["labels"] for pod in bench.node.pods(CACHE_LABEL)]
    assert len(pods) == 2
    assert not any(OWNER_UID in labels for labels in pods)
    assert bench.status("DeepSeekServing")["readyReplicas"] == bench.status("DeepSeekServing")["replicas"] == 1

    before = versions(bench)
    assert sorted(name.partition("/")[0] for name in before) == sorted(KINDS)
    bench.operator.kill()
    until("another process has begun", lambda: len(bench.operator.exits) == 1, timeout_s=LIMIT_S)
    bench.operator.exits.clear()
    bench.api.patch(bench.path("DeepSeekServing"), {"spec": {"replicas": 2}})
    until("it works", lambda: bench.status("DeepSeekServing").get("readyReplicas") == 2, timeout_s=LIMIT_S)
    takes(bench)
    assert versions(bench) == before, "nothing is written again that says what it shall"

    for one in of_caches(bench):
        path = f"{COLLECTIONS[one['kind']].format(bench.namespace)}/{one['metadata']['name']}"
        bench.api.patch(path, {"metadata": {"labels": {OWNER_UID: None}}})
    until("all are found again", lambda: _are_ours(bench), timeout_s=LIMIT_S, every_s=0.5)

    bench.api.patch(bench.path("DeepSeekServing"), {"spec": {"gateway": {"cache": None}}})
    until("requests go to the replicas", lambda: not any("-cache-" in name for name in led(bench)), timeout_s=LIMIT_S)
    assert len([one for one in of_caches(bench) if one["kind"] != "PodDisruptionBudget"]) == 3
    takes(bench)
    until("nothing is left", lambda: of_caches(bench) == [], timeout_s=LIMIT_S, every_s=0.5)
    assert bench.status("DeepSeekServing")["readyReplicas"] == 2


def _are_ours(bench: Bench) -> bool:
    return all(OWNER_UID in one["metadata"]["labels"] for one in of_caches(bench)) and len(of_caches(bench)) == len(
        KINDS
    )
