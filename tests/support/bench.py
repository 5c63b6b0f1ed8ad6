"""A namespace of the API server's layer with an operator, a node that the test directs, and a user with one `x`."""

from collections.abc import Mapping
from typing import Any

from examples.local_cluster.api import ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.kubectl import until
from tests.support.operator_process import OperatorProcess

LIMIT_S = 60.0
TRAINING: dict[str, Any] = {
    "model": {"custom": {"model_type": "deepseek_v3"}},
    "datasets": [{"source": {"uri": "builtin://uppercase"}}],
    "hyperparameters": {"maxSteps": 100},
}
SERVING: dict[str, Any] = {"model": {"source": {"uri": "pvc://models/v1"}}, "replicas": 2}


class Bench:
    """One namespace with an operator, a node and a user."""

    def __init__(self, cluster: Cluster, namespace: str, node: FakeNode, operator: OperatorProcess) -> None:
        self.cluster = cluster
        self.api = cluster.api
        self.node = node
        self.operator = operator
        self.namespace = namespace

    def path(self, kind: str, name: str = "x") -> str:
        return f"{COLLECTIONS[kind].format(self.namespace)}/{name}"

    def items(self, kind: str) -> list[Manifest]:
        found: list[Manifest] = self.api.get(COLLECTIONS[kind].format(self.namespace))["items"]
        return found

    def create(self, kind: str, spec: Mapping[str, Any], name: str = "x") -> str:
        """Creates an object; its uid."""
        version = "deepseek-operator.io/v1alpha1" if kind.startswith("DeepSeek") else "v1"
        manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}
        return str(self.api.create(COLLECTIONS[kind].format(self.namespace), manifest)["metadata"]["uid"])

    def claim(self, name: str) -> str:
        """Creates a user's claim; its uid."""
        spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        return self.create("PersistentVolumeClaim", spec, name)

    def status(self, kind: str) -> Manifest:
        """The status of `x`; empty while there is none."""
        try:
            return dict(self.api.get(self.path(kind)).get("status", {}))
        except ApiError as error:
            if error.code == 404:
                return {}
            raise

    def reaches(self, kind: str, phase: str) -> None:
        """Waits for the phase of `x`."""
        until(
            f"{kind} is {phase}",
            lambda: self.status(kind).get("phase") == phase,
            timeout_s=LIMIT_S,
            every_s=0.2,
        )

    def tells(self, kind: str, condition: str, reason: str) -> None:
        """Waits for a true condition of `x` with that reason."""

        def told() -> bool:
            found = [c for c in self.status(kind).get("conditions", []) if c["type"] == condition]
            return [(c["status"], c["reason"]) for c in found] == [("True", reason)]

        until(f"{condition}/{reason}", told, timeout_s=LIMIT_S, every_s=0.2)

    def env(self, job: Manifest) -> dict[str, str]:
        """Literal environment of a Job's trainer."""
        (container,) = job["spec"]["template"]["spec"]["containers"]
        return {variable["name"]: variable.get("value", "") for variable in container["env"]}
