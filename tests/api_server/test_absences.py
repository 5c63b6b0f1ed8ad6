"""What the operator watches goes away and comes back: a definition, a namespace with the rights in it.

Nothing of that ends the process or keeps it from the rest. A control plane of its own, since definitions are everybody's.
"""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from examples.local_cluster.api import ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess, grant
from tests.support.our_kinds import DEFINITIONS, serving_our_kinds
from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(600)
LIMIT_S = 150.0
TRAINING: Manifest = {
    "model": {"custom": {"model_type": "deepseek_v3"}},
    "datasets": [{"source": {"uri": "builtin://uppercase"}}],
    "hyperparameters": {"maxSteps": 100},
}
SERVING: Manifest = {"model": {"source": {"uri": "pvc://models/v1"}}}
CLAIM: Manifest = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with contextmanager(serving_our_kinds)(tmp_path / "cluster", frozenset({"controller-manager"})) as cluster:
        yield cluster


class Tenant:
    """One namespace and what its user does there."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.api, self.namespace = cluster.api, namespace
        self.begin()

    def begin(self) -> None:
        self.api.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        wait_for_account(self.api, self.namespace, LIMIT_S)
        self.create("PersistentVolumeClaim", "models", CLAIM)

    def end(self) -> None:
        path = f"/api/v1/namespaces/{self.namespace}"
        self.api.delete(path)
        until("the namespace is gone", lambda: not self.api.exists(path), timeout_s=LIMIT_S)

    def create(self, kind: str, name: str, spec: Manifest) -> None:
        version = {"apiVersion": "deepseek-operator.io/v1alpha1"} if kind.startswith("DeepSeek") else {}
        manifest = {**version, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.api.create(COLLECTIONS[kind].format(self.namespace), manifest)

    def of(self, kind: str, owner: str) -> list[str]:
        """Names of the objects of a kind that were made for the resource of that name."""
        items = self.api.get(COLLECTIONS[kind].format(self.namespace))["items"]
        return [item["metadata"]["name"] for item in items if item["metadata"]["name"].startswith(owner)]

    def reacts(self, number: int) -> None:
        """Both kinds are answered: a training by its Job, a serving by its Deployment."""
        self.create("DeepSeekTraining", f"t{number}", TRAINING)
        self.create("DeepSeekServing", f"s{number}", SERVING)
        until(f"t{number} has its Job", lambda: self.of("Job", f"t{number}"), timeout_s=LIMIT_S, every_s=0.1)
        until(f"s{number} has its Deployment", lambda: self.of("Deployment", f"s{number}"), timeout_s=LIMIT_S)

    def sees_ends_of(self, kind: str, spec: dict[str, Any]) -> None:
        """The garbage collector watches the kind, as it does half a minute after a definition's beginning.

        What goes before that, its definition with it, it can neither see nor look up: children would stay.
        """
        self.create(kind, "first", spec)
        first = f"{COLLECTIONS[kind].format(self.namespace)}/first"
        uid = self.api.get(first)["metadata"]["uid"]
        owner = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": kind, "name": "first", "uid": uid}
        owned = f"/api/v1/namespaces/{self.namespace}/configmaps"
        self.api.create(owned, {"metadata": {"name": "owned", "ownerReferences": [owner]}})
        self.api.delete(first)
        until("the owned object is collected", lambda: not self.api.exists(f"{owned}/owned"), timeout_s=LIMIT_S)


def readiness(port: int) -> str:
    """What the probe says."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        return error.read().decode()
    except OSError as error:
        return str(error)


def test_a_deleted_definition_costs_its_kind_alone_and_is_served_again_when_it_returns(
    cluster: Cluster, tmp_path: Path
) -> None:
    port = free_port()
    system, name = f"t-absent-{port}-system", "deepseektrainings.deepseek-operator.io"
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    tenant = Tenant(cluster, f"t-absent-{port}")
    environment = {"HEALTH_PORT": str(port), "AUDIT_INTERVAL_SECONDS": "10"}
    with OperatorProcess(cluster, tmp_path, system, None, environment) as operator:
        tenant.reacts(1)
        tenant.sees_ends_of("DeepSeekTraining", TRAINING)
        definition = cluster.api.get(f"{DEFINITIONS}/{name}")
        cluster.api.delete(f"{DEFINITIONS}/{name}")
        until("the definition is gone", lambda: not cluster.api.exists(f"{DEFINITIONS}/{name}"), timeout_s=LIMIT_S)
        until("no Job is orphaned", lambda: not tenant.of("Job", "t1"), timeout_s=LIMIT_S)
        until("the probe says so", lambda: "has no deepseektrainings" in readiness(port), timeout_s=LIMIT_S)
        tenant.create("DeepSeekServing", "s2", SERVING)
        until("the other kind is answered", lambda: tenant.of("Deployment", "s2"), timeout_s=LIMIT_S)
        cluster.api.create(
            DEFINITIONS, {key: definition[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": name}}
        )
        until("it is served", partial(_is_listed, tenant), timeout_s=LIMIT_S)
        tenant.reacts(3)
        until("the probe says so", lambda: readiness(port) == "ok\n", timeout_s=LIMIT_S)
        assert operator.exits == []


def _is_listed(tenant: Tenant) -> bool:
    try:
        return tenant.api.get(COLLECTIONS["DeepSeekTraining"].format(tenant.namespace)) is not None
    except ApiError:
        return False


def test_a_watched_namespace_that_goes_with_its_rights_and_comes_back_is_served_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    port = free_port()
    system, namespace = f"t-gone-{port}-system", f"t-gone-{port}"
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    tenant = Tenant(cluster, namespace)
    with OperatorProcess(cluster, tmp_path, system, namespace, {"HEALTH_PORT": str(port)}) as operator:
        tenant.reacts(1)
        tenant.end()
        tenant.begin()
        until("the probe names a right", lambda: "forbidden" in readiness(port), timeout_s=LIMIT_S)
        grant(cluster, system, namespace)
        tenant.reacts(2)
        assert operator.exits == []
