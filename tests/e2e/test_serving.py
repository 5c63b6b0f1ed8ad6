"""Servings on a whole cluster: real engines, real HTTP requests, a real autoscaler on a real Prometheus.

One model is trained for a few steps and served by everything here. A load of constant size begins first and goes on
while the other tests run; the last test asks what became of its replicas.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.written import EXAMPLES, OWNER, SMALL, builtin, manifest, pods_of, scaling, tune
from tests.main_job.serving import Load, client_pod, provide_files, wait_available
from tests.support import bed as beds
from tests.support.examples import resource
from tests.support.kubectl import Kubectl, NotReached, until
from tests.support.monitoring import Monitoring
from tests.support.replicas import ReplicasSeen

pytestmark = pytest.mark.timeout(420)

HERE = Path(__file__).parent
NAMESPACE = "e2e-serving"
ENGINE_IMAGE = "deepseek-operator.io/e2e-engine:dev"

HOLD_S = 300.0
"""How long a constant load must keep its three replicas."""
CONSTANT_CLIENTS, CONSTANT_TARGET = 12, 2

FLEET = 6
FLEET_TARGET, FLEET_CLIENTS, REQUEST_SECONDS = 2, 18, "1"
"""Half as many clients again as six replicas are for: a client that is slow to ask again takes no replica away."""
SETTLE_S = 15.0
"""Longer than the operator's signal interval and the fleet's window for scaling down together would need to act."""

CARD = "example.com/card"
TINY = {"cpu": "10m", "memory": "128Mi"}


def sleeping(**more: Any) -> dict[str, Any]:
    """The engine of `engine.py`."""
    command = ["python3", "/app/engine.py", "8000", REQUEST_SECONDS]
    return {"type": "custom", "image": ENGINE_IMAGE, "command": command, "resources": TINY, **more}


CHAT = {"engine": builtin(concurrency=1, queue=2), "replicas": 2}
CHAT_PLACES = 2 * (1 + 2)
QUICK = {"pod": {"terminationGracePeriodSeconds": 20}}


@pytest.fixture(scope="module")
def team(bed: Kubectl) -> Iterator[Kubectl]:
    """A namespace with a trained model and the servings that the tests begin with."""
    files = [f"{HERE / name}=/app/{name}" for name in ("engine.py", "ask.py")]
    beds.tests_cluster("images", "--add", ENGINE_IMAGE, *(part for file in files for part in ("--file", file)))
    beds.fresh_namespace(bed, NAMESPACE)
    kubectl = bed.within(NAMESPACE)
    provide_files(kubectl, "load-files", [])
    kubectl.apply(tune())
    kubectl.apply(manifest("constant", engine=builtin(), autoscaling=scaling(3, CONSTANT_TARGET, 30)))
    kubectl.apply(manifest("chat", **CHAT))
    kubectl.apply(manifest("fleet", engine=sleeping(), replicas=FLEET, **QUICK))
    yield kubectl
    bed.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def kubectl(team: Kubectl) -> Kubectl:
    return team


def serving(kubectl: Kubectl, name: str) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json("get", "deepseekserving", name)
    return found


def condition(kubectl: Kubectl, name: str, type_: str = "Reconciling") -> dict[str, str]:
    conditions: list[dict[str, str]] = serving(kubectl, name)["status"]["conditions"]
    return next(condition for condition in conditions if condition["type"] == type_)


def scaling_active(kubectl: Kubectl, name: str) -> str:
    scaler = kubectl.get("horizontalpodautoscaler", f"{name}-serve") or {}
    conditions = scaler.get("status", {}).get("conditions", ())
    return next((str(c["status"]) for c in conditions if c["type"] == "ScalingActive"), "Unknown")


def wait_scaling(kubectl: Kubectl, name: str, active: str) -> None:
    what = f"ScalingActive of {name} is {active}"
    until(what, lambda: scaling_active(kubectl, name) == active, timeout_s=90, every_s=1)


def load_on(kubectl: Kubectl, name: str, clients: int) -> Load:
    url = serving(kubectl, name)["status"]["url"]
    return Load(kubectl, url, name, beds.RUNTIME_IMAGE, clients, 1200, name=f"load-{name}")


def ask(kubectl: Kubectl, *arguments: str) -> Any:
    """What `ask.py` prints."""
    pod = client_pod("ask", ENGINE_IMAGE, [], "load-files")
    pod["spec"]["containers"][0]["command"] = ["python3", "/app/ask.py", *arguments]
    kubectl.apply(json.dumps(pod))
    ended = ("Succeeded", "Failed")
    until("it is answered", lambda: kubectl.get("pod", "ask")["status"].get("phase") in ended, timeout_s=90)  # type: ignore[index]
    text = kubectl.run("logs", "ask")
    kubectl.run("delete", "pod", "ask", "--wait=true")
    return json.loads(text.strip().splitlines()[-1])


@dataclass
class Constant:
    """The load that goes on, and what its serving's replicas did."""

    load: Load
    seen: ReplicasSeen
    since_s: float
    registers: tuple[int, ...] = ()


