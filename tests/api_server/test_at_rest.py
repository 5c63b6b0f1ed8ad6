"""A quiet cluster: nothing is written, and how often the API server is asked does not depend on how much there is.

Two operators, each with a namespace of its own, one with five and one with fifty of both kinds, watched at once.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.kinds.registry import KINDS
from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.fault_proxy import Write
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(300)
FEW, MANY = 5, 50
QUIET_S = 65
"""More than a minute: the audit's round, which is the slowest of what goes on by itself, falls into it."""
LEASE_TOLERANCE = 4
OPTIONAL_TOLERANCE = 3
"""Whether an API that a cluster may lack is there is asked every 15 to 30 s, by chance: two to five times while it is quiet."""
OPTIONAL = tuple(f"/{resource.plural}" for resource in KINDS.watched if resource.is_optional)
CLAIM: Manifest = {
    "metadata": {"name": "models"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}


def _training(name: str) -> Manifest:
    spec = {
        "model": {"custom": {"model_type": "deepseek_v3"}},
        "datasets": [{"source": {"uri": "builtin://uppercase"}}],
        "hyperparameters": {"maxSteps": 100},
    }
    return _resource("DeepSeekTraining", name, spec)


def _serving(name: str) -> Manifest:
    return _resource("DeepSeekServing", name, {"model": {"source": {"uri": "pvc://models/v1"}}})


def _resource(kind: str, name: str, spec: dict[str, Any]) -> Manifest:
    return {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


class Side:
    """One operator, its namespace and its node."""

    def __init__(self, cluster: Cluster, folder: Path, namespace: str, size: int, stack: ExitStack) -> None:
        self._api: Api = cluster.api
        self._namespace = namespace
        self._size = size
        for name in (namespace, f"{namespace}-system"):
            self._api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        wait_for_account(self._api, namespace)
        folder.mkdir()
        stack.enter_context(FakeNode(self._api, namespace, namespace))
        self.operator = stack.enter_context(OperatorProcess(cluster, folder, f"{namespace}-system", namespace))

    def fill(self) -> None:
        """Makes the resources, and waits until all of them run and answer."""
        self._api.create(self._path("PersistentVolumeClaim"), CLAIM)
        for number in range(self._size):
            self._api.create(self._path("DeepSeekTraining"), _training(f"x-{number}"))
            self._api.create(self._path("DeepSeekServing"), _serving(f"x-{number}"))
        until("all is well", self._is_well, timeout_s=150)
        until("nothing is written any more", self._rests, timeout_s=60, every_s=3)

    def _is_well(self) -> bool:
        phases = Counter(
            item.get("status", {}).get("phase")
            for kind in ("DeepSeekTraining", "DeepSeekServing")
            for item in self._api.get(self._path(kind))["items"]
        )
        return phases == {"Running": self._size, "Available": self._size}

    def _rests(self) -> bool:
        before = len(self.operator.proxy.writes)
        time.sleep(2)
        return len(self.operator.proxy.writes) == before

    def _path(self, kind: str) -> str:
        return COLLECTIONS[kind].format(self._namespace)


@pytest.fixture
def sides(controllers: Cluster, tmp_path: Path, namespace: str) -> Iterator[tuple[Side, Side]]:
    with ExitStack() as stack:
        few = Side(controllers, tmp_path / "few", f"{namespace}-few", FEW, stack)
        many = Side(controllers, tmp_path / "many", f"{namespace}-many", MANY, stack)
        threads = [threading.Thread(target=side.fill) for side in (few, many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield few, many


def test_at_rest_nothing_is_written_and_requests_do_not_grow_with_the_number_of_resources(
    sides: tuple[Side, Side],
) -> None:
    began = [len(side.operator.proxy.requests) for side in sides]
    time.sleep(QUIET_S)
    few, many = (
        Counter(map(_told, side.operator.proxy.requests[start:])) for side, start in zip(sides, began, strict=True)
    )
    writes = {request for request in few + many if not request.startswith("GET") and "/leases" not in request}
    assert writes == set()
    assert set(few) == set(many)
    differences = {request: (few[request], many[request]) for request in few if few[request] != many[request]}
    for request, (little, much) in differences.items():
        assert abs(little - much) <= _tolerance(request), differences
    lists = {request for request in many if "/leases/" not in request}
    assert len(lists) == len(KINDS.watched), "one list of every watched kind, or one question whether it is there"


def _tolerance(request: str) -> int:
    if request.endswith(OPTIONAL):
        return OPTIONAL_TOLERANCE
    return LEASE_TOLERANCE if "/leases" in request else 1


def _told(request: Write) -> str:
    path = re.sub(r"/namespaces/[^/]+", "", request.path)
    return f"{request.verb} {re.sub(r'/leases/.+', '/leases/ours', path)}"
