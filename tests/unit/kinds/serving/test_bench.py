"""The Job that measures one replica, whom it asks and with which limits; and the targets that follow from what it found."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.kinds import BenchWish
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.domain.policy.capacity import Held, Targets, targets
from deepseek_operator.kinds.serving.bench import LABEL, job, objectives, patch
from tests.support.servings import UID, a_serving

REVISION = "1111111111"
READY = [{"type": "Ready", "status": "True"}]
ASKED: dict[str, Any] = {
    "quantile": None, "model": None, "prompt_words": None, "answer_tokens": None, "most_streams": None,
    "load_s": None, "among_others": False, "image": None, "token": "7",
}  # fmt: skip


def wish(limits: dict[str, int] | None = None, **changed: Any) -> BenchWish:
    return BenchWish(limits or {}, **{**ASKED, **changed})


def a_replica(
    name: str = "chat-serve-a", ip: str = "10.0.0.7", revision: str = REVISION, **changed: Any
) -> dict[str, Any]:
    labels = {"deepseek-operator.io/role": "engine", "deepseek-operator.io/revision": revision}
    engine = {"name": "engine", "image": "runtime:1", "ports": [{"name": "http", "containerPort": 8000}]}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [engine]},
        "status": {"podIP": ip, "conditions": READY},
        **changed,
    }


def stable(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return a_serving(status={"stable": REVISION, **(status or {})}, **spec)


def told(made: Mapping[str, Any]) -> dict[str, str]:
    (container,) = made["spec"]["template"]["spec"]["containers"]
    return {one["name"].removeprefix("DEEPSEEK_BENCH_"): one["value"] for one in container["env"]}


def test_the_job_asks_one_replica_at_its_own_address_within_bounds() -> None:
    made = job(stable(), [a_replica("chat-serve-b", "10.0.0.8"), a_replica()], wish())
    assert told(made) == {
        "URL": "http://10.0.0.7:8000",
        "OBJECTIVES": '{"TimeToFirstToken": 500}',
        "QUANTILE": "0.99",
        "IN_FLIGHT": '["vllm:num_requests_running", "vllm:num_requests_waiting"]',
    }
    assert made["spec"]["activeDeadlineSeconds"] == 14400
    assert made["spec"]["ttlSecondsAfterFinished"] == 86400
    assert made["spec"]["backoffLimit"] == 0
    pod = made["spec"]["template"]["spec"]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    assert pod["containers"][0]["image"] == "runtime:1"
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_operator_hears_of_the_job_which_goes_with_the_serving_and_is_controlled_by_nobody() -> None:
    made = job(stable(), [a_replica()], wish())
    (reference,) = made["metadata"]["ownerReferences"]
    assert reference["uid"] == UID
    assert "controller" not in reference
    labels = {**made["metadata"]["labels"], **made["spec"]["template"]["metadata"]["labels"]}
    assert labels[LABEL] == UID
    assert (labels[OWNER_UID], labels["deepseek-operator.io/role"]) == (UID, "bencher")
    assert labels["app.kubernetes.io/managed-by"] == "deepseek-operator"
    assert made["metadata"]["annotations"]["deepseek-operator.io/bench-revision"] == REVISION
    assert job(stable(), [a_replica()], wish(token="8"))["metadata"]["name"] != made["metadata"]["name"]


def test_what_is_wished_is_told() -> None:
    asked = wish(
        {"EndToEnd": 9000}, quantile="0.95", model="legal", prompt_words=64, answer_tokens=32, most_streams=48,
        load_s=120, among_others=True, image="mine:2",
    )  # fmt: skip
    made = job(stable(), [a_replica(ip="fd00::7")], asked)
    assert told(made) == {
        "URL": "http://[fd00::7]:8000",
        "OBJECTIVES": '{"EndToEnd": 9000}',
        "QUANTILE": "0.95",
        "IN_FLIGHT": '["vllm:num_requests_running", "vllm:num_requests_waiting"]',
        "MODEL": "legal",
        "AMONG_OTHERS": "true",
        "PROMPT_WORDS": "64",
        "ANSWER_TOKENS": "32",
        "MOST_STREAMS": "48",
        "LOAD_SECONDS": "120",
    }
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "mine:2"


def scaled(*signals: dict[str, Any]) -> DeepSeekServing:
    return DeepSeekServing.model_validate(a_serving(autoscaling={"maxReplicas": 4, "signals": list(signals)}))


IN_FLIGHT: dict[str, Any] = {"type": "InFlight", "target": 8}


def test_the_objective_is_what_the_serving_is_scaled_by() -> None:
    first, last = {"type": "TimeToFirstToken", "target": 300, "quantile": "0.9"}, {"type": "EndToEnd", "target": 8000}
    assert objectives(scaled(IN_FLIGHT, first), wish()) == ({"TimeToFirstToken": 300}, "0.9")
    assert objectives(scaled(IN_FLIGHT, first, last), wish()) == ({"TimeToFirstToken": 300, "EndToEnd": 8000}, "0.99")
    assert objectives(scaled(IN_FLIGHT, first), wish({"EndToEnd": 5})) == ({"EndToEnd": 5}, "0.99")
    assert objectives(scaled(IN_FLIGHT, first), wish(quantile="0.95"))[1] == "0.95"
    assert objectives(scaled(IN_FLIGHT), wish()) == ({"TimeToFirstToken": 500}, "0.99")


GOING = {
    "name": "chat-serve-a",
    "labels": a_replica()["metadata"]["labels"],
    "deletionTimestamp": "2026-01-01T00:00:00Z",
}
WORKER = {"name": "w", "labels": {"deepseek-operator.io/role": "worker"}}


@pytest.mark.parametrize(
    ("serving", "pods", "words"),
    [
        (stable(suspend=True), [a_replica()], "is suspended: resume it first"),
        (stable({"canary": {"phase": "Baking"}}), [a_replica()], r"tries a new revision \(Baking\)"),
        (stable(), [], "has no replica that is ready"),
        (stable(), [a_replica(status={"podIP": "10.0.0.7", "conditions": []})], "has no replica that is ready"),
        (stable(), [a_replica(metadata=GOING)], "has no replica that is ready"),
        (stable(), [a_replica(metadata=WORKER)], "has no replica that is ready"),
        (stable(engine={"image": "mine:1"}), [a_replica()], "write --image with the operator's runtime image"),
    ],
)
def test_what_can_not_be_measured_is_refused_with_what_to_do(
    serving: dict[str, Any], pods: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        job(serving, pods, wish())


@pytest.mark.parametrize("phase", ["Completed", "RolledBack", "Compared"])
def test_one_whose_run_is_over_is_measured_at_its_stable_revision(phase: str) -> None:
    pods = [a_replica("a", "10.0.0.1", revision="2222222222"), a_replica("b", "10.0.0.2")]
    made = job(stable({"canary": {"phase": phase}}), pods, wish())
    assert told(made)["URL"] == "http://10.0.0.2:8000"


def test_the_image_of_another_engine_is_found_where_the_watchdog_came_from() -> None:
    first = [{"name": "watchdog", "image": "runtime:3"}]
    engine = {"name": "engine", "image": "vllm:1", "ports": [{"name": "http", "containerPort": 8000}]}
    pod = a_replica(spec={"initContainers": first, "containers": [engine]})
    serving = stable(engine={"type": "vllm"}, accelerator={"profile": "nvidia-h200"})
    (container,) = job(serving, [pod], wish())["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "runtime:3"


RESULT: dict[str, Any] = {
    "quantile": 0.99,
    "objectives": {"TimeToFirstToken": 500.0},
    "held": {"streams": 24, "requestsPerSecond": 12.5, "tokensPerSecond": 1600.0},
}


def test_targets_lie_below_what_was_held() -> None:
    assert targets(Held(24, 12.5, 1600.0), 20) == Targets(19, 10, 1280)
    assert targets(Held(24, 12.5, 1600.0), 0) == Targets(24, 12, 1600)
    assert targets(Held(10), 10) == Targets(9, None, None)
    assert targets(Held(1, 0.4, 3.0), 20) == Targets(1, None, 2)


def test_signals_that_follow_replace_their_own_kind_and_leave_others() -> None:
    cache = {"type": "KVCache", "target": 80}
    serving = stable(autoscaling={"minReplicas": 2, "maxReplicas": 12, "signals": [IN_FLIGHT, cache]})
    first = {"type": "TimeToFirstToken", "target": 500, "quantile": "0.99"}
    assert patch(serving, RESULT, 20) == {
        "spec": {"autoscaling": {"maxReplicas": 12, "signals": [{"type": "InFlight", "target": 19}, first, cache]}}
    }


def test_without_autoscaling_no_more_replicas_are_asked_for_than_there_are() -> None:
    change = patch(stable(replicas=3), RESULT, 20)
    assert change["spec"]["autoscaling"]["maxReplicas"] == 3
    merged = stable(replicas=3, **change["spec"])
    found = DeepSeekServing.model_validate(merged).spec.autoscaling
    assert found is not None
    assert [(one.type, one.aim) for one in found.signals] == [("InFlight", 19), ("TimeToFirstToken", 500)]


@pytest.mark.parametrize("held", [None, {}, {"streams": 0}, {"streams": "24"}])
def test_of_no_concurrency_no_target_follows(held: object) -> None:
    with pytest.raises(ValueError, match="no concurrency was found"):
        patch(stable(), {**RESULT, "held": held}, 20)


def test_the_environment_is_what_the_bencher_reads() -> None:
    assert json.loads(told(job(stable(), [a_replica()], wish()))["OBJECTIVES"]) == {"TimeToFirstToken": 500}