@pytest.fixture(scope="module")
def constant(team: Kubectl) -> Iterator[Constant]:
    """Clients on kept-alive connections, once one replica serves; `since_s` is set when three do."""
    wait_available(team, "constant", timeout_s=180)
    registered = serving(team, "constant")["spec"]["replicas"]
    with ReplicasSeen(team, "constant") as seen:
        load = load_on(team, "constant", CONSTANT_CLIENTS)
        try:
            what = "three replicas serve"
            until(what, lambda: seen.states and seen.states[-1].ready >= 3, timeout_s=180)
            yield Constant(load, seen, time.monotonic(), (registered,))
        finally:
            load.stop()


def test_a_serving_whose_replicas_were_left_out_is_scaled_by_its_load(kubectl: Kubectl, constant: Constant) -> None:
    assert constant.registers == (1,), "the schema's default"
    assert scaling_active(kubectl, "constant") == "True"
    assert serving(kubectl, "constant")["spec"]["replicas"] == 3
    assert constant.load.failed == 0


def test_a_served_model_streams_piece_by_piece_through_the_service(kubectl: Kubectl, constant: Constant) -> None:
    url = wait_available(kubectl, "chat", timeout_s=180)["status"]["url"]
    told = ask(kubectl, "stream", url, "chat")
    assert (told["status"], told["last"]) == (200, "[DONE]")
    assert told["type"].startswith("text/event-stream")
    assert "".join(told["texts"]) == told["whole"]
    assert len(told["texts"]) > 1
    assert told["at_s"][-1] > 1.5 * told["at_s"][0], f"all at once is no stream: {told['at_s']}"


def test_a_full_engine_refuses_with_429_and_answers_what_it_took(kubectl: Kubectl) -> None:
    url = wait_available(kubectl, "chat", timeout_s=180)["status"]["url"]
    told = ask(kubectl, "burst", url, "chat", str(4 * CHAT_PLACES))
    assert set(told["statuses"]) == {"200", "429"}
    assert told["retryAfter"] == ["1"]


@pytest.fixture(scope="module")
def fleet(team: Kubectl) -> Iterator[tuple[Load, ReplicasSeen]]:
    """Six replicas under a load that needs them all, watched from before they are autoscaled."""
    wait_available(team, "fleet", timeout_s=120)
    with ReplicasSeen(team, "fleet") as seen, ExitStack() as stack:
        load = load_on(team, "fleet", FLEET_CLIENTS)
        stack.callback(load.stop)
        until("the watch shows six", lambda: seen.states and seen.states[-1].ready == FLEET, timeout_s=30)
        until("every client has asked thrice", lambda: load.answered >= 3 * FLEET_CLIENTS, timeout_s=60)
        yield load, seen


def fewest(seen: ReplicasSeen, since_s: float) -> int:
    """Replicas that were asked for, or that served, at the worst moment since then."""
    lowest = seen.lowest(since_s)
    return min(lowest.specified, lowest.ready)


def test_autoscaling_in_place_of_replicas_takes_none_away(kubectl: Kubectl, fleet: tuple[Load, ReplicasSeen]) -> None:
    _, seen = fleet
    since_s = time.monotonic()
    kubectl.apply(manifest("fleet", engine=sleeping(), autoscaling=scaling(FLEET, FLEET_TARGET, 5), **QUICK))
    assert serving(kubectl, "fleet")["spec"]["replicas"] == 1, "the register fell back to the schema's default"
    wait_scaling(kubectl, "fleet", "True")
    what = "the autoscaler has brought the register back"
    until(what, lambda: serving(kubectl, "fleet")["spec"]["replicas"] >= FLEET, timeout_s=60, every_s=1)
    assert fewest(seen, since_s) == FLEET


