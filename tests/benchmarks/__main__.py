"""`tests/run benchmarks`: how fast the operator is, on a real API server that it starts for itself.

    waves    many resources at once: until all have their children, beside a bare client that posts the same children
    alone    one resource beside all of those, at rest: until it has its children
    at rest  processor time and requests in a minute in which nothing happens, all of them suspended

Nothing is judged: the figures are for people, and only ratios carry from one machine to another.
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for
from tests.benchmarks.creation import SERVINGS, TRAININGS, Creation, Wave, alone, created
from tests.support.canonical import COLLECTIONS
from tests.support.our_kinds import serving_our_kinds

ROOT = Path(__file__).parents[2]
SYSTEM = "deepseek-system"
CLAIM = {
    "metadata": {"name": "models"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}
REST_S = 60.0


def main() -> None:
    """Measures everything and prints a table."""
    parser = ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--trainings", type=int, default=500, metavar="N")
    parser.add_argument("--servings", type=int, default=200, metavar="N")
    options = parser.parse_args()
    api_server = contextmanager(serving_our_kinds)
    with tempfile.TemporaryDirectory() as folder, api_server(Path(folder)) as cluster, _operator(cluster) as pid:
        print(
            "| wave | resources | children | operator | resources/s | bare client | ratio | RSS | CPU |\n|" + 9 * "---|"
        )
        for wave, count in ((TRAININGS, options.trainings), (SERVINGS, options.servings)):
            _wave(cluster, wave, count, pid)
        for wave in (TRAININGS, SERVINGS):
            told = sorted(asyncio.run(alone(cluster, wave, _namespace(wave), 20)))
            print(f"one {wave.kind} beside them: median {_ms(statistics.median(told))}, longest {_ms(told[-1])} of 20")
        for wave in (TRAININGS, SERVINGS):
            _suspend_all(cluster, wave)
        cpu_s, requests = _cpu_s(pid), _requests(cluster)
        time.sleep(REST_S)
        asked, used_s = _requests(cluster) - requests, _cpu_s(pid) - cpu_s
        print(f"at rest: {asked} requests and {used_s:.2f} s of CPU in {REST_S:.0f} s")


def _wave(cluster: Cluster, wave: Wave, count: int, pid: int) -> None:
    namespace = _namespace(wave)
    for name in (namespace, f"{namespace}-bare"):
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    if wave is SERVINGS:
        cluster.api.create(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", CLAIM)
    before_s = _cpu_s(pid)
    measured = asyncio.run(created(cluster, wave, namespace, count, lambda line: print(line, file=sys.stderr)))
    print(_row(wave, measured, pid, _cpu_s(pid) - before_s))


def _suspend_all(cluster: Cluster, wave: Wave) -> None:
    """Brings all to rest: without a kubelet the pods that they wait for would never come."""
    path = COLLECTIONS[wave.kind].format(_namespace(wave))
    names = [item["metadata"]["name"] for item in cluster.api.get(path)["items"]]
    for name in names:
        cluster.api.patch(f"{path}/{name}", {"spec": {"suspend": True}})

    def rest() -> bool:
        found = cluster.api.get(path)["items"]
        return all(item["status"].get("phase") == "Suspended" for item in found)

    wait_for(f"every {wave.kind} is suspended", rest, timeout_s=300, every_s=2)


def _row(wave: Wave, measured: Creation, pid: int, cpu_s: float) -> str:
    cells = (
        wave.kind,
        measured.count,
        measured.children,
        f"{measured.operator_s:.2f} s",
        f"{measured.count / measured.operator_s:.0f}",
        f"{measured.bare_s:.2f} s",
        f"{measured.ratio:.1f}",
        f"{_rss_mb(pid):.0f} MB",
        f"{cpu_s:.1f} s",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


@contextmanager
def _operator(cluster: Cluster) -> Iterator[int]:
    """The operator with its shipped settings, out of the cluster; yields its pid once it holds the lease."""
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
    settings = {"NAMESPACE": SYSTEM, "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "warning"}
    ports = {"HEALTH_PORT": "0", "METRICS_PORT": "0"}
    environment = {f"DEEPSEEK_OPERATOR_{name}": value for name, value in {**settings, **ports}.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DEEPSEEK_OPERATOR_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "deepseek_operator", "run"],
        cwd=ROOT / "operator",
        env={**inherited, "KUBECONFIG": str(cluster.kubeconfig), **environment},
    )
    try:
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
        wait_for("the operator leads", lambda: bool(cluster.api.get(leases)["items"]), timeout_s=60)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _namespace(wave: Wave) -> str:
    return wave.kind.lower()


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def _requests(cluster: Cluster) -> int:
    """Requests of the operator that ended, watches excluded, by the audit log."""
    lines = cluster.audit_log.read_text().splitlines()
    return sum('"userAgent":"deepseek-operator' in line and '"verb":"watch"' not in line for line in lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    main()
