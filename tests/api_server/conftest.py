"""One API server for the whole folder, or for each process that runs its files; a namespace of its own for every test."""

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from examples.local_cluster import control_plane, kubeconfig
from examples.local_cluster.control_plane import Cluster
from tests.support.bench import Bench
from tests.support.fake_kubelet import FakeKubelet
from tests.support.fake_node import FakeNode
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess
from tests.support.our_kinds import serving_our_kinds
from tests.support.plugin import Plugin

PATIENCE_S = 600
"""Of a test that hangs. Several processes run these tests, each first starts a control plane: no test here is judged by this
clock, and what waits for the operator has limits of its own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of few tests first: those are whole lives, and none must be left for the end, when other processes are done.
    Every test of this layer has the same patience, but for those that ask for their own."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: tests[item.path])
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PATIENCE_S))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What processes of this run were interrupted in leaves no control plane behind: they are ended without a word."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is not None and not hasattr(session.config, "workerinput"):
        for home in factory.getbasetemp().glob("popen-gw*/*/pki"):
            control_plane.stop(home.parent)


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


@pytest.fixture
def bench(controllers: Cluster, tmp_path: Path, namespace: str) -> Iterator[Bench]:
    """An operator of the namespace, with a node; it must end without having been started again."""
    system = f"{namespace}-system"
    controllers.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    wait_for_account(controllers.api, namespace)
    operator = OperatorProcess(controllers, tmp_path, system, namespace)
    with FakeNode(controllers.api, namespace, namespace) as node, operator:
        yield Bench(controllers, namespace, node, operator)
    assert node.failure is None
    assert operator.exits == []


@pytest.fixture
def plugin(bench: Bench, tmp_path: Path) -> Plugin:
    """As the cluster's administrator, in the namespace of the test."""
    cluster, folder = bench.cluster, tmp_path / "bin"
    folder.mkdir()
    config = tmp_path / "user.kubeconfig"
    kubeconfig.with_certificate(
        config, cluster.url, cluster.ca, cluster.admin_certificate, cluster.admin_key, bench.namespace
    )
    return Plugin(folder, config)


@pytest.fixture
def kubelet(bench: Bench, tmp_path: Path) -> Iterator[FakeKubelet]:
    with FakeKubelet(tmp_path) as kubelet:
        kubelet.speaks_for(bench.api, bench.namespace)
        yield kubelet