def test_replicas_stay_while_prometheus_is_dead(
    kubectl: Kubectl, fleet: tuple[Load, ReplicasSeen], monitoring: Monitoring
) -> None:
    _, seen = fleet
    since_s = time.monotonic()
    monitoring.kill()
    wait_scaling(kubectl, "fleet", "False")
    told = serving(kubectl, "fleet")["status"]["autoscaling"]
    assert told["active"] is False
    assert told["reason"] == "FailedGetExternalMetric"
    monitoring.restart()
    wait_scaling(kubectl, "fleet", "True")
    assert fewest(seen, since_s) == FLEET


def test_replicas_stay_while_prometheus_answers_nan_and_the_load_goes(
    kubectl: Kubectl, fleet: tuple[Load, ReplicasSeen]
) -> None:
    load, seen = fleet
    since_s = time.monotonic()
    first = pods_of(kubectl, "fleet")[0]["metadata"]["name"]
    engine = f"/api/v1/namespaces/{kubectl.namespace}/pods/{first}:8000/proxy"
    kubectl.run("get", "--raw", f"{engine}/lie")
    wait_scaling(kubectl, "fleet", "False")
    assert load.failed == 0, "a fleet that was never short of a replica answers everything"
    load.stop()
    time.sleep(SETTLE_S)
    assert fewest(seen, since_s) == FLEET
    kubectl.run("get", "--raw", f"{engine}/truth")
    until("without load one replica is left", lambda: seen.states[-1].specified == 1, timeout_s=90)


def test_suspended_nothing_runs_and_back_it_serves(kubectl: Kubectl) -> None:
    patch_spec(kubectl, "fleet", suspend=True)
    until("no pod is left", lambda: not pods_of(kubectl, "fleet"), timeout_s=60)
    until("it says so", lambda: serving(kubectl, "fleet")["status"]["phase"] == "Suspended", timeout_s=20)
    assert kubectl.get("horizontalpodautoscaler", "fleet-serve") is None
    assert condition(kubectl, "fleet", "Suspended")["status"] == "True"
    patch_spec(kubectl, "fleet", suspend=False)
    assert wait_available(kubectl, "fleet", timeout_s=60)["status"]["readyReplicas"] == 1


def test_a_deleted_serving_leaves_nothing(kubectl: Kubectl) -> None:
    kinds = (
        "deployments,replicasets,pods,services,controllerrevisions,horizontalpodautoscalers,poddisruptionbudgets,"
        "endpointslices"
    )
    assert len(kubectl.list(kinds, f"{OWNER}=fleet")) >= 6
    kubectl.run("delete", "deepseekserving", "fleet", "--wait=true")
    until("nothing is left", lambda: not kubectl.list(kinds, f"{OWNER}=fleet"), timeout_s=60, every_s=1)


def patch_spec(kubectl: Kubectl, name: str, **spec: Any) -> None:
    kubectl.run("patch", "deepseekserving", name, "--type=merge", "--patch", json.dumps({"spec": spec}))


@pytest.fixture
def one_card(bed: Kubectl) -> Iterator[None]:
    """The real node claims to have one card, which no device stands behind."""
    nodes = bed.json("get", "nodes", "--selector=type!=kwok")["items"]
    name = nodes[0]["metadata"]["name"]

    def advertise(count: str | None) -> None:
        change = json.dumps({"status": {"capacity": {CARD: count}, "allocatable": {CARD: count}}})
        bed.run("patch", "node", name, "--subresource=status", "--type=merge", "--patch", change)

    advertise("1")
    yield
    advertise(None)


def test_an_edit_without_a_free_card_names_the_way_out_and_replace_takes_it(kubectl: Kubectl, one_card: None) -> None:
    spec: dict[str, Any] = {
        "accelerator": {"resource": CARD, "perNode": 1},
        "pod": {"terminationGracePeriodSeconds": 5},
    }
    kubectl.apply(manifest("card", engine=sleeping(), **spec))
    first = wait_available(kubectl, "card", timeout_s=60)["status"]["stable"]
    changed = sleeping(env=[{"name": "LOG_LEVEL", "value": "two"}])
    kubectl.apply(manifest("card", engine=changed, **spec))
    told = until("it waits for a card", lambda: _waits_for_capacity(kubectl, "card"), timeout_s=60)
    assert f"Insufficient {CARD}" in told["message"], "the scheduler's words"
    assert "rollout.strategy Recreate" in told["message"], "the way out"
    assert condition(kubectl, "card", "Ready")["status"] == "True", "the old replica serves on"
    kubectl.apply(manifest("card", engine=changed, rollout={"strategy": "Recreate"}, **spec))
    assert wait_available(kubectl, "card", timeout_s=60)["status"]["stable"] != first
    kubectl.run("delete", "deepseekserving", "card")


