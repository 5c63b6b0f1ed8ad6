"""A serving that sleeps on a real API server, with operator and gate as processes: requests are held, wake it and are let
go, whatever is killed on the way; and nobody is let go to a serving without a replica.

Pods are ready as soon as they are placed, the metrics store says what the test says, and nobody stands behind the gateway:
that a request is answered by a replica is another layer's (`tests/run gateway`).
"""

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.fault_proxy import Fate, Write
from tests.support.gate import KEY, GateProcess, config_map, entry, told
from tests.support.gateway_api import COLLECTIONS as GATEWAYS
from tests.support.gateway_api import dialect, served, standard
from tests.support.gateways import ENVOY_GATEWAY
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(400)
LIMIT_S = 150.0
IDLE_S = 30
HOLD_S = 120
ROOT = "/apis/deepseek-operator.io/v1alpha1"
SPEC: dict[str, Any] = {
    "model": {"source": {"uri": "pvc://models/v1"}},
    "autoscaling": {
        "minReplicas": 0,
        "maxReplicas": 3,
        "signals": [{"type": "InFlight", "target": 4}],
        "wake": {"idleSeconds": IDLE_S, "holdSeconds": HOLD_S},
    },
    "gateway": {"parentRef": {"name": "public", "namespace": "gateways"}, "auth": {"apiKeys": True}},
}
CLAIM: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}


