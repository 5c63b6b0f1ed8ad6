"""vLLM itself, its build for CPUs, as a serving of a whole cluster: answers, watchdog, canary, autoscaling and full load.

What it serves was trained here, a model and an adapter beside it. One serving goes through all tests, in their order, each
beginning with one replica that serves; each may be run alone.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.written import OWNER, pods_of, scaling
from tests.main_job.serving import Load, client_pod, wait_available
from tests.support import bed as beds
from tests.support.kubectl import Kubectl, until
from tests.support.replicas import ReplicasSeen
from tests.support.watched import Watched
from tests.vllm.rendered import NAME
from tests.vllm_cluster import written
from tests.vllm_cluster.written import AT_ONCE, BASE, STALL_S, theirs

pytestmark = pytest.mark.timeout(1500)

NAMESPACE = "vllm"
START_S = 480
"""One start takes half a minute where nothing else runs, and some minutes on a busy machine."""
MOST, TARGET = 3, 4
CLIENTS = MOST * TARGET + 2
"""Two more than three replicas are for: a client that is slow to ask again takes no replica away."""
HOUR_S = 12 * STALL_S
"""As many of the watchdog's limits as an hour has of the usual ones."""
BOUND_S = STALL_S + 60
"""What the watchdog needs beyond its limit: a look, an answer that does not come, and the stacks; and what a busy machine does."""
STOP = """
import os, pathlib, signal
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
found = [int(pid) for pid in others if b"EngineCore" in pathlib.Path("/proc", pid, "cmdline").read_bytes()]
assert found, "there is no engine"
for pid in found:
    os.kill(pid, signal.SIGSTOP)
"""
"""The process that computes, and not the one that answers probes."""


@pytest.fixture(scope="module")
def kubectl(bed: Kubectl, vllm: str) -> Iterator[Kubectl]:
    """A namespace with what was trained there, and one replica of it."""
    beds.fresh_namespace(bed, NAMESPACE)
    kubectl = bed.within(NAMESPACE)
    load = {"load.py": (written.HERE / "load.py").read_text()}
    kubectl.apply(
        json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "load-files"}, "data": load})
    )
    kubectl.apply(written.words())
    until("the words are written", lambda: _phase(kubectl, "words") == "Succeeded", timeout_s=90)
    for training in (written.base(), written.one()):
        kubectl.apply(training)
    kubectl.apply(theirs(vllm, replicas=1))
    for name in ("base", "one"):
        watched = Watched(kubectl, name)
        watched.until_result("Complete", timeout_s=180)
        watched.close()
    yield kubectl
    bed.run("delete", "namespace", NAMESPACE, "--wait=false")


def _phase(kubectl: Kubectl, pod: str) -> str:
    return str((kubectl.get("pod", pod) or {}).get("status", {}).get("phase"))


@pytest.fixture
def served(kubectl: Kubectl, vllm: str) -> dict[str, Any]:
    """The serving, with one replica that serves."""
    return wait_available(kubectl, "theirs", timeout_s=START_S)


def status(kubectl: Kubectl) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json("get", "deepseekserving", "theirs")["status"]
    return found


def said(kubectl: Kubectl, url: str) -> dict[str, dict[str, str]]:
    """What the model and the adapter answer to all prompts."""
    name = f"ask-{int(time.monotonic() * 1000)}"
    kubectl.apply(
        json.dumps(client_pod(name, beds.RUNTIME_IMAGE, ["ask", url, f"{NAME},one", ",".join(BASE)], "load-files"))
    )
    until("it is answered", lambda: _phase(kubectl, name) in ("Succeeded", "Failed"), timeout_s=90)
    text = kubectl.run("logs", name)
    kubectl.run("delete", "pod", name, "--wait=false")
    found: dict[str, dict[str, str]] = json.loads(text.strip().splitlines()[-1])
    return found