def _waits_for_capacity(kubectl: Kubectl, name: str) -> dict[str, str] | None:
    told = condition(kubectl, name)
    return told if told["reason"] == "WaitingForCapacity" else None


def test_the_example_of_an_own_engine_serves(kubectl: Kubectl) -> None:
    """The example as it is, but for the image, the node and the card, which are this cluster's."""
    example = resource(EXAMPLES / "serving-custom-engine.yaml")
    example["spec"]["engine"] |= {"image": ENGINE_IMAGE, "command": ["python3"], "resources": TINY}
    example["spec"]["engine"] |= {"args": ["/app/engine.py", str(example["spec"]["engine"]["port"]), "0"]}
    claim = serving(kubectl, "chat")["status"]["resolved"]["claimName"]
    example["spec"]["model"] = {"source": {"uri": f"pvc://{claim}"}}
    del example["spec"]["accelerator"], example["spec"]["pod"]["nodeSelector"]
    name = example["metadata"]["name"]
    kubectl.apply(json.dumps(example))
    url = wait_available(kubectl, name, timeout_s=60)["status"]["url"]
    told = ask(kubectl, "burst", url, name, "3")
    assert told["statuses"] == {"200": 3}
    kubectl.run("delete", "deepseekserving", name, "--wait=false")


def test_a_new_revision_under_load_fails_no_request_and_rolls_back_to_the_same(kubectl: Kubectl) -> None:
    wait_available(kubectl, "chat", timeout_s=180)
    before = revisions(kubectl, "chat")
    first = serving(kubectl, "chat")["status"]["stable"]
    with ReplicasSeen(kubectl, "chat") as seen, ExitStack() as stack:
        until("the watch shows two", lambda: seen.states and seen.states[-1].ready == 2, timeout_s=30)
        since_s = time.monotonic()
        load = load_on(kubectl, "chat", 3)
        stack.callback(load.stop)
        edited = {**CHAT, "engine": builtin(concurrency=1, queue=2, env=[{"name": "VERSION", "value": "2"}])}
        kubectl.apply(manifest("chat", **edited))
        second = roll(kubectl, "chat", away_from=first)
        kubectl.apply(manifest("chat", **CHAT))
        assert roll(kubectl, "chat", away_from=second) == first
        assert seen.lowest(since_s).ready >= 2
    assert load.answered > 0
    assert load.failed == 0
    after = revisions(kubectl, "chat")
    assert len(after) == 2
    assert after.items() >= before.items(), "the stored revision was used again, not made anew"


def test_a_version_that_can_not_load_is_named_while_the_old_one_answers_and_a_rollback_blames_nothing(
    kubectl: Kubectl,
) -> None:
    kubectl.apply(manifest("retry", engine=sleeping(), **QUICK))
    claim = wait_available(kubectl, "retry", timeout_s=60)["status"]["resolved"]["claimName"]
    builtin_engine = {"type": "builtin", "image": None, "command": None, "resources": SMALL}
    nosuch = {"fromTraining": None, "source": {"uri": f"pvc://{claim}/nosuch"}}
    patch_spec(kubectl, "retry", model=nosuch, engine=builtin_engine)
    until("it has failed", lambda: serving(kubectl, "retry")["status"]["phase"] == "Failed", timeout_s=90)
    shown = kubectl.run("get", "deepseekserving", "retry")
    for word in ("True", "1/1", f"tune@3 → {claim}/nosuch", "Failed", "EngineFailing"):
        assert word in shown
    assert (
        f"pvc://{claim}/nosuch holds no config.json: it is empty" in condition(kubectl, "retry", "Stalled")["message"]
    )
    good = {"source": None, "fromTraining": {"name": "tune", "checkpoint": "Latest"}}
    patch_spec(kubectl, "retry", model=good, engine=sleeping())
    wait_available(kubectl, "retry", timeout_s=60)
    events = kubectl.json("get", "events", "--field-selector=involvedObject.kind=DeepSeekServing")["items"]
    told = [
        event["reason"] for event in events if event["involvedObject"]["name"] == "retry" and event["type"] == "Warning"
    ]
    assert told == ["EngineFailing"]
    kubectl.run("delete", "deepseekserving", "retry", "--wait=false")


