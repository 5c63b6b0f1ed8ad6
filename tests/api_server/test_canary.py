"""A canary run and a rollback by name on a real API server, with the operator as a process: as many replicas as are wanted
answer at every look, promoted or rolled back, and a version that was rolled back stays away.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(180)
LIMIT_S = 90.0
WANTED = 2
CLAIM: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
ROLLOUT: dict[str, Any] = {"canary": {"steps": [{"weight": 50, "bakeSeconds": 2}, {"replicas": 2, "pause": True}]}}


class Tried:
    """One serving `x` of two replicas, whose pods get ready."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def path(self, kind: str, name: str = "") -> str:
        return COLLECTIONS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def begin(self) -> str:
        """Makes the serving; the revision that is rolled out first."""
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": CLAIM}
        self.api.create(self.path("PersistentVolumeClaim"), claim)
        spec = {"model": {"source": {"uri": "pvc://models/v1"}}, "replicas": WANTED, "rollout": ROLLOUT}
        version = "deepseek-operator.io/v1alpha1"
        serving = {"apiVersion": version, "kind": "DeepSeekServing", "metadata": {"name": "x"}, "spec": spec}
        self.api.create(self.path("DeepSeekServing"), serving)
        return str(until("it serves", lambda: self.status().get("stable"), timeout_s=LIMIT_S))

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.get(self.path("DeepSeekServing", "x")).get("status", {})
        return status

    def run(self) -> dict[str, Any]:
        canary: dict[str, Any] = self.status().get("canary", {})
        return canary

    def edit(self, **change: Any) -> None:
        self.api.patch(self.path("DeepSeekServing", "x"), change)

    def annotate(self, verb: str, value: str | None) -> None:
        self.edit(metadata={"annotations": {f"deepseek-operator.io/{verb}": value}})

    def reaches(self, *wanted: Any) -> None:
        """Waits for phase and step of the run; on the way as many replicas answer as are wanted."""

        def there() -> bool:
            items: list[Manifest] = self.api.get(self.path("Pod"))["items"]
            assert sum(_is_ready(pod) for pod in items) >= WANTED
            run = self.run()
            return (run.get("phase"), run.get("step")) == wanted

        until(f"the run is {wanted}", there, timeout_s=LIMIT_S, every_s=0.2)


def _is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    stays = "deletionTimestamp" not in pod["metadata"]
    return stays and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.fixture
def tried(controllers: Cluster, namespace: str, tmp_path: Path) -> Iterator[Tried]:
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    operator = OperatorProcess(controllers, tmp_path, system, namespace)
    with FakeNode(controllers.api, namespace, namespace), operator:
        yield Tried(controllers.api, namespace)
    assert operator.exits == []


def test_a_version_is_tried_promoted_and_gone_back_from_by_name(tried: Tried) -> None:
    first = tried.begin()
    tried.edit(spec={"engine": {"maxConcurrency": 8}})
    tried.reaches("Baking", 2)
    second = str(tried.run()["target"])
    tried.annotate("promote", f"{second}/2")
    tried.reaches("Completed", 2)
    until("the second is stable", lambda: tried.status().get("stable") == second, timeout_s=LIMIT_S)
    tried.annotate("rollback", first)
    until("the first is stable again", lambda: tried.status().get("stable") == first, timeout_s=LIMIT_S)
    tried.annotate("rollback", None)
    until("it says so", lambda: tried.status().get("phase") == "RolledBack", timeout_s=LIMIT_S)
    assert (tried.run()["phase"], tried.status()["stable"]) == ("RolledBack", first)
