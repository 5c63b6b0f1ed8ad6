"""Every orderly end is over within ten seconds, whatever the API server answers; a second signal ends at once.

One process for each way of answering and each reason to end, side by side: they wait more than they compute.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.local_cluster.control_plane import Cluster
from tests.support.fault_proxy import Answer, Asked, NoAnswer, failing
from tests.support.kubectl import until
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.timeout(600)
END_LIMIT_S = 10.0
LEASE_OVER_S = 25.0
"""Until a lease that can't be renewed is given up: its duration, and a request that hangs."""
SLACK_S = 5.0
"""For a busy machine, on top of what is promised and measured."""

Way = Callable[[OperatorProcess], None]


def answering(answer: Answer | NoAnswer, only: str = "") -> Way:
    """Everything is answered so, or every path with `only` in it."""

    def planted(asked: Asked) -> Answer | NoAnswer | None:
        return answer if only in asked.path else None

    return lambda operator: setattr(operator.proxy, "answer", planted)


WAYS: dict[str, Way] = {
    "as ever": lambda _: None,
    "nothing": answering(NoAnswer.SILENCE),
    "nothing about leases": answering(NoAnswer.SILENCE, only="/leases"),
    "500": answering(failing(500)),
    "429": answering(failing(429, Retry_After="120")),
    "403": answering(failing(403)),
    "HTML": answering(Answer(200, b"<html></html>", content_type="text/html")),
    "a reset": answering(NoAnswer.RESET),
    "nobody there": lambda operator: operator.proxy.refuse(),
}


@dataclass
class Started:
    """One leading process."""

    operator: OperatorProcess
    system: str

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        process = self.operator.process
        assert isinstance(process, subprocess.Popen)
        return process

    def ended_within(self, limit_s: float) -> tuple[int, float]:
        """Its exit code, and the seconds that it took from now."""
        started = time.monotonic()
        return self.process.wait(limit_s), time.monotonic() - started


@contextmanager
def leading(cluster: Cluster, folder: Path, system: str) -> Iterator[Started]:
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    with OperatorProcess(cluster, folder, system, system) as operator:
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{system}/leases/{system}"
        until("it leads", lambda: cluster.api.exists(lease) and _holder(cluster, lease), timeout_s=120, every_s=0.2)
        yield Started(operator, system)
        operator.is_wanted = False


def _holder(cluster: Cluster, lease: str) -> str:
    holder: str = cluster.api.get(lease)["spec"].get("holderIdentity", "")
    return holder


def _sorted_out(cluster: Cluster, folder: Path, end: str, way: str, number: int) -> str:
    """One life; returns what was wrong with its end, or nothing."""
    place = folder / f"{end}-{number}".replace(" ", "-")
    place.mkdir()
    with leading(cluster, place, f"t-{place.name.lower()}-{time.time_ns() % 10**9}") as started:
        started.operator.is_wanted = False
        WAYS[way](started.operator)
        if end == "SIGTERM":
            started.process.send_signal(signal.SIGTERM)
            code, took_s = started.ended_within(END_LIMIT_S + SLACK_S)
            wanted = {0}
        else:
            code, took_s = started.ended_within(LEASE_OVER_S + END_LIMIT_S + SLACK_S)
            wanted = {1}
    print(f"{end} while the API server answers {way}: code {code} after {took_s:.1f} s")
    return "" if code in wanted else f"{end}, answered {way}: code {code}"


@pytest.mark.parametrize("end", ["SIGTERM", "lost lease"])
def test_an_end_is_over_in_time_whatever_the_api_server_answers(controllers: Cluster, tmp_path: Path, end: str) -> None:
    ways = list(WAYS) if end == "SIGTERM" else ["nothing", "nothing about leases", "500", "nobody there"]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(_sorted_out, controllers, tmp_path, end, way, number) for number, way in enumerate(ways)]
        assert [wrong for job in jobs if (wrong := job.result())] == []


def test_a_second_sigterm_ends_at_once(controllers: Cluster, tmp_path: Path) -> None:
    with leading(controllers, tmp_path, f"t-ends-twice-{time.time_ns() % 10**9}") as started:
        started.operator.is_wanted = False
        WAYS["nothing"](started.operator)
        started.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        started.process.send_signal(signal.SIGTERM)
        code, took_s = started.ended_within(SLACK_S)
    print(f"a second SIGTERM: code {code} after {took_s:.1f} s")
    assert code == 128 + signal.SIGTERM
