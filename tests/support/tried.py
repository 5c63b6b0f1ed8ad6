"""A serving with a canary on a real API server whose pods a fake node runs: as many replicas as are wanted answer at every
look."""

from typing import Any

from examples.local_cluster.api import Api, Manifest
from tests.support.canonical import COLLECTIONS
from tests.support.kubectl import until

LIMIT_S = 90.0
WANTED = 2
CLAIM: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}


class Tried:
    """One serving `x` of two replicas, whose pods get ready."""

    def __init__(self, api: Api, namespace: str, rollout: dict[str, Any]) -> None:
        self.api = api
        self.namespace = namespace
        self.rollout = rollout

    def path(self, kind: str, name: str = "") -> str:
        return COLLECTIONS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def begin(self) -> str:
        """Makes the serving; the revision that is rolled out first."""
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": CLAIM}
        self.api.create(self.path("PersistentVolumeClaim"), claim)
        spec = {"model": {"source": {"uri": "pvc://models/v1"}}, "replicas": WANTED, "rollout": self.rollout}
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
