"""KEDA itself, really built, scales a serving by the operator's number of a real Prometheus, and holds when that dies.

Pods are simulated, and tell of as much load as a test gives them.
"""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.values.command import Signal
from examples.local_cluster import debian
from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support import keda_bed
from tests.support.bench import Bench
from tests.support.fake_node import FakeNode
from tests.support.go_programs import needed_by_keda
from tests.support.keda_api import SCALED_OBJECTS
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess
from tests.support.our_kinds import serving_our_kinds
from tests.support.ports import free_port
from tests.support.prometheus import eventually, is_ready

pytestmark = pytest.mark.timeout(900)
LIMIT_S = 180.0
WINDOW_S = 5
NUMBERS = count(1)
OURS, KEDAS = "x-serve", "keda-hpa-x-serve"


class Engines:
    """What the replicas of `x` tell a Prometheus: of each pod that is ready an equal part of the load.

    Attributes:
        in_flight: requests over all of them.
    """

    def __init__(self, api: Api, namespace: str) -> None:
        self.in_flight = 0
        self._api = api
        self._namespace = namespace

    def text(self) -> str:
        pods = self._api.get(f"/api/v1/namespaces/{self._namespace}/pods")["items"]
        names = [pod["metadata"]["name"] for pod in pods if _is_ready(pod)]
        told = ENGINES["builtin"].metric_names(None)
        share = self.in_flight / max(1, len(names))
        return "".join(
            f'{told[signal]}{{namespace="{self._namespace}",deepseek_serving="x",pod="{name}"}} {value}\n'
            for name in names
            for signal, value in ((Signal.RUNNING, share), (Signal.WAITING, 0))
        )


