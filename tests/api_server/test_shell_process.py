"""The operator's process against a real API server, with nothing but the rights that the chart gives."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.local_cluster import programs
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.home import REPOSITORY
from examples.local_cluster.progress import wait_for
from tests.support.output import output_of
from tests.support.ports import free_port

SYSTEM = "deepseek-system"
GROUP = "/apis/deepseek-operator.io/v1alpha1"
AUDIT_INTERVAL_S = 3
PLURALS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


@dataclass
class Process:
    """One replica."""

    popen: "subprocess.Popen[bytes]"
    log: Path
    ports: tuple[int, int]

    def probe(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[0]}{path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def metrics(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def sums(self, pattern: str) -> float:
        return sum(value for name, value in self.metrics().items() if re.search(pattern, name))

    def leads(self) -> bool:
        return self.probe("/readyz") and self.sums("^leader_election_master_status") == 1.0


@pytest.fixture(scope="module")
def kubeconfig(controllers: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the chart's service account, with the chart's rights bound to it."""
    cluster = controllers
    cluster.api.apply(
        f"/api/v1/namespaces/{SYSTEM}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
    )
    chart = REPOSITORY / "charts" / "deepseek-operator"
    command = [programs.built("helm"), "template", "deepseek-operator", str(chart), "--namespace", SYSTEM]
    rendered = output_of(command)
    documents = [d for d in yaml.safe_load_all(rendered) if d and d["kind"] in PLURALS]
    for document in sorted(documents, key=lambda d: list(PLURALS).index(d["kind"])):
        namespace = document["metadata"].get("namespace", SYSTEM)
        collection = PLURALS[document["kind"]].format(namespace)
        cluster.api.apply(f"{collection}/{document['metadata']['name']}", document)
    account = next(d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount")
    path = tmp_path_factory.mktemp("account") / "kubeconfig"
    return cluster.service_account_kubeconfig(SYSTEM, account, path)


@pytest.fixture
def start(kubeconfig: Path, tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    """Starts a replica by name; all are killed in the end."""
    processes: list[Process] = []

    def run(name: str) -> Process:
        ports = (free_port(), free_port())
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(REPOSITORY / "operator"),
            "KUBECONFIG": str(kubeconfig),
            "DEEPSEEK_OPERATOR_NAMESPACE": SYSTEM,
            "DEEPSEEK_OPERATOR_LEASE_NAME": "deepseek-operator",
            "DEEPSEEK_OPERATOR_POD_NAME": name,
            "DEEPSEEK_OPERATOR_BIND_HOST": "127.0.0.1",
            "DEEPSEEK_OPERATOR_HEALTH_PORT": str(ports[0]),
            "DEEPSEEK_OPERATOR_METRICS_PORT": str(ports[1]),
            "DEEPSEEK_OPERATOR_AUDIT_INTERVAL_SECONDS": str(AUDIT_INTERVAL_S),
        }
        log = tmp_path / f"{name}.log"
        command = [sys.executable, "-m", "deepseek_operator", "run"]
        popen = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=log.open("wb"))
        processes.append(Process(popen, log, ports))
        return processes[-1]

    yield run
    for process in processes:
        process.popen.kill()
        process.popen.wait()


def training(name: str) -> dict[str, Any]:
    spec = {
        "trainer": {"type": "custom", "image": "x:1", "command": ["python3", "train.py"]},
        "nodes": {"count": 1},
        "checkpoints": {"everySteps": 10, "volume": {"size": "1Gi"}},
    }
    metadata = {"name": name}
    return {"apiVersion": GROUP[6:], "kind": "DeepSeekTraining", "metadata": metadata, "spec": spec}


def serving(name: str) -> dict[str, Any]:
    spec = {"model": {"source": {"uri": "pvc://models/m"}}, "replicas": 1}
    return {"apiVersion": GROUP[6:], "kind": "DeepSeekServing", "metadata": {"name": name}, "spec": spec}


def claim(name: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def put(cluster: Cluster, namespace: str, manifest: dict[str, Any]) -> None:
    plural = f"{manifest['kind'].lower()}s"
    cluster.api.apply(f"{GROUP}/namespaces/{namespace}/{plural}/{manifest['metadata']['name']}", manifest)


def test_a_replica_survives_a_kill_hands_its_lease_over_and_needs_no_right_that_it_lacks(
    controllers: Cluster, namespace: str, start: Callable[[str], Process]
) -> None:
    cluster = controllers
    first = start("first")
    wait_for("the first replica leads", first.leads, timeout_s=60)
    second = start("second")
    wait_for("the standby is ready", lambda: second.probe("/readyz"), timeout_s=60)
    assert not second.leads()

    cluster.api.apply(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/models", claim("models"))
    put(cluster, namespace, training("demo"))
    put(cluster, namespace, serving("chat"))
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    wait_for("a Job is made", lambda: len(cluster.api.get(jobs)["items"]) == 1, timeout_s=30)
    wait_for("a Deployment is made", lambda: len(cluster.api.get(deployments)["items"]) == 1, timeout_s=30)

    first.popen.kill()
    wait_for("the standby takes over", second.leads, timeout_s=40)
    put(cluster, namespace, training("other"))
    wait_for("the second Job is made", lambda: len(cluster.api.get(jobs)["items"]) == 2, timeout_s=30)
    # Told by its own metrics too: it made one, the dead one the other.
    assert second.sums(r'^deepseek_operator_api_requests_total.*resource="jobs",verb="create"') == 1.0

    second.popen.send_signal(signal.SIGTERM)
    assert second.popen.wait(30) == 0
    lease = cluster.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/deepseek-operator")
    assert lease["spec"]["holderIdentity"] == ""
    assert forbidden(cluster) == []


def forbidden(cluster: Cluster) -> list[str]:
    """Requests of the operator that the API server refused for want of a right."""
    entries = (json.loads(line) for line in cluster.audit_log.read_text().splitlines())
    user = f"system:serviceaccount:{SYSTEM}:"
    return [
        f"{entry['verb']} {entry['requestURI']}"
        for entry in entries
        if entry["user"].get("username", "").startswith(user) and entry.get("responseStatus", {}).get("code") == 403
    ]