class Busy:
    """Clients of the serving, each of which asks again when it was answered."""

    def __init__(self, kubectl: Kubectl, url: str, clients: int) -> None:
        self._kubectl, self.pod = kubectl, f"load-{clients}"
        self.load = Load(kubectl, url, NAME, beds.RUNTIME_IMAGE, clients, 3600, name=self.pod)

    @property
    def wrong(self) -> list[str]:
        """What was lost so far, described."""
        lines = [json.loads(line) for line in self._kubectl.run("logs", self.pod).splitlines()]
        return [wrong for line in lines for wrong in line["wrong"]]

    def answers(self, count: int = 1) -> None:
        """Waits until so many more requests were answered."""
        before = self.load.answered
        until("requests are answered", lambda: self.load.answered >= before + count, timeout_s=120)


@contextmanager
def busy(kubectl: Kubectl, url: str, clients: int) -> Iterator[Busy]:
    with ExitStack() as stack:
        made = Busy(kubectl, url, clients)
        stack.callback(made.load.stop)
        yield made


def test_model_and_adapter_answer_as_in_the_built_in_engine(kubectl: Kubectl, served: dict[str, Any]) -> None:
    kubectl.apply(written.ours())
    ours = wait_available(kubectl, "ours", timeout_s=120)
    found = said(kubectl, served["status"]["url"])
    assert found == said(kubectl, ours["status"]["url"])
    assert found[NAME] == BASE
    assert not any(found["one"][prompt] == answer for prompt, answer in BASE.items()), "it has learnt otherwise"
    kubectl.run("delete", "deepseekserving", "ours", "--wait=false")


def ready_endpoints(kubectl: Kubectl) -> list[str]:
    """Pods that the Service sends requests to."""
    slices = kubectl.list("endpointslices", f"{OWNER}=theirs")
    found = [end for one in slices for end in one.get("endpoints") or ()]
    return sorted({end["targetRef"]["name"] for end in found if end["conditions"].get("ready")})


def test_a_stopped_engine_leaves_the_endpoints_and_comes_back_with_a_record(
    kubectl: Kubectl, served: dict[str, Any]
) -> None:
    (pod,) = [pod["metadata"]["name"] for pod in pods_of(kubectl, "theirs")]
    with busy(kubectl, served["status"]["url"], 2) as clients:
        clients.answers(4)
        stopped_s = time.monotonic()
        kubectl.run("exec", pod, "--container=engine", "--", "python3", "-c", STOP)
        until("it is out of the endpoints", lambda: not ready_endpoints(kubectl), timeout_s=BOUND_S, every_s=0.2)
        print(f"out of the endpoints after {time.monotonic() - stopped_s:.0f} s")
        until("it is back", lambda: ready_endpoints(kubectl) == [pod], timeout_s=START_S)
        print(f"back after {time.monotonic() - stopped_s:.0f} s")
        clients.answers()
    (container,) = kubectl.json("get", "pod", pod)["status"]["containerStatuses"]
    assert container["restartCount"] == 1
    assert container["lastState"]["terminated"]["exitCode"] == 76
    told = until("it is recorded", lambda: status(kubectl).get("watchdog", {}).get("last"), timeout_s=60)
    assert [one["pod"] for one in told] == [pod]
    assert "2 requests running" in told[0]["message"]
    events = kubectl.json("get", "events", "--field-selector=reason=EngineStalled")["items"]
    assert [event["involvedObject"]["name"] for event in events] == ["theirs"]
    stacks = kubectl.run("logs", "--previous", pod, "--container=engine")
    assert "Fatal Python error" in stacks, stacks[-4000:]
    assert said(kubectl, served["status"]["url"])[NAME] == BASE


