"""The life of trainings on a whole cluster: real pods, real steps, real losses of workers."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.written import hyperparameters, tiny, trainer
from tests.support import bed as beds
from tests.support.kubectl import Kubectl, until
from tests.support.watched import Watched

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
CUSTOM = ROOT / "examples" / "custom-trainer"
FAKE_NODE = {"kubernetes.io/hostname": "fake-0"}
Watch = Callable[..., Watched]


@pytest.fixture
def watch(kubectl: Kubectl) -> Iterator[Watch]:
    """Applies a training of the given name and fields of the spec, and watches it."""
    watched: list[Watched] = []

    def apply(name: str, manifest: dict[str, Any] | str | None = None, **spec: Any) -> Watched:
        kubectl.apply(manifest if isinstance(manifest, str) else json.dumps(tiny(name, **spec)))
        watched.append(Watched(kubectl, name))
        return watched[-1]

    yield apply
    for one in watched:
        one.close()


def assert_one_training(watched: Watched, *attempts: int) -> None:
    """Every step from the first to the last was made, and one that was made twice gave the same loss, bit for bit."""
    losses: dict[int, float] = {}
    for attempt in attempts:
        mine = watched.losses(attempt)
        assert mine, f"attempt {attempt} made no step"
        assert list(mine) == list(range(min(mine), max(mine) + 1))
        assert min(mine) <= max(losses, default=0) + 1, f"attempt {attempt} left steps out"
        assert {step: loss for step, loss in mine.items() if step in losses} == {
            step: loss for step, loss in losses.items() if step in mine
        }
        losses |= mine
    assert min(losses) == 1


def test_a_wrong_path_costs_an_edit_and_more_steps_cost_a_name(kubectl: Kubectl, watch: Watch) -> None:
    wrong = [{"source": {"uri": "image:///nosuch.jsonl"}}]
    first = watch("first", datasets=wrong, hyperparameters=hyperparameters(20), checkpoints={"volume": {"size": "1Gi"}})
    failed = first.until_result("Failed")
    assert "/nosuch.jsonl" in failed["resultMessage"]
    first.patch(datasets=[{"source": {"uri": "builtin://uppercase"}}])
    complete = first.until_result("Complete")
    assert (complete["attempt"]["number"], complete["lastCheckpoint"]["step"]) == (2, 20)
    more = {key: value for key, value in hyperparameters().items() if key != "maxSteps"}
    named = {"resume": {"from": {"training": "first"}}}
    second = watch("second", hyperparameters={**more, "moreSteps": 10}, checkpoints=named)
    second.until_result("Complete")
    assert list(second.losses(1)) == list(range(21, 31))
    (made,) = kubectl.json("get", "pvc")["items"]
    kubectl.run("delete", "deepseektraining", "first", "second")
    kept = until(
        "the claim that is kept is told",
        lambda: [
            event["message"]
            for event in kubectl.json("get", "events", "--field-selector=reason=CheckpointsRetained")["items"]
        ],
        timeout_s=30,
    )
    assert [made["metadata"]["name"] in message for message in kept] == [True]


def test_a_plain_script_on_an_existing_claim_goes_on_from_its_manifest_when_stopped_and_when_killed(
    kubectl: Kubectl, watch: Watch
) -> None:
    image = ("--add", "example.com/custom-trainer:dev", "--from", "runtime")
    beds.tests_cluster("images", *image, "--file", f"{CUSTOM / 'train.py'}=/app/train.py")
    sine = watch("sine", (CUSTOM / "training.yaml").read_text())
    sine.until_step(1, 300)

    # Under a shell the script is not the first process of its container, so that SIGKILL can reach it.
    sine.patch(trainer={"type": "custom", "command": ["sh", "-c", "python3 /app/train.py; exit $?"]})
    stopped = sine.until("the edit stopped attempt 1", lambda status: status["attempt"]["number"] == 2)
    assert (stopped.get("restarts", 0), stopped.get("disruptions", 0)) == (0, 0)
    sine.until_step(2, max(sine.losses(1)) + 300)
    assert min(sine.losses(2)) == max(sine.losses(1)) + 1

    sine.signal(sine.pods(2)[0], "SIGKILL")
    crashed = sine.until("the crash is counted", lambda status: status.get("restarts") == 1)
    assert crashed["history"][-1]["message"].startswith("Error with exit code 137")
    sine.until_step(3, 1)
    first = min(sine.losses(3))
    assert first % 100 == 1, "a killed script goes on after a step that it saves at"
    root = f"/checkpoints/{crashed['record']['uid']}"
    origin = json.loads(
        kubectl.run("exec", sine.pods(3)[0], "--", "sh", "-c", f'cat "{root}/$DEEPSEEK_POD_UID/origin.json"')
    )
    assert origin["resumedFrom"] == {"incarnation": crashed["record"]["ancestry"][-1]["incarnation"], "step": first - 1}

    done = sine.until_result("Complete")
    assert (done["restarts"], done["attempt"]["number"], done["volume"]["claimName"]) == (1, 3, "checkpoints")
    assert max(sine.losses(3)) == 20000
    assert_one_training(sine, 1, 2, 3)


def test_evicting_rank_0_is_one_disruption_although_rank_1_then_crashes(watch: Watch) -> None:
    gang = watch("gang", nodes={"count": 2}, hyperparameters=hyperparameters(steps=200))
    gang.until("a checkpoint lies behind", lambda _: 20 in gang.checkpoints(1))
    gang.until_step(1, max(gang.losses(1)) + 5)
    zero, one = gang.pods(1)
    gang.signal(zero, "SIGSTOP")  # A frozen worker cannot save before its grace is over: it is lost.
    gang.evict(zero, grace_s=5)
    gang.signal(one, "SIGKILL")  # While rank 0 is still going: left alone, the Job may stop rank 1 before it crashes.
    ended = gang.until("attempt 1 has ended", lambda status: status.get("history"))
    assert (ended["history"][0]["verdict"], ended["history"][0]["cause"]) == ("Disruption", "EvictionByEvictionAPI")
    exits = {failure["pod"]: failure.get("exitCode") for failure in ended["attempt"]["failures"]}
    assert exits[one] == 137, f"rank 1 should have crashed: {ended['attempt']['failures']}"

    done = gang.until_result("Complete")
    assert (done.get("restarts", 0), done["disruptions"], done["attempt"]["number"]) == (0, 1, 2)
    assert min(gang.losses(2)) <= max(gang.losses(1)), "no step was lost"
    assert min(gang.losses(2)) > 20
    assert_one_training(gang, 1, 2)
    assert (done["progress"]["step"], done["progress"]["state"]) == (200, "Complete")
    assert done["progress"]["loss"] == f"{gang.losses(2)[200]:.4g}"


DENSE = {
    "model_type": "qwen2",
    "tie_word_embeddings": True,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
ASK = """
import json, urllib.request
body = {"prompt": "hello=", "temperature": 0, "max_tokens": 8, "ignore_eos": True}
request = urllib.request.Request("http://127.0.0.1:8000/v1/completions", json.dumps(body).encode())
print(json.load(urllib.request.urlopen(request, timeout=30))["usage"]["completion_tokens"])
"""


def test_a_killed_process_of_two_pods_starts_again_in_both(kubectl: Kubectl, watch: Watch) -> None:
    gang = watch("inplace", nodes={"count": 2}, failurePolicy={}, hyperparameters=hyperparameters(steps=120))
    gang.until("a checkpoint lies behind", lambda _: 20 in gang.checkpoints(1))
    pods = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in kubectl.list("pods", gang.selector)}
    gang.signal(gang.pods(1)[1], "SIGKILL")
    told = gang.until("it is told", lambda status: status.get("inPlaceRestarts"))
    assert told["inPlaceRestarts"]["count"] == 1
    assert "rank 1 died of SIGKILL" in told["inPlaceRestarts"]["cause"]
    done = gang.until_result("Complete")
    assert (done["attempt"]["number"], done.get("restarts", 0), done.get("disruptions", 0)) == (1, 0, 0)
    assert {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in kubectl.list("pods", gang.selector)} == pods


def test_a_dense_model_is_trained_by_two_killed_resumed_and_served(kubectl: Kubectl, watch: Watch) -> None:
    failures = {"maxRestarts": 1, "maxInPlaceRestarts": 0}
    settings = {"model": {"custom": DENSE}, "nodes": {"count": 2}, "failurePolicy": failures}
    gang = watch("dense", **settings, hyperparameters=hyperparameters(steps=200))
    gang.until("a checkpoint lies behind", lambda _: 20 in gang.checkpoints(1))
    gang.signal(gang.pods(1)[1], "SIGKILL")
    serving = {
        "model": {"fromTraining": {"name": "dense", "checkpoint": "Latest"}},
        "engine": {"resources": {"cpu": "50m", "memory": "1Gi"}},
    }
    head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "metadata": {"name": "dense"}}
    kubectl.apply(json.dumps({**head, "spec": serving}))
    done = gang.until_result("Complete")
    assert (done["restarts"], done["attempt"]["number"]) == (1, 2)
    assert min(gang.losses(2)) > 20
    assert_one_training(gang, 1, 2)
    kubectl.run("wait", "deepseekserving/dense", "--for=condition=Ready", "--timeout=90s")
    (pod,) = kubectl.json("get", "pods", "-l", "deepseek-operator.io/serving=dense")["items"]
    assert kubectl.run("exec", pod["metadata"]["name"], "--", "python3", "-c", ASK).strip() == "8"


def test_a_killed_trainer_beyond_max_restarts_is_final_and_says_why(kubectl: Kubectl, watch: Watch) -> None:
    gang = watch("fragile", nodes={"count": 2})
    gang.until_step(1, 5)
    worker = gang.pods(1)[1]
    gang.signal(worker, "SIGKILL")
    failed = gang.until_result("Failed")
    kind, reason, message = gang.told(failed)
    assert (kind, reason, failed["phase"]) == ("Stalled", "TooManyRestarts", "Failed")
    assert (
        f"crash 1, and failurePolicy.maxRestarts is 0: Error with exit code 137 in pod {worker}: rank 1 died of SIGKILL"
        in message
    )
    described = kubectl.run("describe", "deepseektraining", "fragile")
    for telling in ("TooManyRestarts", "AttemptStarted", "AttemptCrashed", "rank 1 died of SIGKILL"):
        assert telling in described
    assert "rank 1 died of SIGKILL" in kubectl.run("logs", worker), "the logs of what failed are kept"
    gang.patch(failurePolicy={"maxRestarts": 5})
    gang.until("the edit is seen", lambda status: status["observedGeneration"] == 2)
    jobs = kubectl.list("jobs", gang.selector)
    assert [job["metadata"]["labels"]["deepseek-operator.io/attempt"] for job in jobs] == ["1"]


def test_suspending_and_editing_the_environment_lose_no_step_and_count_nothing(kubectl: Kubectl, watch: Watch) -> None:
    one = watch("paused")
    one.until_step(1, 30)
    one.patch(suspend=True)
    rests = one.until("it rests", lambda status: status.get("phase") == "Suspended")
    assert one.told(rests)[:2] == ("Suspended", "Suspended")
    until("Job and pods are gone", lambda: not kubectl.list("jobs,pods", one.selector), timeout_s=20)
    saved = max(one.losses(1))
    assert {"event": "stop", "step": saved}.items() <= one.records[-1][1].items()
    assert rests["lastCheckpoint"]["step"] == saved, "the step at which it stopped was saved"

    one.patch(suspend=False)
    one.until_step(2, saved + 10)
    assert min(one.losses(2)) == saved + 1
    one.patch(trainer={"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]})
    done = one.until_result("Complete")
    assert min(one.losses(3)) == max(one.losses(2)) + 1
    assert_one_training(one, 1, 2, 3)
    assert (done.get("restarts", 0), done.get("disruptions", 0)) == (0, 0)
    assert [record["verdict"] for record in done["history"]] == ["Stopped", "Stopped", "Complete"]


def test_deleting_takes_pods_and_jobs_and_only_the_claim_that_may_go(kubectl: Kubectl, watch: Watch) -> None:
    volume = {"size": "1Gi", "accessMode": "ReadWriteMany"}
    kept = watch("kept", checkpoints={"everySteps": 5, "volume": volume})
    gone = watch("gone", checkpoints={"everySteps": 5, "volume": volume, "onDelete": "Delete"})
    for one in (kept, gone):
        one.until_step(1, 5)
    claims = {one.name: one.status()["volume"]["claimName"] for one in (kept, gone)}
    kubectl.run("delete", "deepseektraining", "kept", "gone", "--wait=true")

    def left() -> list[str]:
        return [
            f"{item['kind']}/{item['metadata']['name']}"
            for item in kubectl.list("jobs,pods,services,persistentvolumeclaims")
            if item["metadata"]["name"] != "kubernetes"
        ]

    until("only the kept claim is left", lambda: left() == [f"PersistentVolumeClaim/{claims['kept']}"], timeout_s=60)
    assert "ownerReferences" not in kubectl.json("get", "pvc", claims["kept"])["metadata"]


def test_an_image_that_cannot_be_pulled_is_named_while_starting_and_when_it_fails(watch: Watch) -> None:
    image = "registry.invalid/absent:1"
    policy = {"maxRestarts": 0, "startTimeoutSeconds": 10}
    absent = watch("absent", trainer=trainer(image=image), failurePolicy=policy)
    starting = absent.until("the kubelet's reason is told", lambda status: "ImagePull" in absent.told(status)[2])
    assert (absent.told(starting)[:2], starting["phase"]) == (("Reconciling", "ImagePullFailed"), "Pending")
    kind, reason, message = absent.told(absent.until_result("Failed"))
    assert (kind, reason) == ("Stalled", "TooManyRestarts")
    assert "StartTimeout" in message
    assert "ImagePull" in message
    assert image in message


def test_a_training_without_free_accelerators_waits_in_the_schedulers_words(watch: Watch) -> None:
    beds.tests_cluster("up", "--fake-nodes", "1")
    needs = {
        "accelerator": {"resource": "nvidia.com/gpu", "perNode": 8},
        "trainer": trainer(pod={"nodeSelector": FAKE_NODE, "tolerations": [{"operator": "Exists"}]}),
    }
    first = watch("first", **needs)
    first.until("it runs", lambda status: status.get("phase") == "Running")
    second = watch("second", **needs)
    waits = second.until("it waits", lambda status: second.told(status)[1] == "WaitingForCapacity")
    kind, _, message = second.told(waits)
    assert kind == "Reconciling"
    assert "Insufficient nvidia.com/gpu" in message
    first.patch(suspend=True)
    runs = second.until("it runs", lambda status: status.get("phase") == "Running")
    assert (second.told(runs)[:2], runs["attempt"]["number"]) == (("Ready", "Running"), 1)