def roll(kubectl: Kubectl, name: str, *, away_from: str) -> str:
    """The revision that is stable next."""
    until(
        f"{name} has rolled",
        lambda: serving(kubectl, name)["status"].get("stable", "") != away_from,
        timeout_s=180,
        every_s=1,
    )
    return str(serving(kubectl, name)["status"]["stable"])


def revisions(kubectl: Kubectl, name: str) -> dict[str, str]:
    """ControllerRevisions by name, with their uid."""
    found = kubectl.list("controllerrevisions", f"{OWNER}={name}")
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in found}


@pytest.fixture
def upgraded(bed: Kubectl) -> Iterator[None]:
    """The operator with another default image and other labels; afterwards as it was."""
    release = beds.release(bed)
    release.install(
        *beds.VALUES, f"runtime.image={ENGINE_IMAGE}", "podLabels.release=next", "serviceAccount.annotations.a=b"
    )
    yield
    release.install(*beds.VALUES)


def test_an_upgraded_operator_restarts_no_pod(kubectl: Kubectl, request: pytest.FixtureRequest) -> None:
    before = engines(kubectl)
    assert len(before) >= 2
    request.getfixturevalue("upgraded")
    for name in ("constant", "chat"):
        patch_spec(kubectl, name, rollout={"strategy": "Recreate"})
        until(f"the new operator has looked at {name}", lambda name=name: observed(kubectl, name), timeout_s=30)  # type: ignore[misc]
    assert engines(kubectl).items() >= before.items()
    kubectl.apply(manifest("fresh", engine=builtin(), suspend=True))
    kubectl.run("wait", "--for=create", "controllerrevision", f"--selector={OWNER}=fresh", "--timeout=20s")
    stored = kubectl.list("controllerrevisions", f"{OWNER}=fresh")
    assert stored[0]["data"]["template"]["spec"]["containers"][0]["image"] == ENGINE_IMAGE, "it was another operator"


def engines(kubectl: Kubectl) -> dict[str, list[int]]:
    """Pods of builtin engines by uid, with the restarts of their containers."""
    found = [pod for name in ("constant", "chat") for pod in pods_of(kubectl, name)]
    return {pod["metadata"]["uid"]: [c["restartCount"] for c in pod["status"]["containerStatuses"]] for pod in found}


def observed(kubectl: Kubectl, name: str) -> bool:
    live = serving(kubectl, name)
    return bool(live["status"]["observedGeneration"] == live["metadata"]["generation"])


def test_no_serving_was_told_that_its_claim_is_missing(kubectl: Kubectl) -> None:
    reasons = {event["reason"] for event in kubectl.json("get", "events.v1.events.k8s.io")["items"]}
    assert "RolledOut" in reasons
    assert "WaitingForClaim" not in reasons


def answers_of(kubectl: Kubectl, pod: str) -> float:
    """Requests that this replica has answered."""
    text = kubectl.run("get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}:8000/proxy/metrics")
    lines = [line for line in text.splitlines() if line.startswith("vllm:request_success_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_a_constant_load_on_kept_connections_keeps_its_replicas_for_five_minutes(
    kubectl: Kubectl, constant: Constant
) -> None:
    time.sleep(max(0.0, constant.since_s + HOLD_S - time.monotonic()))
    assert constant.seen.lowest(constant.since_s).specified == 3
    assert constant.load.failed == 0
    assert constant.load.answered > HOLD_S
    shares = {
        pod["metadata"]["name"]: answers_of(kubectl, pod["metadata"]["name"]) for pod in pods_of(kubectl, "constant")
    }
    assert min(shares.values()) > 0.1 * max(shares.values()), f"kept connections must not undo scaling: {shares}"
    constant.load.stop()
    until("without load one replica is left", lambda: constant.seen.states[-1].specified == 1, timeout_s=120)
    with pytest.raises(NotReached):
        until("it goes on falling", lambda: constant.seen.states[-1].specified == 0, timeout_s=3)
