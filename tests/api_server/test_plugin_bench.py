"""`kubectl deepseek bench` on a real API server: the Job is made with the user's own rights and run by the real controller; what
its pod says, which a real bencher says in tests/runtime, is shown, kept for a day and turned into a patch that is taken."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.support.bench import LIMIT_S, SERVING, Bench
from tests.support.fake_kubelet import FakeKubelet
from tests.support.kubectl import until
from tests.support.plugin import OURS, Answer, Plugin, tenant

LOAD: dict[str, Any] = {
    "streams": 24, "verdict": "Held", "requests": 368, "failed": 0, "quantile": 0.99, "misses": {"TimeToFirstToken": 2},
    "quantiles": {"TimeToFirstToken": {"ms": 412.5, "samples": 368, "between": [398.0, 455.0]}}, "seconds": 41.2,
    "requestsPerSecond": 12.5, "tokensPerSecond": 1600.0, "promptTokens": 300, "answerTokens": 128,
}  # fmt: skip
RESULT = {
    "streams": 24,
    "quantile": 0.99,
    "objectives": {"TimeToFirstToken": 500.0},
    "held": LOAD,
    "brokenAt": 25,
    "why": "",
}
LOG = f"{json.dumps({'load': LOAD})}\n{json.dumps({'result': RESULT})}\n"
NOTHING = f"{json.dumps({'result': {**RESULT, 'streams': 0, 'held': None, 'brokenAt': 1}})}\n"
ALLOWED: list[Mapping[str, Any]] = [
    {**OURS, "verbs": ["get", "list"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "create", "delete"]},
    {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
]
"""As docs/bench.md says."""


@pytest.fixture
def served(bench: Bench) -> Bench:
    """`x`, whose replicas are ready and have addresses."""
    bench.claim("models")
    bench.create("DeepSeekServing", SERVING)
    bench.reaches("DeepSeekServing", "Available")
    for number, pod in enumerate(bench.node.pods("deepseek-operator.io/role=engine")):
        address = f"10.0.0.{number + 1}"
        status = {"podIP": address, "podIPs": [{"ip": address}]}
        path = f"/api/v1/namespaces/{bench.namespace}/pods/{pod['metadata']['name']}/status"
        bench.api.patch(path, {"status": status})
    return bench


@contextmanager
def ending(bench: Bench, kubelet: FakeKubelet, log: str, code: int, words: str = "") -> Iterator[None]:
    """The bencher's pod says this and ends, as soon as there is one."""

    def live() -> None:
        def pods() -> list[dict[str, Any]]:
            found = bench.node.pods("app.kubernetes.io/name=deepseek-bench")
            return [pod for pod in found if pod["status"].get("phase") == "Running"]

        until("the bencher runs", lambda: bool(pods()), timeout_s=LIMIT_S, every_s=0.2)
        (pod,) = pods()
        kubelet.texts[pod["metadata"]["name"], "bencher", False] = log
        bench.node.end(pod, code, words)

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    yield
    thread.join(LIMIT_S)


def run(served: Bench, plugin: Plugin, kubelet: FakeKubelet, log: str, code: int = 0, *options: str) -> Answer:
    with ending(served, kubelet, log, code, "bencher: HTTP 503: loading" if code else ""):
        return plugin("bench", "x", "--yes", *options)


def test_a_tenant_measures_a_replica_and_takes_what_follows(
    served: Bench, plugin: Plugin, kubelet: FakeKubelet, tmp_path: Any
) -> None:
    mine = tenant(served, tmp_path, plugin, *ALLOWED)
    answer = run(served, mine, kubelet, LOG, 0, "--first-token", "500")
    assert answer.code == 0, answer.err
    assert "serving/x: one replica answers 24 requests at a time within 500 ms of TimeToFirstToken at P99" in answer.out
    assert "24 at a time: held · P99 TimeToFirstToken 412.5 ms · 1600 tokens/s · 368 requests in 41.2 s" in answer.err
    (job,) = served.api.get(f"/apis/batch/v1/namespaces/{served.namespace}/jobs")["items"]
    assert served.env(job)["DEEPSEEK_BENCH_URL"] == "http://10.0.0.1:8000"
    assert served.env(job)["DEEPSEEK_BENCH_OBJECTIVES"] == '{"TimeToFirstToken": 500}'
    assert mine("bench", "x", "--last").out == answer.out
    told = json.loads(mine.said("bench", "x", "--last", "-o", "json"))
    assert told["result"] == RESULT
    change = yaml.safe_load(mine.said("bench", "x", "--last", "-o", "patch"))
    assert change["spec"] == told["patch"]["spec"]
    served.api.patch(served.path("DeepSeekServing"), {"spec": change["spec"]})
    signals = served.api.get(served.path("DeepSeekServing"))["spec"]["autoscaling"]["signals"]
    assert [(one["type"], one["target"]) for one in signals] == [("InFlight", 19), ("TimeToFirstToken", 500)]
    assert "DeepSeekServing" not in [one["kind"] for one in job["metadata"]["ownerReferences"] if one.get("controller")]


def test_nobody_loads_a_replica_without_being_asked(served: Bench, plugin: Plugin) -> None:
    answer = plugin("bench", "x")
    assert answer.code == 1
    assert "bench loads x-serve-" in answer.err
    assert "Write --yes where nobody can be asked" in answer.err
    assert served.api.get(f"/apis/batch/v1/namespaces/{served.namespace}/jobs")["items"] == []


def test_what_holds_nothing_or_is_not_measured_is_told_by_the_exit_status(
    served: Bench, plugin: Plugin, kubelet: FakeKubelet
) -> None:
    assert "no bench of serving/x is kept" in plugin("bench", "x", "--last").err
    nothing = run(served, plugin, kubelet, NOTHING)
    assert (nothing.code, nothing.out.split(":")[0]) == (1, "serving/x")
    assert plugin("bench", "x", "--last", "-o", "patch").err.startswith("no concurrency was found")
    failed = run(served, plugin, kubelet, "bencher: HTTP 503: loading\n", 1)
    assert (failed.code, failed.out) == (1, "")
    assert "serving/x was not measured: bencher: HTTP 503: loading" in failed.err


def test_there_is_one_bench_at_a_time_of_one_that_answers(served: Bench, plugin: Plugin) -> None:
    uid = served.api.get(served.path("DeepSeekServing"))["metadata"]["uid"]
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    job = {"metadata": {"name": "other", "labels": {"deepseek-operator.io/bench": uid}}, "spec": {"template": template}}
    served.api.create(f"/apis/batch/v1/namespaces/{served.namespace}/jobs", job)
    assert "runs already: wait for it, or end it by kubectl delete job other" in plugin("bench", "x", "--yes").err
    served.create("DeepSeekTraining", {"model": {"custom": {}}, "datasets": [{"source": {"uri": "builtin://uppercase"}}], "hyperparameters": {"maxSteps": 1}}, "learns")  # fmt: skip
    assert "training/learns answers no requests: bench is not for it" in plugin("bench", "learns", "--yes").err
