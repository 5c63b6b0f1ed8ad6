"""Every resource under examples/ is one that a user can apply as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.local_cluster.control_plane import Cluster
from tests.support.api_objects import API_VERSION, collection
from tests.support.namespaces import wait_for_account

EXAMPLES = Path(__file__).parents[2] / "examples"
DOCUMENTS = [
    (f"{path.relative_to(EXAMPLES)}: {document.get('metadata', {}).get('name', '')}", document)
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document
]
OURS = [pytest.param(one, id=name) for name, one in DOCUMENTS if one["apiVersion"] == API_VERSION]
OTHERS = [
    pytest.param(one, id=f"{name} {one['kind']}")
    for name, one in DOCUMENTS
    # Of definitions that not every cluster has: test_gateway_api.py asks those. A policy of the server's own: test_audit.py.
    if one["apiVersion"] != API_VERSION
    and not re.match(r"gateway\.|audit\.|argoproj\.|\w+\.toolkit\.fluxcd", one["apiVersion"])
]
PLACES = {
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Service": "/api/v1/namespaces/{}/services",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
}


@pytest.mark.parametrize("manifest", OURS)
def test_an_example_is_accepted_with_every_field_known(api_server: Cluster, manifest: dict[str, object]) -> None:
    made = api_server.api.create(
        collection(manifest, "default"),
        {**manifest, "metadata": {**manifest["metadata"], "namespace": "default"}},  # type: ignore[dict-item]
        dryRun="All",
        fieldValidation="Strict",
    )
    assert made["spec"]


@pytest.mark.parametrize("manifest", OTHERS)
def test_what_stands_beside_is_accepted_too(api_server: Cluster, manifest: dict[str, Any]) -> None:
    here = {**manifest, "metadata": {**manifest["metadata"], "namespace": "default"}}
    api_server.api.create(PLACES[manifest["kind"]].format("default"), here, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize("manifest", [one for one in OTHERS if "template" in (one.values[0].get("spec") or {})])  # type: ignore[union-attr]
def test_its_pods_are_admitted_where_restricted_ones_alone_are(controllers: Cluster, manifest: dict[str, Any]) -> None:
    namespace, labels = "restricted-examples", {"pod-security.kubernetes.io/enforce": "restricted"}
    head = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    controllers.api.apply(f"/api/v1/namespaces/{namespace}", head)
    wait_for_account(controllers.api, namespace)
    pod = {"apiVersion": "v1", "kind": "Pod", **manifest["spec"]["template"]}
    pod["metadata"] = {**pod.get("metadata", {}), "name": "one"}
    controllers.api.create(f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All", fieldValidation="Strict")
