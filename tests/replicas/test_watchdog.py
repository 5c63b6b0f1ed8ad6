"""The watchdog around the built-in engine in a real cluster, under a load that fills both replicas: one of them is stopped."""

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.written import builtin, pods_of
from tests.gateway.load import Load, completion
from tests.main_job.serving import wait_available
from tests.replicas.team import CLAIM
from tests.support.kubectl import Kubectl, until
from tests.support.pod_processes import signalled

pytestmark = pytest.mark.timeout(600)
STALL_S = 30
CLIENTS = 16
"""Each replica computes two at a time: the others wait all along."""
BOUND_S = STALL_S + 45.0
"""The container ends when it has stood still for so long and what it takes to be seen and to end is over: some twelve
seconds, and three times as much on a busy machine. Its probe has it out of the endpoints sooner."""


def test_a_stopped_engine_leaves_the_endpoints_says_where_it_was_and_comes_back_while_a_full_one_is_left_alone(
    kubectl: Kubectl, model: dict[str, bytes], say: Callable[[str], None]
) -> None:
    engine = builtin(concurrency=2, queue=64, watchdog={"stallSeconds": STALL_S})
    head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "metadata": {"name": "stuck"}}
    spec = {"model": {"source": {"uri": f"pvc://{CLAIM}/small"}}, "engine": engine, "replicas": 2}
    kubectl.apply(json.dumps({**head, "spec": spec}))
    wait_available(kubectl, "stuck", timeout_s=240)
    victim, other = pods_of(kubectl, "stuck")
    name = victim["metadata"]["name"]
    service = kubectl.json("get", "service", "stuck-serve")["spec"]
    body = completion(model="stuck", max_tokens=200, ignore_eos=True)
    with Load(service["clusterIP"], "stuck", CLIENTS, 0.0, body=body, port=service["ports"][0]["port"]) as load:
        until("both are full", lambda: all(_waiting(kubectl, one) > 0 for one in (victim, other)), timeout_s=60)
        began_s = time.monotonic()
        assert signalled(victim, "deepseek_runtime.engine", signal.SIGSTOP) >= 1
        until("it is led to no more", lambda: name not in endpoints(kubectl, "stuck"), timeout_s=BOUND_S)
        say(f"a stopped engine is out of the endpoints after {time.monotonic() - began_s:.1f} s")
        until("it is started again", lambda: restarts(kubectl, name) == 1, timeout_s=BOUND_S)
        say(f"its container has ended and begun again after {time.monotonic() - began_s:.1f} s")
        until("it is back", lambda: name in endpoints(kubectl, "stuck"), timeout_s=180)
        say(f"and it is back after {time.monotonic() - began_s:.1f} s")
        answered = load.statuses[200]
        until("requests are answered", lambda: load.statuses[200] > answered + CLIENTS, timeout_s=60)
        assert restarts(kubectl, other["metadata"]["name"]) == 0, "the full one was left alone"
    say(f"{dict(load.statuses)}")
    (ended,) = kubectl.json("get", "pod", name)["status"]["containerStatuses"]
    assert ended["lastState"]["terminated"]["exitCode"] == 76
    status = until("it is recorded", lambda: _record(kubectl), timeout_s=60)
    assert status["restarts"] == 1
    assert [one["pod"] for one in status["last"]] == [name]
    assert "has not answered for its metrics" in status["last"][0]["message"]
    stacks = kubectl.run("logs", name, "--previous", "--container=engine")
    assert "Fatal Python error: Aborted" in stacks
    assert "deepseek_runtime/engine" in stacks
    events = kubectl.json("get", "events", "--field-selector=involvedObject.name=stuck")["items"]
    assert [one["type"] for one in events if one["reason"] == "EngineStalled"] == ["Warning"]
    kubectl.run("delete", "deepseekserving", "stuck", "--wait=true", timeout_s=120)


def _waiting(kubectl: Kubectl, pod: dict[str, Any]) -> float:
    page = kubectl.run(
        "get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod['metadata']['name']}:8000/proxy/metrics"
    )
    lines = [line for line in page.splitlines() if line.startswith("vllm:num_requests_waiting")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def endpoints(kubectl: Kubectl, serving: str) -> set[str]:
    """Names of the pods that clients are led to."""
    slices = kubectl.list("endpointslices", f"kubernetes.io/service-name={serving}-serve")
    found = [one for piece in slices for one in piece.get("endpoints") or ()]
    return {one["targetRef"]["name"] for one in found if one["conditions"].get("ready")}


def restarts(kubectl: Kubectl, pod: str) -> int:
    return sum(one["restartCount"] for one in kubectl.json("get", "pod", pod)["status"]["containerStatuses"])


def _record(kubectl: Kubectl) -> dict[str, Any] | None:
    found: dict[str, Any] | None = kubectl.json("get", "deepseekserving", "stuck")["status"].get("watchdog")
    return found if found and found["restarts"] else None
