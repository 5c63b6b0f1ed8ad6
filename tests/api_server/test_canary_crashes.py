"""The operator is killed around every single write of a canary run behind a gateway, and of a rollback by name after it.

Real API server and controllers, the operator as a real process, SIGKILL by a proxy before the write is sent, or after it was
committed and before its answer. As many replicas as are wanted serve after every change of a pod, and no revision has a part
of the requests without one, by the watches of both. A thread stands for the Gateway's controller: it takes what it sees.
"""

import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Api, ApiError
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.fates import AfterEach, BeforeEach
from tests.support.fault_proxy import Fate
from tests.support.gateway_api import COLLECTIONS as GATEWAY_COLLECTIONS
from tests.support.gateway_api import dialect, served, standard
from tests.support.gateways import ENVOY_GATEWAY, PUBLIC
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import KILLED, OperatorProcess
from tests.support.parts_seen import breaches, in_order, is_serving
from tests.support.witness import Witness

pytestmark = pytest.mark.timeout(900)
LIMIT_S = 400.0
"""Every write costs a start of the process, which a busy machine makes slow."""
WANTED = 2
CLAIM: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
SPEC: dict[str, Any] = {
    "model": {"source": {"uri": "pvc://models/v1"}},
    "replicas": WANTED,
    "gateway": PUBLIC,
    "rollout": {"canary": {"steps": [{"weight": 50, "bakeSeconds": 1}, {"weight": 100, "bakeSeconds": 1}]}},
}


class Controller:
    """Says of every route of a namespace that it has seen it, as a context."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._routes = api, GATEWAY_COLLECTIONS["HTTPRoute"].format(namespace)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Controller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(30)

    def _work(self) -> None:
        while not self._stopped.wait(0.2):
            try:
                for route in self._api.get(self._routes)["items"]:
                    self._take(route)
            except (ApiError, OSError, HTTPException):
                continue

    def _take(self, route: dict[str, Any]) -> None:
        generation, now = route["metadata"]["generation"], "2026-01-01T00:00:00Z"
        told = [
            {"type": type_, "status": "True", "reason": type_, "message": "", "observedGeneration": generation,
             "lastTransitionTime": now}
            for type_ in ("Accepted", "ResolvedRefs")
        ]  # fmt: skip
        parents = [
            {"parentRef": one, "controllerName": ENVOY_GATEWAY, "conditions": told}
            for one in route["spec"]["parentRefs"]
        ]
        if (route.get("status") or {}).get("parents") != parents:
            path = f"{self._routes}/{route['metadata']['name']}/status"
            self._api.patch(path, {"status": {"parents": parents}})


class Tried:
    """One serving `x`."""

    def __init__(self, api: Api, namespace: str, operator: OperatorProcess) -> None:
        self.operator = operator
        self._api, self._namespace = api, namespace

    def path(self, kind: str, name: str = "") -> str:
        return COLLECTIONS[kind].format(self._namespace) + (f"/{name}" if name else "")

    def begin(self) -> str:
        """The revision that is rolled out first."""
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": CLAIM}
        self._api.create(self.path("PersistentVolumeClaim"), claim)
        head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "metadata": {"name": "x"}}
        self._api.create(self.path("DeepSeekServing"), {**head, "spec": SPEC})
        self.settles("Available")
        return str(self.status()["stable"])

    def edit(self, **change: Any) -> None:
        self._api.patch(self.path("DeepSeekServing", "x"), change)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._api.get(self.path("DeepSeekServing", "x")).get("status", {})
        return found

    def settles(self, phase: str, away_from: str = "") -> None:
        def settled() -> bool:
            told = self.status()
            return told.get("phase") == phase and told.get("stable", "") != away_from

        until(f"it is {phase}", settled, timeout_s=LIMIT_S)


@pytest.fixture
def tried(controllers: Cluster, namespace: str, tmp_path: Path) -> Iterator[Tried]:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    with served(controllers.api, standard(), dialect()):
        operator = OperatorProcess(controllers, tmp_path, system, namespace)
        with FakeNode(controllers.api, namespace, namespace), Controller(controllers.api, namespace), operator:
            yield Tried(controllers.api, namespace, operator)


@pytest.mark.parametrize("fate_type", [BeforeEach, AfterEach])
def test_capacity_and_parts_hold_while_the_operator_is_killed_around_every_write_of_a_run(
    controllers: Cluster, namespace: str, tried: Tried, fate_type: type[BeforeEach | AfterEach]
) -> None:
    first, fate = tried.begin(), fate_type()
    pods = Witness(controllers.api, tried.path("Pod"))
    routes = Witness(controllers.api, GATEWAY_COLLECTIONS["HTTPRoute"].format(namespace))
    until("both watches tell", lambda: len(pods.events) >= WANTED and routes.events, timeout_s=30)
    tried.operator.decide(fate)
    tried.edit(spec={"engine": {"maxConcurrency": 8}})
    tried.settles("Available", away_from=first)
    second = tried.status()["stable"]
    assert tried.status()["canary"]["phase"] == "Completed"
    tried.edit(metadata={"annotations": {"deepseek-operator.io/rollback": first}})
    tried.settles("RolledBack", away_from=second)
    assert tried.status()["stable"] == first
    tried.operator.decide(lambda *_: Fate.PASS)
    counts = [sum(map(is_serving, living)) for living in pods.states()]
    print(f"{len(fate.killed)} kills; {len(counts)} changes of pods, {len(routes.events)} of the route")
    begun = next(place for place, count in enumerate(counts) if count >= WANTED)
    assert min(counts[begun:]) >= WANTED
    assert list(breaches(in_order(pods.events, routes.events))) == []
    assert set(tried.operator.exits) == {KILLED}
    assert len(fate.killed) > 20
    killed = {write.path.rpartition("/")[0].rpartition("/")[2] for write in fate.killed}
    assert {"deepseekservings", "deployments", "httproutes"} <= {*killed, *_subresources(fate)}


def _subresources(fate: BeforeEach | AfterEach) -> set[str]:
    """Plurals of the paths that end in a subresource."""
    parts = [write.path.split("/") for write in fate.killed]
    return {part[-3] for part in parts if part[-1] == "status"}