JUDGED = ("ErrorRate", "LatencyP90", "TimeToFirstTokenP90")
CANARY = {
    "canary": {
        "steps": [
            {
                "replicas": 1,
                "bakeSeconds": 20,
                "analysis": {
                    "intervalSeconds": 10,
                    "windowSeconds": 20,
                    "minimumSamples": 3,
                    "metrics": [
                        {"type": "ErrorRate", "max": "0.01"},
                        {"type": "Latency", "quantile": "0.9", "max": "60"},
                        {"type": "TimeToFirstToken", "quantile": "0.9", "max": "60"},
                    ],
                },
            }
        ]
    }
}


def test_a_canary_is_judged_by_its_own_metrics_and_takes_over_without_losing_a_request(
    kubectl: Kubectl, served: dict[str, Any], vllm: str
) -> None:
    first = served["status"]["stable"]
    with busy(kubectl, served["status"]["url"], 4) as clients:
        clients.answers(4)
        kubectl.apply(theirs(vllm, env={"VERSION": "2"}, rollout=CANARY, replicas=1))
        until("it is tried", lambda: status(kubectl).get("canary", {}).get("phase") == "Baking", timeout_s=START_S)

        def over() -> dict[str, Any] | None:
            """A run that is held goes on once Prometheus has numbers of it."""
            run: dict[str, Any] = status(kubectl)["canary"]
            return run if run["phase"] in ("Completed", "RolledBack") else None

        run = until("it is judged", over, timeout_s=300)
        print(json.dumps(run))
        until("the old one has ended", lambda: len(pods_of(kubectl, "theirs")) == 1, timeout_s=120)
        clients.answers(4)
        assert clients.wrong == []
    assert run["phase"] == "Completed", run
    values = {metric["name"]: metric for metric in run["analysis"]["metrics"]}
    assert {name: metric["verdict"] for name, metric in values.items()} == dict.fromkeys(JUDGED, "Pass")
    assert all(float(metric["samples"]) >= 3 for metric in values.values())
    assert status(kubectl)["stable"] != first


@dataclass(frozen=True)
class Restarts:
    """Of all engines of the serving, and those that the watchdogs told of."""

    containers: int
    recorded: int


def restarts(kubectl: Kubectl) -> Restarts:
    counts = [one["restartCount"] for pod in pods_of(kubectl, "theirs") for one in pod["status"]["containerStatuses"]]
    return Restarts(sum(counts), status(kubectl).get("watchdog", {}).get("restarts", 0))


def test_replicas_follow_its_queue_and_an_hour_of_full_load_restarts_none_and_no_request_is_lost(
    kubectl: Kubectl, served: dict[str, Any]
) -> None:
    before, url = restarts(kubectl), served["status"]["url"]
    spec = {"replicas": None, "autoscaling": scaling(MOST, TARGET, 60)}
    kubectl.run("patch", "deepseekserving", "theirs", "--type=merge", "--patch", json.dumps({"spec": spec}))
    with ReplicasSeen(kubectl, "theirs") as seen, ExitStack() as after:
        with busy(kubectl, url, CLIENTS) as clients:
            since_s = time.monotonic()
            until("three replicas serve", lambda: seen.states and seen.states[-1].ready >= MOST, timeout_s=START_S)
            full_s = time.monotonic()
            print(f"three replicas after {full_s - since_s:.0f} s")
            time.sleep(max(0.0, since_s + HOUR_S - full_s))
            assert seen.lowest(full_s).specified == MOST
            assert clients.wrong == []
            assert clients.load.answered > HOUR_S / 2
            assert (clients.load.in_flight or 0) > MOST * AT_ONCE, "every replica has what waits"
            assert restarts(kubectl) == before
            few = after.enter_context(busy(kubectl, url, TARGET - 1))
            few.answers(2)
        until("one replica is left", lambda: seen.states[-1].specified == 1, timeout_s=180)
        until("the others have ended", lambda: len(pods_of(kubectl, "theirs")) == 1, timeout_s=120)
        few.answers(2)
        assert few.wrong == []
    assert restarts(kubectl).recorded == before.recorded
