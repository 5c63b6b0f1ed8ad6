"""The operator under measurement: of this tree or of another one, on an API server of its own."""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.daemon import read_record
from examples.local_cluster.progress import wait_for
from tests.support.our_kinds import serving_our_kinds
from tests.support.ports import free_port

SYSTEM = "deepseek-system"
QUIET_S, LONGEST_S = 1.0, 300.0
"""It has settled when it has asked for nothing for so long; who never does is measured as it is."""


class Subject:
    """One process with its shipped settings, out of the cluster."""

    def __init__(self, cluster: Cluster, process: "subprocess.Popen[bytes]", metrics_port: int) -> None:
        self.cluster = cluster
        self._process, self._pid = process, process.pid
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"

    def cpu_s(self) -> float:
        """Processor time so far, of the user's and of the system's kind."""
        return _cpu_s(self._pid)

    def server_cpu_s(self) -> float:
        """Processor time of its API server so far; etcd's is not counted."""
        record = read_record(self.cluster.home, "apiserver")
        assert record is not None
        return _cpu_s(record.pid)

    def rss_mb(self) -> tuple[float, float]:
        """The memory that it has, and the most that it ever had."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        now, most = (re.findall(rf"{word}:\s+(\d+) kB", status)[0] for word in ("VmRSS", "VmHWM"))
        return int(now) / 1000, int(most) / 1000

    def requests(self) -> int:
        """Requests that ended, watches and the Lease's excluded, by the audit log."""
        lines = self.cluster.audit_log.read_text().splitlines()
        ours = (line for line in lines if '"userAgent":"deepseek-operator' in line)
        return sum('"verb":"watch"' not in line and '"resource":"leases"' not in line for line in ours)

    def passes(self, kind: str) -> int:
        """Passes over resources of the kind, by its metrics."""
        with urllib.request.urlopen(self._metrics, timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(rf'controller_runtime_reconcile_total{{controller="{kind.lower()}".*?}} ([\d.e+]+)', text)
        return int(sum(map(float, found)))

    def end(self) -> None:
        """Ends the process; its API server goes on."""
        self._process.terminate()
        self._process.wait(30)

    def settle(self) -> None:
        """Returns when nothing is asked any more."""
        until, before = time.monotonic() + LONGEST_S, -1
        while before != (before := self.requests()) and time.monotonic() < until:
            time.sleep(QUIET_S)


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def subject(tree: Path) -> Iterator[Subject]:
    """The operator of that tree once it leads, with an API server that serves the tree's definitions."""
    definitions = [yaml.safe_load(file.read_text()) for file in sorted((tree / "crds").glob("*.yaml"))]
    api_server = contextmanager(serving_our_kinds)
    with tempfile.TemporaryDirectory() as home, api_server(Path(home), definitions=definitions) as cluster:
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "deepseek_operator", "run"], cwd=tree / "operator", env=_environment(cluster, port)
        )
        try:
            leases = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
            wait_for("the operator leads", lambda: bool(cluster.api.get(leases)["items"]), timeout_s=60)
            yield Subject(cluster, process, port)
        finally:
            process.terminate()
            process.wait(30)


def _environment(cluster: Cluster, metrics_port: int) -> dict[str, str]:
    settings = {"NAMESPACE": SYSTEM, "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "warning"}
    ports = {"HEALTH_PORT": "0", "METRICS_PORT": str(metrics_port)}
    ours = {f"DEEPSEEK_OPERATOR_{name}": value for name, value in {**settings, **ports}.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DEEPSEEK_OPERATOR_")}
    inherited.pop("PYTHONPATH", None)
    return {**inherited, "KUBECONFIG": str(cluster.kubeconfig), **ours}
