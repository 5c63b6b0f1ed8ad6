"""One API server for the whole folder, with our definitions; a namespace of its own for every test."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from deepseek_operator.api.crd import documents
from tests.cluster import control_plane
from tests.cluster.control_plane import Cluster
from tests.cluster.progress import wait_for

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def serving_our_kinds(home: Path) -> Iterator[Cluster]:
    """etcd and kube-apiserver in `home`, our CustomResourceDefinitions served; ends with the iteration."""
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
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """etcd and kube-apiserver, and our CustomResourceDefinitions served; once asked for, `controllers` run there too."""
    yield from serving_our_kinds(tmp_path_factory.mktemp("api-server"))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Another such pair in which nothing ever reconciles, for tests that no controller may meddle with."""
    yield from serving_our_kinds(tmp_path_factory.mktemp("untouched"))


@pytest.fixture(scope="session")
def controllers(api_server: Cluster) -> Cluster:
    """The same cluster with kube-controller-manager: garbage collection, Jobs, Deployments, autoscalers."""
    return control_plane.start(api_server.home, parts=frozenset({"controller-manager"}))


@pytest.fixture
def namespace(api_server: Cluster, request: pytest.FixtureRequest) -> str:
    """A fresh namespace, named after the test and, if it is tried again, the try."""
    tried = getattr(request.node, "execution_count", 1)
    name = "t-" + sha256(f"{request.node.nodeid} {tried}".encode()).hexdigest()[:16]
    api_server.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name
