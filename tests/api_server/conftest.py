"""One API server for the whole folder, with our definitions; a namespace of its own for every test."""

from collections.abc import Iterator
from hashlib import sha256

import pytest

from deepseek_operator.api.crd import documents
from tests.cluster import control_plane
from tests.cluster.control_plane import Cluster
from tests.cluster.progress import wait_for

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """etcd and kube-apiserver, and our CustomResourceDefinitions served. Nothing reconciles."""
    home = tmp_path_factory.mktemp("api-server")
    try:
        cluster = control_plane.start(home, parts=frozenset())
        for document in documents():
            name, spec = document["metadata"]["name"], document["spec"]
            cluster.api.apply(f"{DEFINITIONS}/{name}", document)
            served = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
            wait_for(f"{name} is served", lambda path=served: cluster.api.is_served(path), timeout_s=30)
        yield cluster
    finally:
        control_plane.stop(home)


@pytest.fixture(scope="session")
def controllers(api_server: Cluster) -> Cluster:
    """The same cluster with kube-controller-manager: garbage collection, Jobs, Deployments, autoscalers."""
    return control_plane.start(api_server.home, parts=frozenset({"controller-manager"}))


@pytest.fixture
def namespace(api_server: Cluster, request: pytest.FixtureRequest) -> str:
    """A fresh namespace, named after the test."""
    name = "t-" + sha256(request.node.nodeid.encode()).hexdigest()[:16]
    api_server.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name
