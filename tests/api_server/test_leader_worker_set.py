"""Replicas over several nodes kept by LeaderWorkerSet's own controller: lives of one serving, and what clients meanwhile get.

Its webhooks judge whatever the operator writes; nodes and containers are simulated, the rest is real.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support import leader_worker_sets
from tests.support.bench import Bench
from tests.support.fake_node import FakeNode
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess
from tests.support.our_kinds import serving_our_kinds

pytestmark = pytest.mark.timeout(600)
LIMIT_S = 120.0
KIND = "DeepSeekServing"
ROLE, NUMBER, RANK = (
    "deepseek-operator.io/role",
    "leaderworkerset.sigs.k8s.io/group-index",
    "leaderworkerset.sigs.k8s.io/worker-index",
)
SPEC: dict[str, Any] = {
    "model": {"name": "deepseek-r1", "source": {"uri": "pvc://models/r1"}},
    "engine": {"type": "vllm"},
    "accelerator": {"profile": "nvidia-h100-80"},
    "replicas": 1,
}


class Nodes(FakeNode):
    """Pods have addresses, and a leader is ready once every pod of its group runs, as an engine over them is."""

    def _run(self, pod: Manifest) -> None:
        labels = pod["metadata"]["labels"]
        if labels.get(RANK) == "0":
            group = [one for one in self.pods(f"{NUMBER}={labels[NUMBER]}") if _set_of(one) == _set_of(pod)]
            size = int(pod["metadata"]["annotations"]["leaderworkerset.sigs.k8s.io/size"])
            others = [one for one in group if one["metadata"]["labels"][RANK] != "0"]
            if sum(_runs(one) for one in others) < size - 1:
                return
        super()._run(pod)
        number = sum(map(ord, pod["metadata"]["name"])) % 250 + 1
        self._set(pod, {"podIP": f"10.201.0.{number}", "podIPs": [{"ip": f"10.201.0.{number}"}]})


def _set_of(pod: Manifest) -> str:
    return str(pod["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/name"])


def _runs(pod: Manifest) -> bool:
    return pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane of its own, since webhooks are everybody's."""
    for cluster in serving_our_kinds(tmp_path_factory.mktemp("sets"), frozenset({"controller-manager"})):
        with leader_worker_sets.running(cluster, tmp_path_factory.mktemp("lws")):
            yield cluster


@pytest.fixture
def life(sets: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator["Life"]:
    tried = getattr(request.node, "execution_count", 1)
    namespace = "t-" + sha256(f"{request.node.nodeid} {tried}".encode()).hexdigest()[:16]
    for name in (namespace, f"{namespace}-system"):
        sets.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    wait_for_account(sets.api, namespace)
    operator = OperatorProcess(sets, tmp_path, f"{namespace}-system", namespace)
    with Nodes(sets.api, namespace, namespace) as node, operator:
        yield Life(sets, namespace, node, operator)
    assert node.failure is None
    assert operator.exits == []


class Life(Bench):
    """One serving `x` of R1 over two nodes of H100."""

    def begin(self, **spec: Any) -> None:
        self.claim("models")
        self.create(KIND, {**SPEC, **spec})

    def edit(self, **spec: Any) -> None:
        self.api.patch(self.path(KIND), {"spec": spec})

    def scale(self, replicas: int) -> Manifest:
        """As an autoscaler does it; what it then reads."""
        self.api.patch(f"{self.path(KIND)}/scale", {"spec": {"replicas": replicas}})
        self.serves(replicas)
        return self.api.get(f"{self.path(KIND)}/scale")

    def serves(self, replicas: int) -> None:
        """Waits until so many whole replicas answer, as the operator, the set and the endpoints say."""

        def is_so() -> bool:
            status = self.status(KIND)
            said = (status.get("phase"), status.get("readyReplicas"), status.get("observedGeneration"))
            generation = self.api.get(self.path(KIND))["metadata"]["generation"]
            leaders, pods = _names(self.leaders()), self.node.pods()
            is_whole = len(leaders) == replicas and len(pods) == 2 * replicas
            return said == ("Available", replicas, generation) and is_whole and self.endpoints() == leaders

        until(f"{replicas} replicas serve", is_so, timeout_s=LIMIT_S, every_s=0.3)

    def sets(self) -> list[Manifest]:
        found: list[Manifest] = self.api.get(leader_worker_sets.COLLECTION.format(self.namespace))["items"]
        return found

    def pods(self) -> list[Manifest]:
        return [pod for pod in self.node.pods() if "deletionTimestamp" not in pod["metadata"]]

    def leaders(self) -> list[Manifest]:
        return [pod for pod in self.pods() if pod["metadata"]["labels"][ROLE] == "engine"]

    def workers(self) -> list[Manifest]:
        return [pod for pod in self.pods() if pod["metadata"]["labels"][ROLE] == "worker"]

    def endpoints(self) -> set[str]:
        """Names of the pods that clients are led to."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"
        slices = self.api.get(path, labelSelector="kubernetes.io/service-name=x-serve")["items"]
        found = [one for piece in slices for one in piece.get("endpoints") or ()]
        return {one["targetRef"]["name"] for one in found if one["conditions"].get("ready")}


def test_a_serving_is_made_scaled_and_taken_away(life: Life) -> None:
    life.begin()
    life.serves(1)
    scale = life.scale(3)
    selector = scale["status"]["selector"]
    assert scale["status"]["replicas"] == len(life.node.pods(selector)) == 3
    life.scale(1)
    (found,) = life.sets()
    assert found["spec"]["leaderWorkerTemplate"]["size"] == 2
    assert found["status"]["readyReplicas"] == 1
    life.edit(suspend=True)
    life.reaches(KIND, "Suspended")
    until("no pod is left", lambda: not life.node.pods(), timeout_s=LIMIT_S)
    life.edit(suspend=False)
    life.serves(1)
    life.api.delete(life.path(KIND))
    until("nothing is left", lambda: not (life.node.pods() or life.sets()), timeout_s=LIMIT_S)


def test_workers_are_told_their_rank_and_their_leader(life: Life) -> None:
    life.begin()
    life.serves(1)
    (leader,), (worker,) = life.leaders(), life.workers()
    told = {
        pod["metadata"]["name"]: {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}
        for pod in (leader, worker)
    }
    (found,) = life.sets()
    name = found["metadata"]["name"]
    address = f"{name}-0.{name}.{life.namespace}"
    assert {one["LWS_LEADER_ADDRESS"] for one in told.values()} == {address}
    assert told[worker["metadata"]["name"]]["LWS_GROUP_SIZE"] == "2"
    labels = [pod["metadata"]["labels"] for pod in (leader, worker)]
    assert [one[RANK] for one in labels] == ["0", "1"]
    services = life.items("Service")
    (headless,) = [one for one in services if one["metadata"]["name"] == name]
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"]


def _names(pods: list[Manifest]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}
