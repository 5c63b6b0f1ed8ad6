"""Replicas over several nodes kept by LeaderWorkerSet's own controller: lives of one serving, and what clients meanwhile get.

Its webhooks judge whatever the operator writes; nodes and containers are simulated, the rest is real.
"""

import time
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
from tests.support.groups import NUMBER, RANK, Groups, set_of, uids
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess
from tests.support.our_kinds import serving_our_kinds

pytestmark = pytest.mark.timeout(600)
LIMIT_S = 120.0
KIND = "DeepSeekServing"
SPEC: dict[str, Any] = {
    "model": {"name": "deepseek-r1", "source": {"uri": "pvc://models/r1"}},
    "engine": {"type": "vllm"},
    "accelerator": {"profile": "nvidia-h100-80"},
    "replicas": 1,
}


class Nodes(FakeNode):
    """Pods have addresses, and a leader is ready once every pod of its group runs, as an engine over them is."""

    def _run(self, pod: Manifest, *, is_ready: bool) -> None:
        labels = pod["metadata"]["labels"]
        if labels.get(RANK) == "0":
            group = [one for one in self.pods(f"{NUMBER}={labels[NUMBER]}") if set_of(one) == set_of(pod)]
            size = int(pod["metadata"]["annotations"]["leaderworkerset.sigs.k8s.io/size"])
            others = [one for one in group if one["metadata"]["labels"][RANK] != "0"]
            if sum(_runs(one) for one in others) < size - 1:
                return
        super()._run(pod, is_ready=is_ready)
        number = sum(map(ord, pod["metadata"]["name"])) % 250 + 1
        self._set(pod, {"podIP": f"10.201.0.{number}", "podIPs": [{"ip": f"10.201.0.{number}"}]})


def _runs(pod: Manifest) -> bool:
    return pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def _is_ready(pod: Manifest) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or ())


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


class Life(Bench, Groups):
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
            return said == ("Available", replicas, generation) and self.are_whole(replicas)

        until(f"{replicas} replicas serve", is_so, timeout_s=LIMIT_S, every_s=0.3)


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


def test_a_worker_that_ends_takes_its_replica_out_until_all_of_it_is_made_anew(life: Life) -> None:
    life.begin(replicas=2)
    life.serves(2)
    victim = life.workers()[0]
    number = victim["metadata"]["labels"][NUMBER]
    (leader,) = [pod for pod in life.leaders() if pod["metadata"]["labels"][NUMBER] == number]
    before = {pod["metadata"]["uid"] for pod in life.node.pods(f"{NUMBER}={number}")}
    assert len(before) == 2
    life.node.lingers = True
    life.node.evict(victim)
    gone = leader["metadata"]["name"]
    until("its leader answers nobody", lambda: gone not in life.endpoints(), timeout_s=LIMIT_S, every_s=0.1)
    until("that is told", lambda: life.status(KIND).get("readyReplicas") == 1, timeout_s=LIMIT_S)
    assert len(life.endpoints()) == 1, "the other replica serves on"
    # Its node does not answer: nothing is made in its place, and nothing is served by half.
    until("another leader waits", lambda: leader["metadata"]["uid"] not in uids(life.leaders()), timeout_s=LIMIT_S)
    waiting = [pod for pod in life.leaders() if pod["metadata"]["labels"][NUMBER] == number]
    assert not [pod for pod in waiting if _is_ready(pod)]
    life.node.lingers = False
    life.serves(2)
    after = {pod["metadata"]["uid"] for pod in life.node.pods(f"{NUMBER}={number}")}
    assert before.isdisjoint(after)


def test_a_container_that_starts_again_restarts_its_replica(life: Life) -> None:
    life.begin()
    life.serves(1)
    before = {pod["metadata"]["uid"] for pod in life.pods()}
    (worker,) = life.workers()
    (container,) = worker["status"]["containerStatuses"]
    life.node._set(worker, {"containerStatuses": [{**container, "restartCount": 1}]})
    until("all pods are others", lambda: before.isdisjoint(uids(life.pods())), timeout_s=LIMIT_S)
    life.serves(1)


def test_a_new_version_is_another_set_and_the_old_one_serves_until_it_does(life: Life) -> None:
    life.begin(replicas=2)
    life.serves(2)
    (old,) = life.sets()
    lowest = 2

    def is_done() -> bool:
        nonlocal lowest
        lowest = min(lowest, len(life.endpoints()))
        return [found["metadata"]["name"] for found in life.sets()] not in ([old["metadata"]["name"]], []) and (
            len(life.sets()) == 1
        )

    life.edit(engine={"type": "vllm", "args": ["--max-num-seqs=64"]})
    until("the old version is gone", is_done, timeout_s=LIMIT_S, every_s=0.1)
    life.serves(2)
    assert lowest == 2


def test_what_a_version_of_one_node_and_one_of_two_need_follows_each_other(life: Life) -> None:
    life.begin(accelerator={"profile": "nvidia-h200-141"})
    life.reaches(KIND, "Available")
    assert life.sets() == []
    life.edit(accelerator={"profile": "nvidia-h100-80"})
    life.serves(1)
    assert life.items("Deployment") == []


def test_at_rest_nothing_is_written(life: Life) -> None:
    life.begin()
    life.serves(1)
    (found,) = life.sets()
    until("it is quiet", lambda: _is_quiet(life), timeout_s=LIMIT_S, every_s=3)
    assert life.sets()[0]["metadata"]["generation"] == found["metadata"]["generation"] == 1


def _is_quiet(life: Life) -> bool:
    """No write within so long a time that every object was looked at again."""
    before = len(life.operator.proxy.writes)
    time.sleep(5)
    return len(life.operator.proxy.writes) == before
