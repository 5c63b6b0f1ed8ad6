"""A node is drained under a serving: its replicas go one after the other, and what need not stay never holds the drain.

Real API server with its eviction subresource, real disruption controller, the operator as a process. Pods get ready on
a node that the test directs; without that node they stay as they are, as if a large model were loading.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Api, ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(180)
LIMIT_S = 60.0
CLAIM: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
EVICTED, REFUSED = 201, 429


class Drained:
    """One serving `x` in a namespace, and whoever drains its nodes."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def path(self, kind: str, name: str = "x") -> str:
        return f"{COLLECTIONS[kind].format(self.namespace)}/{name}"

    def serve(self, replicas: int) -> None:
        """Makes the serving, and waits until all replicas answer and the budget counts them."""
        self._create("PersistentVolumeClaim", "v1", "models", CLAIM)
        spec = {"model": {"source": {"uri": "pvc://models/v1"}}, "replicas": replicas}
        self._create("DeepSeekServing", "deepseek-operator.io/v1alpha1", "x", spec)
        with self.node():
            self.counts(replicas, replicas)

    def node(self) -> FakeNode:
        """Where pods become ready for as long as it is there."""
        return FakeNode(self.api, self.namespace, self.namespace)

    def counts(self, ready: int, pods: int) -> None:
        """Waits until the disruption controller has seen so many pods, so many of them ready."""

        def counted() -> bool:
            try:
                budget = self.api.get(self.path("PodDisruptionBudget", "x-serve"))
            except ApiError:
                return False
            status = budget.get("status", {})
            is_current = status.get("observedGeneration") == budget["metadata"]["generation"]
            return is_current and (status["currentHealthy"], status["expectedPods"]) == (ready, pods)

        until(f"{ready} of {pods} are counted", counted, timeout_s=LIMIT_S, every_s=0.2)

    def pods(self, *, ready: bool) -> list[str]:
        """Names of the pods that stay, by whether they answer."""
        items: list[Manifest] = self.api.get(COLLECTIONS["Pod"].format(self.namespace))["items"]
        stay = [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]
        return sorted(pod["metadata"]["name"] for pod in stay if _is_ready(pod) == ready)

    def evict(self, name: str) -> int:
        """What the eviction of a pod is answered, as an HTTP status."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        try:
            self.api.create(f"{self.path('Pod', name)}/eviction", eviction)
        except ApiError as error:
            return error.code
        return EVICTED

    def fails(self, name: str) -> None:
        """The engine in a pod answers no more."""
        status = self.api.get(self.path("Pod", name))["status"]
        conditions = [{**c, "status": "False"} if "Ready" in c["type"] else c for c in status["conditions"]]
        self.api.patch(f"{self.path('Pod', name)}/status", {"status": {"conditions": conditions}})

    def _create(self, kind: str, version: str, name: str, spec: dict[str, Any]) -> None:
        manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.api.create(COLLECTIONS[kind].format(self.namespace), manifest)


def _is_ready(pod: Manifest) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


@pytest.fixture
def drained(controllers: Cluster, tmp_path: Path, namespace: str) -> Iterator[Drained]:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    operator = OperatorProcess(controllers, tmp_path, system, namespace)
    with operator:
        yield Drained(controllers.api, namespace)
    assert operator.exits == []


def test_the_second_replica_is_refused_until_the_first_is_replaced(drained: Drained) -> None:
    drained.serve(replicas=3)
    first, second, third = drained.pods(ready=True)
    assert [drained.evict(first), drained.evict(second), drained.evict(third)] == [EVICTED, REFUSED, REFUSED]
    with drained.node():
        drained.counts(3, 3)
    assert [drained.evict(second), drained.evict(third)] == [EVICTED, REFUSED]


def test_replicas_that_do_not_answer_may_go_while_those_that_do_are_kept(drained: Drained) -> None:
    drained.serve(replicas=3)
    first, second, third = drained.pods(ready=True)
    drained.fails(first)
    drained.fails(second)
    drained.counts(1, 3)
    assert [drained.evict(third), drained.evict(first), drained.evict(second)] == [REFUSED, EVICTED, EVICTED]


def test_a_single_replica_holds_no_drain_nor_does_a_rollout_that_never_ends(drained: Drained) -> None:
    drained.serve(replicas=1)
    (only,) = drained.pods(ready=True)
    assert drained.evict(only) == EVICTED
    with drained.node():
        until("it is replaced", lambda: drained.pods(ready=True) not in ([], [only]), timeout_s=LIMIT_S, every_s=0.2)
    drained.counts(1, 1)
    drained.api.patch(drained.path("DeepSeekServing"), {"spec": {"model": {"source": {"uri": "pvc://models/v2"}}}})
    drained.counts(1, 2)
    (old,) = drained.pods(ready=True)
    assert drained.evict(old) == EVICTED


def test_what_others_did_to_the_budget_is_undone(drained: Drained) -> None:
    drained.serve(replicas=3)
    path = drained.path("PodDisruptionBudget", "x-serve")
    ours = drained.api.get(path)["spec"]
    narrowed = {"matchLabels": {"deepseek-operator.io/role": "none"}}
    for theirs in ({"minAvailable": 3}, {"minAvailable": None, "maxUnavailable": 0}, {"selector": narrowed}):
        drained.api.patch(path, {"spec": theirs})
        until(f"{theirs} is undone", lambda: drained.api.get(path)["spec"] == ours, timeout_s=LIMIT_S, every_s=0.2)
    drained.api.delete(path)
    until("it is made again", lambda: drained.api.exists(path), timeout_s=LIMIT_S, every_s=0.2)
    assert drained.api.get(path)["spec"] == ours


@pytest.mark.parametrize(
    ("kind", "added"), [("Service", {"typo": "x"}), ("PodDisruptionBudget", {"matchLabels": {"typo": "x"}})]
)
def test_a_label_that_somebody_adds_to_a_selector_is_taken_away(
    drained: Drained, kind: str, added: dict[str, Any]
) -> None:
    drained.serve(replicas=1)
    path = drained.path(kind, "x-serve")
    ours = drained.api.get(path)["spec"]["selector"]
    drained.api.patch(path, {"spec": {"selector": added}})
    until("it is as it was", lambda: drained.api.get(path)["spec"]["selector"] == ours, timeout_s=LIMIT_S, every_s=0.2)
