"""Strangers at the doors of the operator's real process: its probes, its work and its memory must not notice them.

It may open 1,024 files, as on many nodes. A peer here is an address of the loopback network, of which there are many.
"""

import resource
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for
from tests.support.api_objects import changed, collection, minimal_training
from tests.support.operator_process import OperatorProcess
from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(240)

SYSTEM = "doors-system"
CROWD = 1_300
"""Connections of strangers, more than the process may open files."""
FILES = 1_024
MEMORY_MIB = 200.0
PROBE_S, REACTION_S = 3.0, 10.0
"""A kubelet's patience with a probe; an idle machine reacts within a tenth of a second."""
TRIES = 3
"""Of the readiness probe before a pod leaves its Service."""


class Stage:
    """The operator's process with its three doors."""

    def __init__(self, cluster: Cluster, namespace: str, operator: OperatorProcess, ports: list[int]) -> None:
        self._cluster, self._namespace, self._operator = cluster, namespace, operator
        self.probes, self.metrics, self.external = ports
        self._trainings = 0

    def limit_files(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (FILES, FILES))

    @property
    def exits(self) -> list[int]:
        return self._operator.exits

    @property
    def _pid(self) -> int:
        pid = self._operator.pid
        assert pid is not None
        return pid

    def files(self) -> int:
        return len(list(Path(f"/proc/{self._pid}/fd").iterdir()))

    def memory_mib(self) -> float:
        status = Path(f"/proc/{self._pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def probe_s(self, path: str = "/healthz", timeout_s: float = 60.0) -> float:
        """How long a kubelet waits for its answer, which asks again when a connection is cut."""
        begun = time.monotonic()
        for _ in range(TRIES - 1):
            with suppress(ConnectionError):
                return self._asked(path, timeout_s) - begun
        return self._asked(path, timeout_s) - begun

    def _asked(self, path: str, timeout_s: float) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.probes}{path}", timeout=timeout_s) as answer:
            assert answer.status == 200
        return time.monotonic()

    def is_ready(self) -> bool:
        try:
            return self.probe_s("/readyz", 5) >= 0
        except OSError:
            return False

    def reaction_s(self) -> float:
        """How long another tenant's new training waits until the operator says something of it."""
        self._trainings += 1
        training = changed(minimal_training(f"t{self._trainings}"), {"spec.suspend": True})
        path = collection(training, self._namespace)
        begun = time.monotonic()
        self._cluster.api.create(path, training)
        name = f"{path}/{training['metadata']['name']}"
        wait_for("a condition", lambda: bool(self._cluster.api.get(name)["status"].get("conditions")), timeout_s=90)
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def stage(api_server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    namespace = "doors"
    api_server.api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    system = f"/api/v1/namespaces/{SYSTEM}"
    api_server.api.apply(system, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
    ports = [free_port() for _ in range(3)]
    names = ("HEALTH_PORT", "METRICS_PORT", "EXTERNAL_METRICS_PORT")
    environment = {name: str(port) for name, port in zip(names, ports, strict=True)}
    operator = OperatorProcess(
        api_server, tmp_path_factory.mktemp("doors"), SYSTEM, namespace, {**environment, "EXTERNAL_METRICS": "true"}
    )
    with operator:
        stage = Stage(api_server, namespace, operator, ports)
        wait_for("the operator is ready", stage.is_ready, timeout_s=120)
        stage.limit_files()
        stage.reaction_s()
        yield stage


@contextmanager
def crowd(port: int, say: bytes, count: int = CROWD) -> Iterator[list[socket.socket]]:
    """`count` strangers who connect, say something and then nothing more; some are let in, the others wait or are cut."""
    strangers: list[socket.socket] = []
    try:
        for number in range(count):
            stranger = socket.socket()
            stranger.bind((f"127.0.1.{1 + number % 200}", 0))
            stranger.setblocking(False)
            stranger.connect_ex(("127.0.0.1", port))
            strangers.append(stranger)
        time.sleep(1.0)
        for stranger in strangers:
            _say(stranger, say)
        yield strangers
    finally:
        for stranger in strangers:
            stranger.close()


def _say(stranger: socket.socket, words: bytes) -> None:
    with suppress(OSError):  # It was not let in, or not for long.
        stranger.send(words)


WORDS = {
    "nothing": b"",
    "half a greeting of TLS": b"\x16\x03\x01\x02\x00\x01",
    "half a request": b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ",
}
DOORS: dict[str, Callable[[Stage], int]] = {
    "external metrics": lambda stage: stage.external,
    "metrics": lambda stage: stage.metrics,
    "probes": lambda stage: stage.probes,
}


@pytest.mark.parametrize("door", DOORS)
def test_a_crowd_at_a_door_delays_no_probe_and_no_work(stage: Stage, door: str) -> None:
    told = {}
    for words, said in WORDS.items():
        with crowd(DOORS[door](stage), said):
            probes = [stage.probe_s() for _ in range(5)]
            told[words] = (max(probes), stage.reaction_s(), stage.files(), stage.memory_mib())
            print(f"{door}, {words}: probe {told[words][0]:.3f} s, reaction {told[words][1]:.2f} s, "
                  f"{told[words][2]} files, {told[words][3]:.0f} MiB")  # fmt: skip
    for words, (probe, reaction, files, memory) in told.items():
        assert probe < PROBE_S, words
        assert reaction < REACTION_S, words
        assert files < FILES // 2, words
        assert memory < MEMORY_MIB, words
    assert stage.exits == []