class Store:
    """A Prometheus that says of one replica how much runs, by numbers that are as old as they are asked to be."""

    def __init__(self) -> None:
        self.in_flight = 0
        store = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = parse_qs(urlparse(self.path).query)
                store.answer(self, asked["query"][0], float(asked["time"][0]))

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, page: BaseHTTPRequestHandler, query: str, at: float) -> None:
        value = self.in_flight if "max_over_time" in query else 1 if "count(" in query else 0
        result = [{"metric": {}, "value": [at, str(value)]}]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        page.send_response(200)
        page.end_headers()
        page.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Scene:
    """Serving `chat`, whose pods get ready, its operator and its gate."""

    def __init__(self, cluster: Cluster, folder: Path, namespace: str, operator: OperatorProcess, store: Store) -> None:
        self.api = cluster.api
        self.namespace = namespace
        self.operator = operator
        self.store = store
        self.gate = GateProcess(folder, cluster.url, self._account(folder), cluster.ca, [namespace])
        self._clients = ThreadPoolExecutor(200)

    def _account(self, folder: Path) -> Path:
        """The gate's rights, as the chart has them (`test_gate` reads those)."""
        rules = [
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["patch"]},
        ]
        rbac, own = "/apis/rbac.authorization.k8s.io/v1", f"/namespaces/{self.namespace}"
        self.api.create(f"/api/v1{own}/serviceaccounts", {"metadata": {"name": "gate"}})
        self.api.create(f"{rbac}{own}/roles", {"metadata": {"name": "gate"}, "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gate"}
        subject = {"kind": "ServiceAccount", "name": "gate", "namespace": self.namespace}
        binding = {"metadata": {"name": "gate"}, "roleRef": role, "subjects": [subject]}
        self.api.create(f"{rbac}{own}/rolebindings", binding)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = self.api.create(f"/api/v1{own}/serviceaccounts/gate/token", request)
        (folder / "token").write_text(answer["status"]["token"])
        return folder / "token"

    def begin(self) -> None:
        """It serves, and its policy is taken."""
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": CLAIM}
        self.api.create(self.path("PersistentVolumeClaim"), claim)
        keys = config_map("keys", {"alice": entry(KEY, "chat")}, namespace=self.namespace)
        metadata = {name: keys["metadata"][name] for name in ("name", "labels")}
        self.api.create(f"/api/v1/namespaces/{self.namespace}/configmaps", {**keys, "metadata": metadata})
        serving = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing"}
        self.api.create(self.path("DeepSeekServing"), {**serving, "metadata": {"name": "chat"}, "spec": SPEC})
        policy = f"{GATEWAYS['SecurityPolicy'].format(self.namespace)}/chat-serve"
        until("a policy", lambda: self.api.exists(policy), timeout_s=LIMIT_S)
        self._take(policy)
        until("it serves", lambda: self.status().get("readyReplicas") == 1, timeout_s=LIMIT_S, every_s=0.2)

    def _take(self, policy: str) -> None:
        """As Envoy Gateway's controller does."""
        condition = {
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        parent = {**SPEC["gateway"]["parentRef"], "group": "gateway.networking.k8s.io", "kind": "Gateway"}
        ancestor = {"ancestorRef": parent, "controllerName": ENVOY_GATEWAY, "conditions": [condition]}
        self.api.patch(f"{policy}/status", {"status": {"ancestors": [ancestor]}})

    def path(self, kind: str, name: str = "") -> str:
        return COLLECTIONS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.get(self.path("DeepSeekServing", "chat")).get("status", {})
        return status

    def at(self) -> str:
        return str(self.status().get("sleep", {}).get("phase", ""))

    def becomes(self, phase: str) -> None:
        until(f"it is {phase}", lambda: self.at() == phase, timeout_s=LIMIT_S, every_s=0.2)

    def told(self) -> tuple[str, str, str]:
        """Phase, readiness and replicas as people see them."""
        status = self.status()
        return status["phase"], status["summary"]["ready"], status["summary"]["replicas"]

    def pods(self) -> list[Manifest]:
        items: list[Manifest] = self.api.get(self.path("Pod"))["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def asks(self, count: int = 1) -> "list[Future[int]]":
        """So many clients, each with its connection; the status that each gets."""
        return [self._clients.submit(self._ask) for _ in range(count)]

    def _ask(self) -> int:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        url = self.gate.url("/v1/chat/completions", self.namespace)
        status = told(url, b'{"model": "chat"}', headers, timeout_s=HOLD_S)[0]
        if status == 200:
            assert self.status()["readyReplicas"] >= 1, "a request was let go to nobody"
        return status

    def events(self, reason: str) -> list[str]:
        items = self.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        return [str(one["note"]) for one in items if one["reason"] == reason]


@pytest.fixture
def scene(controllers: Cluster, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    store = Store()
    settings = {"PROMETHEUS_URL": store.url, "GATE_SERVICE": f"{system}/gate", "GATE_NAMESPACES": namespace}
    operator = OperatorProcess(controllers, tmp_path, system, namespace, settings)
    with (
        served(controllers.api, standard(), dialect()),
        FakeNode(controllers.api, namespace, namespace),
        operator,
    ):
        made = Scene(controllers, tmp_path, namespace, operator, store)
        with made.gate:
            made.begin()
            yield made
    store.close()


def test_it_falls_asleep_and_two_hundred_that_wait_wake_it_and_are_all_let_go(scene: Scene) -> None:
    scene.becomes("Asleep")
    until("no pod is left", lambda: scene.pods() == [], timeout_s=LIMIT_S)
    until("all of it rests", lambda: scene.told() == ("Asleep", "True", "0/0"), timeout_s=LIMIT_S)
    sleep = scene.status()["sleep"]
    assert sleep["idleSince"] < sleep["since"]
    begun = time.monotonic()
    scene.store.in_flight = 200
    asked = scene.asks(200)
    assert {one.result(HOLD_S) for one in asked} == {200}
    took = time.monotonic() - begun
    assert scene.at() in ("Awake", "Waking")
    (note,) = scene.events("Waking")
    assert "wait" in note
    print(f"200 let go {took:.1f} s after they came; the event says: {note}")
    for _ in range(10):
        time.sleep(1)
        assert len(scene.pods()) >= 1, "it sleeps while requests run"
    scene.store.in_flight = 0
    scene.becomes("Asleep")


def test_an_operator_that_is_killed_at_each_write_loses_nobody(scene: Scene) -> None:
    fates = [Fate.KILL_BEFORE, Fate.KILL_AFTER]

    def fate(number: int, write: Write) -> Fate:
        return fates[number % 2] if number % 3 == 0 else Fate.PASS

    scene.becomes("Idle")
    scene.operator.decide(fate)
    scene.becomes("Asleep")
    asked = scene.asks(3)
    assert {one.result(HOLD_S) for one in asked} == {200}
    scene.operator.decide(lambda *_: Fate.PASS)
    assert scene.operator.exits, "nobody was killed"


def test_a_gate_that_begins_anew_while_it_holds_loses_its_own_connections_alone(scene: Scene) -> None:
    scene.becomes("Asleep")
    scene.operator.send(signal.SIGSTOP)
    held = scene.asks(2)
    wait_for("they wait", lambda: 'serving="chat"} 2.0' in scene.gate.health("/metrics")[1], timeout_s=20)
    assert scene.gate.process is not None
    scene.gate.process.kill()
    assert all(one.exception(30) is not None for one in held)
    scene.gate.process.wait(10)
    scene.gate.log.unlink()
    with scene.gate:
        wait_for("it knows its keys", lambda: scene.gate.health("/readyz")[0] == 200, timeout_s=30)
        again = scene.asks(2)
        scene.operator.send(signal.SIGCONT)
        assert {one.result(100) for one in again} == {200}
