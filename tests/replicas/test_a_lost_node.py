"""A replica over two nodes one of which is lost. The cluster has one real node, so the other is simulated: what its kubelet
would run, the worker's process, runs on this machine and connects to the leader's pod as it would from there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster import fake_nodes
from examples.local_cluster.control_plane import NODE_NAME, Cluster
from tests.replicas.team import LIMIT_S, Team
from tests.support.groups import uids
from tests.support.kubectl import Kubectl, until

pytestmark = pytest.mark.timeout(600)
CARD = "example.com/card"
"""A replica takes one of each node: its pods go to different ones."""
OTHER = 9
LOST_LIMIT_S = 180.0
"""Pods of a node that is no more are deleted a minute later (kube-controller-manager, podgc: 40 s, looked at each 20 s)."""


class OtherNode:
    """A node with a card whose pods KWOK says run, and the one process that does."""

    def __init__(self, cluster: Cluster) -> None:
        self._api = cluster.api
        self._manifest = fake_nodes.node(OTHER)
        self.name = str(self._manifest["metadata"]["name"])
        self._path = f"/api/v1/nodes/{self.name}"
        self._worker: subprocess.Popen[bytes] | None = None

    def join(self) -> None:
        """It comes, with a card."""
        kept = ("apiVersion", "kind", "metadata", "spec")
        self._api.apply(self._path, {key: self._manifest[key] for key in kept})
        resources = {**self._manifest["status"]["capacity"], CARD: "1"}
        self._api.patch(f"{self._path}/status", {"status": {"capacity": resources, "allocatable": resources}})

    def work(self, leader: dict[str, Any]) -> None:
        """What the worker's container does there."""
        told = {"LWS_LEADER_ADDRESS": leader["status"]["podIP"], "LWS_WORKER_INDEX": "1", "LWS_GROUP_SIZE": "2"}
        root = Path(__file__).parents[2]
        command = [sys.executable, "-m", "tests.replicas.group", "8000"]
        self._worker = subprocess.Popen(command, cwd=root, env={**os.environ, **told})

    def is_lost(self) -> None:
        """Its power fails: its process ends, and nobody speaks for its kubelet."""
        self._end()
        self._api.patch(self._path, {"metadata": {"labels": {"type": None}}})

    def leave(self) -> None:
        """An administrator takes it off the list."""
        self._end()
        self._api.delete(self._path)

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()
            self._worker = None


@pytest.fixture
def other(bed: Kubectl, cluster: Cluster) -> Iterator[OtherNode]:
    """Not there yet; the real node claims to have one card, which no device stands behind."""
    path = f"/api/v1/nodes/{NODE_NAME}/status"
    cluster.api.patch(path, {"status": {"capacity": {CARD: "1"}, "allocatable": {CARD: "1"}}})
    made = OtherNode(cluster)
    made.leave()
    yield made
    made.leave()
    cluster.api.patch(path, {"status": {"capacity": {CARD: None}, "allocatable": {CARD: None}}})


def test_a_replica_that_lost_a_node_answers_nobody_until_all_of_it_is_elsewhere(team: Team, other: OtherNode) -> None:
    tolerations = [{"key": fake_nodes.TAINT["key"], "operator": "Exists"}]
    pod = {"terminationGracePeriodSeconds": 10, "tolerations": tolerations}
    team.apply(replicas=1, accelerator={"resource": CARD, "perNode": 1}, pod=pod)
    told = until("it waits for the other node", lambda: _waits(team), timeout_s=LIMIT_S)
    assert "replica 0 has a node for 1 of its 2 pods, which start together" in told
    assert f"Insufficient {CARD}" in told
    other.join()
    until("the worker is there", lambda: _is_on(team, other.name), timeout_s=LIMIT_S)
    assert team.endpoints() == set(), "a leader alone is not led to"
    (leader,), (worker,) = team.leaders(), team.workers()
    other.work(leader)
    team.serves(1)
    other.is_lost()
    until("its leader answers nobody", lambda: not team.endpoints(), timeout_s=LIMIT_S, every_s=0.2)
    until("that is told", lambda: team.status().get("readyReplicas") == 0, timeout_s=LIMIT_S)
    assert worker["metadata"]["uid"] in uids(team.all_pods()), "its pod stays as long as its node may come back"
    other.leave()
    before = {leader["metadata"]["uid"], worker["metadata"]["uid"]}
    until("all of it is others", lambda: _is_fresh(team, before), timeout_s=LOST_LIMIT_S, every_s=1)
    other.join()
    until("a worker is there", lambda: _is_on(team, other.name), timeout_s=LIMIT_S)
    assert team.endpoints() == set()
    other.work(team.leaders()[0])
    team.serves(1)
    team.kubectl.run("delete", "deepseekserving", "x", "--wait=true", timeout_s=LIMIT_S)
    until("nothing is left", team.is_bare, timeout_s=LIMIT_S)


def _waits(team: Team) -> str:
    found = [one for one in team.status().get("conditions", ()) if one["reason"] == "WaitingForCapacity"]
    return str(found[0]["message"]) if found else ""


def _is_on(team: Team, node: str) -> bool:
    """The worker is where it was placed, and its leader runs on the real node."""
    leaders, workers = team.leaders(), team.workers()
    runs = [pod["status"].get("phase") == "Running" for pod in (*leaders, *workers)]
    return [pod["spec"].get("nodeName") for pod in (*leaders, *workers)] == [NODE_NAME, node] and all(runs)


def _is_fresh(team: Team, before: set[str]) -> bool:
    """A new leader runs on the real node, and its worker waits for another."""
    (pods, leaders) = team.all_pods(), team.leaders()
    is_placed = [pod["spec"].get("nodeName") for pod in leaders] == [NODE_NAME]
    return len(pods) == 2 and before.isdisjoint(uids(pods)) and is_placed