def _is_ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@contextmanager
def served(engines: Engines) -> Iterator[int]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = engines.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Prometheus:
    """A real one that asks the engines each second; it can be killed and started again."""

    def __init__(self, home: Path, target: int) -> None:
        debian.ensure({"prometheus": debian.NODE["prometheus"]})
        self._home, self._port = home, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        job = f"{{job_name: engines, honor_labels: true, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}"
        (home / "prometheus.yml").write_text(f"global: {{scrape_interval: 1s}}\nscrape_configs: [{job}]\n")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        argv = ["/usr/bin/prometheus", f"--config.file={self._home}/prometheus.yml",
                f"--storage.tsdb.path={self._home}/data", f"--web.listen-address=127.0.0.1:{self._port}"]  # fmt: skip
        with (self._home / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        eventually(lambda: is_ready(self.url))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with controllers and KEDA."""
    needed_by_keda()
    for made in serving_our_kinds(tmp_path_factory.mktemp("cluster"), frozenset({"controller-manager"})):
        with keda_bed.running(made, tmp_path_factory.mktemp("keda")):
            yield made


@pytest.fixture
def team(cluster: Cluster) -> str:
    """A namespace of its own for each test and each try of it, and another for the operator."""
    name = f"team-{next(NUMBERS)}"
    for one in (name, f"{name}-system"):
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": one}})
    wait_for_account(cluster.api, name)
    return name


@pytest.fixture
def engines(cluster: Cluster, team: str) -> Engines:
    return Engines(cluster.api, team)


@pytest.fixture
def prometheus(tmp_path: Path, engines: Engines) -> Iterator[Prometheus]:
    with served(engines) as port:
        made = Prometheus(tmp_path, port)
        made.start()
        try:
            yield made
        finally:
            made.kill()


@pytest.fixture
def bench(cluster: Cluster, team: str, tmp_path: Path, prometheus: Prometheus) -> Iterator[Bench]:
    """The operator, where KEDA may ask it, a node, and a serving of one replica, which KEDA scales."""
    port = free_port()
    environment = {
        "WANTED_URL": f"http://127.0.0.1:{port}",
        "WANTED_PORT": str(port),
        "PROMETHEUS_URL": prometheus.url,
        "SIGNAL_INTERVAL_SECONDS": "1",
    }
    autoscaling = {
        "backend": "KEDA",
        "minReplicas": 1,
        "maxReplicas": 6,
        "scaleDownStabilizationSeconds": WINDOW_S,
        "signals": [{"type": "InFlight", "target": 4}],
    }
    operator = OperatorProcess(cluster, tmp_path, f"{team}-system", team, environment)
    with FakeNode(cluster.api, team, team) as node, operator:
        made = Bench(cluster, team, node, operator)
        made.claim("models")
        made.create("DeepSeekServing", {"model": {"source": {"uri": "pvc://models/v1"}}, "autoscaling": autoscaling})
        reaches(made, 1)
        yield made
    assert node.failure is None
    assert operator.exits == []


def replicas(bench: Bench) -> int:
    return len([pod for pod in bench.items("Pod") if not pod["metadata"].get("deletionTimestamp")])


def reaches(bench: Bench, wanted: int) -> None:
    until(f"{wanted} replicas", lambda: replicas(bench) == wanted, timeout_s=LIMIT_S, every_s=0.2)


def stays(bench: Bench, held: int, seconds: float) -> None:
    seen, ends_at = set[int](), time.monotonic() + seconds
    while time.monotonic() < ends_at:
        seen.add(replicas(bench))
        time.sleep(0.2)
    assert seen == {held}


def told(bench: Bench) -> Manifest:
    found: Manifest = bench.status("DeepSeekServing").get("autoscaling") or {}
    return found


def is_told(bench: Bench, **expected: Any) -> None:
    def look() -> bool:
        said = told(bench)
        return all(said.get(name) == value for name, value in expected.items())

    until(f"{expected} is told", look, timeout_s=LIMIT_S)


def autoscalers(bench: Bench) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in bench.items("HorizontalPodAutoscaler")}


def scaled_objects(bench: Bench) -> list[Manifest]:
    found: list[Manifest] = bench.api.get(SCALED_OBJECTS.format(bench.namespace))["items"]
    return found


def registered(bench: Bench) -> int:
    """What the autoscaler, or whoever resets it, has written."""
    return int(bench.api.get(bench.path("DeepSeekServing"))["spec"]["replicas"])


def test_keda_scales_up_and_down_by_our_number(bench: Bench, engines: Engines) -> None:
    engines.in_flight = 10
    reaches(bench, 3)
    is_told(bench, active=True, desired=3, reason="ValidMetricFound")
    (made,) = autoscalers(bench).values()
    assert made["metadata"]["name"] == KEDAS
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (1, 6)
    engines.in_flight = 0
    reaches(bench, 1)


def test_nothing_goes_when_prometheus_dies_whatever_keda_falls_back_to(
    bench: Bench, engines: Engines, prometheus: Prometheus
) -> None:
    engines.in_flight = 10
    reaches(bench, 3)
    prometheus.kill()
    engines.in_flight = 0
    is_told(bench, active=False, reason="FallbackExists")
    stays(bench, 3, 3 * WINDOW_S)
    assert registered(bench) == 3
    # The register is reset, as by an apply of the whole spec: KEDA's autoscaler wants that now, and claims to be active.
    bench.api.patch(bench.path("DeepSeekServing"), {"spec": {"replicas": 1}})
    until(
        "KEDA's autoscaler wants it",
        lambda: autoscalers(bench)[KEDAS]["status"]["desiredReplicas"] == 1,
        timeout_s=LIMIT_S,
    )
    stays(bench, 3, 3 * WINDOW_S)
    assert registered(bench) == 1
    engines.in_flight = 10
    prometheus.start()
    is_told(bench, active=True, desired=3)
    assert replicas(bench) == 3
    engines.in_flight = 0
    reaches(bench, 1)


def test_a_pause_is_told_and_another_backend_and_a_deletion_leave_nothing_of_keda(
    bench: Bench, engines: Engines
) -> None:
    engines.in_flight = 10
    reaches(bench, 3)
    scaled = f"{SCALED_OBJECTS.format(bench.namespace)}/{OURS}"
    pause = "autoscaling.keda.sh/paused"
    bench.api.patch(scaled, {"metadata": {"annotations": {pause: "true"}}})
    is_told(bench, active=False, reason="ScaledObjectPaused")
    engines.in_flight = 0
    stays(bench, 3, 3 * WINDOW_S)
    engines.in_flight = 10
    bench.api.patch(scaled, {"metadata": {"annotations": {pause: None}}})
    is_told(bench, active=True, desired=3)
    # The operator's own autoscaler takes the place of KEDA's once that is gone; nothing goes meanwhile, nor by it, which has no
    # number here: KEDA has external.metrics.k8s.io.
    bench.api.patch(bench.path("DeepSeekServing"), {"spec": {"autoscaling": {"backend": "HPA"}}})
    until("the operator's own", lambda: set(autoscalers(bench)) == {OURS}, timeout_s=LIMIT_S)
    assert scaled_objects(bench) == []
    bench.api.patch(bench.path("DeepSeekServing"), {"spec": {"autoscaling": {"backend": "KEDA"}}})
    until("KEDA's again", lambda: set(autoscalers(bench)) == {KEDAS}, timeout_s=LIMIT_S)
    is_told(bench, active=True, desired=3)
    assert replicas(bench) == 3
    bench.api.delete(bench.path("DeepSeekServing"))
    until("all is gone", lambda: not scaled_objects(bench) and not autoscalers(bench), timeout_s=LIMIT_S)
