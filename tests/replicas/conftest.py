"""The whole cluster with LeaderWorkerSet's own controller, a mirror of the hub and an S3 server beside it, and a namespace for all tests.

The operator is told of both servers while these tests run, and of neither afterwards.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster import control_plane, node
from examples.local_cluster.control_plane import NODE_ADDRESS, Cluster
from examples.local_cluster.home import Home, default_root
from tests.e2e.conftest import pytest_runtest_makereport
from tests.gateway.conftest import say
from tests.replicas.team import CLAIM, IMAGE, NAMESPACE, Team
from tests.replicas.watching import Watched
from tests.support import bed as beds
from tests.support import leader_worker_sets, s3
from tests.support.kubectl import Kubectl, until
from tests.support.mirror import Mirror
from tests.support.s3 import KEY, REGION, S3, SECRET

__all__ = ["pytest_runtest_makereport", "say"]

HERE = Path(__file__).parent
FILES = {
    HERE / "group.py": "/app/group.py",
    HERE / "make_model.py": "/app/make_model.py",
    HERE.parent / "e2e/engine.py": "/app/tests/e2e/engine.py",
}
HUB = "hub"
"""The Service by which pods reach the mirror; large files lie under the node's own address, which is another origin."""
TOKEN = "hf_of-the-team"
BUCKET, PREFIX = "team-models", "v2/small"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of this machine, which alone has processes to kill; whatever KUBECONFIG names is left alone."""
    beds.tests_cluster("ensure", "e2e")
    beds.tests_cluster("up")
    return control_plane.find(Home(default_root()))


@dataclass(frozen=True)
class Servers:
    """What sources are fetched from."""

    hub: Mirror
    s3: S3

    @property
    def values(self) -> tuple[str, ...]:
        """Of the chart."""
        hub = f"sources.hub.endpoint=http://{HUB}.{NAMESPACE}:{self.hub.port}"
        return (*beds.VALUES, hub, f"sources.s3.endpoint={self.s3.url}", f"sources.s3.region={REGION}")


@pytest.fixture(scope="session")
def servers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    place = tmp_path_factory.mktemp("servers")
    with (
        Mirror(address=NODE_ADDRESS, elsewhere=NODE_ADDRESS).serving() as hub,
        s3.serving(place / "s3", NODE_ADDRESS) as bucket,
    ):
        bucket.make(BUCKET)
        yield Servers(hub, bucket)


@pytest.fixture(scope="session")
def bed(
    cluster: Cluster, servers: Servers, tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]
) -> Iterator[Kubectl]:
    """kubectl, the operator ready; LeaderWorkerSet is there before it, so that it need not find out."""
    with leader_worker_sets.running(cluster, tmp_path_factory.mktemp("lws")):
        kubectl = beds.ready(say, values=servers.values)
        yield kubectl
        kubectl.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true", timeout_s=180)
        beds.release(kubectl).install(*beds.VALUES)


@pytest.fixture(scope="session")
def kubectl(bed: Kubectl, cluster: Cluster, servers: Servers) -> Kubectl:
    """A namespace under the restricted Pod Security Standard, with the tests' image, a claim and both servers' Secrets."""
    parts = (part for path, inside in FILES.items() for part in ("--file", f"{path}={inside}"))
    beds.tests_cluster("images", "--add", IMAGE, *parts)
    beds.fresh_namespace(bed, NAMESPACE)
    team = bed.within(NAMESPACE)
    team.apply(claim(CLAIM))
    ports = [{"name": "http", "port": servers.hub.port, "protocol": "TCP"}]
    team.apply(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": HUB}, "spec": {"ports": ports}}))
    node.publish(cluster.api, NAMESPACE, HUB, "http", servers.hub.port)
    keys = (f"--from-literal=AWS_ACCESS_KEY_ID={KEY}", f"--from-literal=AWS_SECRET_ACCESS_KEY={SECRET}")
    team.run("create", "secret", "generic", "bucket-reader", *keys)
    team.run("create", "secret", "generic", "hugging-face", f"--from-literal=token={TOKEN}")
    return team


@pytest.fixture(scope="session")
def model(kubectl: Kubectl, cluster: Cluster, servers: Servers) -> dict[str, bytes]:
    """The files of a model that answers, which lie in folder `small` of the claim and in the bucket."""
    kubectl.apply(json.dumps(_maker(servers.s3)))
    ended = ("Succeeded", "Failed")
    until("the model is made", lambda: _phase(kubectl, "make-model") in ended, timeout_s=180)
    assert _phase(kubectl, "make-model") == "Succeeded", kubectl.run("logs", "make-model")
    folder = cluster.home.volumes / kubectl.json("get", "persistentvolumeclaim", CLAIM)["metadata"]["uid"] / "small"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def watched(kubectl: Kubectl, cluster: Cluster) -> Watched:
    """What becomes of the serving `x`, from now on."""
    return Watched(cluster.api, NAMESPACE)


@pytest.fixture(scope="module")
def team(kubectl: Kubectl, cluster: Cluster, watched: Watched) -> Iterator[Team]:
    """Who has the serving `x`, which goes with the file."""
    yield Team(kubectl, cluster.api)
    kubectl.run("delete", "deepseekserving", "x", "--ignore-not-found", "--wait=true", timeout_s=120)


def claim(name: str) -> str:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    return json.dumps({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec})


def _phase(kubectl: Kubectl, pod: str) -> str:
    return str((kubectl.get("pod", pod) or {}).get("status", {}).get("phase", ""))


def _maker(server: S3) -> dict[str, Any]:
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "maker",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/app/make_model.py", "/models/small", BUCKET, PREFIX],
        "env": [{"name": name, "value": value} for name, value in {**server.variables, "HOME": "/tmp"}.items()],
        "securityContext": confined,
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": CLAIM}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "make-model"}, "spec": spec}
