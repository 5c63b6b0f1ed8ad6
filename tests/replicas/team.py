"""The serving `x` of these tests, whose replicas are two pods each, and its user."""

import json
from typing import Any

from examples.local_cluster.api import Api
from tests.gateway.load import Load
from tests.support.groups import SERVICE, Groups
from tests.support.kubectl import Kubectl, until

NAMESPACE, SYSTEM = "replicas", "replicas-system"
IMAGE = "deepseek-operator.io/replicas-engine:dev"
CLAIM = "models"
LIMIT_S = 120.0
PORT = 8000
GRACE_S = 20


def engine(seconds: str = "0.2", version: str = "1") -> dict[str, Any]:
    command = ["python3", "/app/group.py", str(PORT), seconds]
    env = [{"name": "LOG_LEVEL", "value": version}]
    resources = {"cpu": "10m", "memory": "128Mi"}
    return {"type": "custom", "image": IMAGE, "command": command, "env": env, "resources": resources}


class Team(Groups):
    """The serving `x` and its user."""

    def __init__(self, kubectl: Kubectl, api: Api) -> None:
        self.kubectl, self.api, self.namespace = kubectl, api, NAMESPACE

    def apply(self, **spec: Any) -> None:
        """All of its spec that is the user's."""
        usual = {
            "model": {"source": {"uri": f"pvc://{CLAIM}"}},
            "engine": engine(),
            "nodes": {"count": 2},
            "pod": {"terminationGracePeriodSeconds": GRACE_S},
        }
        head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "metadata": {"name": "x"}}
        self.kubectl.apply(json.dumps({**head, "spec": {**usual, **spec}}))

    def serving(self) -> dict[str, Any]:
        return dict(self.kubectl.get("deepseekserving", "x") or {})

    def status(self) -> dict[str, Any]:
        """Of the spec as it is; empty while nobody has looked at that."""
        found = self.serving()
        status: dict[str, Any] = found.get("status") or {}
        return status if found and status.get("observedGeneration") == found["metadata"]["generation"] else {}

    def is_serving(self, replicas: int) -> bool:
        status = self.status()
        told = (status.get("phase"), status.get("readyReplicas"))
        return told == ("Available", replicas) and self.are_whole(replicas)

    def serves(self, replicas: int) -> None:
        until(f"{replicas} whole replicas serve", lambda: self.is_serving(replicas), timeout_s=LIMIT_S)

    def is_bare(self) -> bool:
        kinds = "leaderworkersets,statefulsets,pods,services,controllerrevisions,horizontalpodautoscalers,poddisruptionbudgets"
        return not self.sets() and not self.kubectl.list(kinds, "deepseek-operator.io/serving=x")

    @property
    def address(self) -> str:
        """Of its Service; this machine is the node, from which it is reached."""
        return str(self.kubectl.json("get", "service", SERVICE)["spec"]["clusterIP"])

    def load(self, clients: int, pause_s: float = 0.02) -> Load:
        return Load(self.address, "x", clients, pause_s, port=self.port)

    @property
    def port(self) -> int:
        return int(self.kubectl.json("get", "service", SERVICE)["spec"]["ports"][0]["port"])
