"""An engine's key: how it comes into the pod, who shows it, and what is told where a gateway can't."""

import json
from typing import Any

import pytest

from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kinds import BenchWish
from deepseek_operator.core.resources import HTTP_ROUTE, HTTP_ROUTE_FILTER, JOB, POD, REVISION
from deepseek_operator.domain.programs.engines.table import offered
from deepseek_operator.kinds.serving.bench import job as bench_job
from deepseek_operator.kinds.serving.keyed import key_of
from deepseek_operator.kinds.serving.labels import WORKER_ROLE
from tests.support.gateways import GATE, PUBLIC, lacks, takes, told
from tests.support.serving_life import SERVICE, ExaminedLife, ServingLife
from tests.support.servings import NAMESPACE, a_claim

KEYED: dict[str, Any] = {"apiKey": {"name": "chat-key", "key": "key"}}
OTHER: dict[str, Any] = {"apiKey": {"name": "chat-key-2", "key": "key"}}
SHOWN = {"name": "DEEPSEEK_API_KEY", "valueFrom": {"secretKeyRef": {"name": "chat-key", "key": "key"}}}
H200: dict[str, Any] = {
    "model": {"name": "deepseek-v2-lite", "source": {"uri": "pvc://models/m"}},
    "accelerator": {"profile": "nvidia-h200-141"},
}
R1_ON_TWO: dict[str, Any] = {
    "model": {"name": "deepseek-r1", "source": {"uri": "pvc://shared/r1"}},
    "accelerator": {"profile": "nvidia-h100-80"},
}


def variables(container: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = container["env"]
    return found


def keyed(gateway: dict[str, Any] = PUBLIC, **spec: Any) -> ServingLife:
    """One that serves behind a gateway that has taken its route."""
    made = ServingLife(configuration=Configuration(gate=GATE), **{"gateway": gateway, "engine": KEYED, **spec})
    made.run()
    for _ in range(2):
        takes(made)
    return made


def backends(life: ServingLife) -> list[dict[str, Any]]:
    """Those of the route that are revisions."""
    rules = life.stored(HTTP_ROUTE, SERVICE)["spec"]["rules"]
    return [one for rule in rules for one in rule["backendRefs"] if "namespace" not in one]


def filters(life: ServingLife) -> dict[str, str]:
    """By its name, the Secret of each filter that there is."""
    found = {
        one["metadata"]["name"]: one["spec"]["credentialInjection"]
        for one in life.cluster.all(HTTP_ROUTE_FILTER, NAMESPACE)
    }
    assert all(one["overwrite"] is True for one in found.values())
    return {name: one["credential"]["valueRef"]["name"] for name, one in found.items()}


def shown_by(life: ServingLife) -> list[list[str]]:
    """For each backend, the Secrets whose key it is asked with."""
    secrets = filters(life)
    return [[secrets[one["extensionRef"]["name"]] for one in backend.get("filters", ())] for backend in backends(life)]


def each_is_its_own(life: ServingLife) -> bool:
    """Every backend is asked with the key that its revision was rendered with."""
    keys = [key_of(life.stored(REVISION, one["name"])["data"]["template"]) for one in backends(life)]
    return [[key["name"]] for key in keys if key is not None] == shown_by(life)


# --- the pod -----------------------------------------------------------------------------------------------------


def test_three_engines_take_a_key_that_they_repeat_nowhere() -> None:
    assert [entry.type for entry in offered() if entry.takes_key] == ["builtin", "vllm", "custom"]
    assert all("apiKey" in entry.honours for entry in offered() if entry.takes_key)
    assert not any("apiKey" in entry.honours for entry in offered() if not entry.takes_key)


@pytest.mark.parametrize("more", [{}, {"type": "custom", "image": "mine:1"}])
def test_the_key_comes_from_its_secret_and_stands_nowhere_else(more: dict[str, Any]) -> None:
    template = ServingLife(engine={**KEYED, **more}).template()
    assert variables(template["spec"]["containers"][0])[0] == SHOWN
    assert json.dumps(template).count("chat-key") == 1


def test_vllm_reads_it_by_a_name_of_its_own_behind_it_and_by_no_argument() -> None:
    (engine,) = ServingLife(engine={**KEYED, "type": "vllm"}, **H200).template()["spec"]["containers"]
    names = [one["name"] for one in variables(engine)]
    assert variables(engine)[0] == SHOWN
    assert {"name": "VLLM_API_KEY", "value": "$(DEEPSEEK_API_KEY)"} in variables(engine)[1:]
    assert names.count("VLLM_API_KEY") == 1
    assert not [word for word in engine["command"] if "KEY" in word or "key" in word]


def test_without_the_field_no_pod_knows_of_a_key() -> None:
    (engine,) = ServingLife(engine={"type": "vllm"}, **H200).template()["spec"]["containers"]
    assert not [one for one in variables(engine) if "KEY" in one["name"]]
    assert key_of({"spec": {"containers": [engine]}}) is None


def test_a_worker_that_answers_nobody_has_no_key() -> None:
    life = ServingLife(a_claim("shared"), engine={**KEYED, "type": "vllm"}, **R1_ON_TWO)
    (stored,) = life.cluster.all(REVISION, NAMESPACE)
    assert key_of(stored["data"]["template"]) == {"name": "chat-key", "key": "key"}
    assert stored["data"]["workerTemplate"]["metadata"]["labels"]["deepseek-operator.io/role"] == WORKER_ROLE
    assert key_of(stored["data"]["workerTemplate"]) is None


@pytest.mark.parametrize(
    "by_hand",
    [
        {"args": ["--api-key=$(MINE)"]},
        {"args": ["--api_key", "$(MINE)"]},
        {"env": [{"name": "VLLM_API_KEY", "secret": {"name": "mine", "key": "key"}}]},
    ],
)
def test_a_key_by_hand_beside_the_field_is_refused(by_hand: dict[str, Any]) -> None:
    life = ServingLife(engine={**KEYED, "type": "vllm", **by_hand}, **H200)
    condition = find(life.status.conditions, "Stalled")
    assert condition is not None
    assert "write engine.apiKey alone" in condition.message


def test_another_secret_is_another_revision_and_the_same_is_the_same() -> None:
    life = ServingLife(engine=KEYED)
    before = life.deployment()["metadata"]["name"]
    life.edit(engine={**KEYED, "startTimeoutSeconds": 1800})
    assert life.deployment()["metadata"]["name"] == before
    life.edit(engine=OTHER)
    assert life.status.current is not None
    assert not before.endswith(life.status.current.name)


def test_a_secret_that_is_missing_is_told_in_the_kubelets_words() -> None:
    life = ServingLife(engine=KEYED)
    life.run(room=0)
    (pod,) = life.pods()
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "chat-key" not found'}
    told_of = [{"name": "engine", "started": False, "ready": False, "restartCount": 0, "state": {"waiting": waiting}}]
    life.cluster.edit(
        POD, NAMESPACE, pod["metadata"]["name"],
        lambda live: live.update(status={"phase": "Pending", "conditions": [], "containerStatuses": told_of}),
    )  # fmt: skip
    life.operator.settle()
    condition = find(life.status.conditions, "Reconciling")
    assert condition is not None
    assert (condition.reason, 'secret "chat-key" not found' in condition.message) == ("ConfigurationMissing", True)


# --- who of ours asks --------------------------------------------------------------------------------------------


def test_a_bench_shows_the_key_of_the_replica_that_it_asks() -> None:
    life = keyed()
    wish = BenchWish({}, None, None, None, None, None, None, False, None, "7")
    made = bench_job(life.serving(), life.pods(), wish)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["env"][-1] == {**SHOWN, "name": "DEEPSEEK_BENCH_KEY"}


def test_each_exam_shows_the_key_of_its_own_revision() -> None:
    metric = {"type": "Accuracy", "name": "right", "maxDrop": "0.1", "data": "builtin://uppercase"}
    steps = [{"replicas": 1, "analysis": {"metrics": [metric]}, "bakeSeconds": 60}]
    life = ExaminedLife(engine=KEYED, rollout={"canary": {"steps": steps}})
    life.run()
    life.edit(engine=OTHER)
    life.run()
    jobs = life.cluster.all(JOB, NAMESPACE)
    keys = []
    for one in jobs:
        (container,) = one["spec"]["template"]["spec"]["containers"]
        (key,) = [each for each in container["env"] if each["name"] == "DEEPSEEK_EXAM_KEY"]
        keys.append(key["valueFrom"]["secretKeyRef"]["name"])
    assert sorted(keys) == ["chat-key", "chat-key-2"]


# --- the gateway -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [{}, {"auth": {"apiKeys": True}}])
def test_the_gateway_shows_the_engines_key_in_place_of_what_clients_show(auth: dict[str, Any]) -> None:
    life = keyed({**PUBLIC, **auth})
    assert shown_by(life) != []
    assert all(secrets == ["chat-key"] for secrets in shown_by(life))
    assert told(life, "KeyReady")[:2] == ("True", "KeyShown")
    assert "chat-key" in told(life, "KeyReady")[2]


def test_the_gate_itself_is_never_shown_the_key() -> None:
    life = keyed({**PUBLIC, "auth": {"apiKeys": True}})
    rules = life.stored(HTTP_ROUTE, SERVICE)["spec"]["rules"]
    to_the_gate = [rule for rule in rules if all("namespace" in one for one in rule["backendRefs"])]
    assert len(to_the_gate) == 2
    assert "ExtensionRef" not in json.dumps(to_the_gate)
    assert all(one["type"] != "ExtensionRef" for rule in rules for one in rule.get("filters", ()))


def test_without_a_key_there_is_no_filter_and_nothing_is_said() -> None:
    life = keyed(engine={})
    assert filters(life) == {}
    assert find(life.status.conditions, "KeyReady") is None
    assert "filters" not in json.dumps(backends(life))


def test_while_two_keys_run_side_by_side_each_revision_is_asked_with_its_own() -> None:
    life = keyed(replicas=2)
    life.edit(engine=OTHER)
    life.run(room=3, rounds=1)
    takes(life)
    two = 0
    for _ in range(6):
        assert each_is_its_own(life)
        two += len(shown_by(life)) == 2
        life.run(rounds=1)
        takes(life)
    assert two, "both had requests for a while"
    assert [secrets for secrets in shown_by(life) if secrets != ["chat-key-2"]] == []
    assert set(filters(life).values()) == {"chat-key-2"}, "the old one's filter is gone with its last replica"


def test_a_key_that_is_no_longer_asked_for_leaves_nothing_behind() -> None:
    life = keyed()
    life.edit(engine={})
    for _ in range(6):
        life.run(rounds=1)
        takes(life)
    assert filters(life) == {}
    assert find(life.status.conditions, "KeyReady") is None


def test_without_the_api_the_route_is_made_without_and_it_is_told() -> None:
    life = keyed()
    lacks(life, HTTP_ROUTE_FILTER)
    assert "filters" not in json.dumps(backends(life))
    status, reason, message = told(life, "KeyReady")
    assert (status, reason) == ("False", "KeyWithoutEffect")
    assert "Install it" in message
    assert "engine's own key" in message


def test_with_another_gateway_the_route_is_made_without_and_it_is_told() -> None:
    life = keyed()
    takes(life, controller="example.net/gateways")
    takes(life, controller="example.net/gateways")
    assert "filters" not in json.dumps(backends(life))
    assert filters(life) == {}
    assert told(life, "KeyReady")[:2] == ("False", "KeyWithoutEffect")
    assert told(life, "KeyReady")[2].startswith("example.net/gateways does not read a HTTPRouteFilter")


def test_what_the_gateway_lacks_in_the_secret_is_told_with_what_to_write() -> None:
    life = keyed()
    words = "credential key credential not found in secret team-a/chat-key"
    takes(life, refused={"ResolvedRefs": ("InvalidBackendFilters", words)})
    status, reason, message = told(life, "KeyReady")
    assert (status, reason) == ("False", "KeyNotFound")
    assert words in message
    assert "the entry credential" in message


def test_until_the_controller_has_answered_nothing_is_claimed() -> None:
    life = ServingLife(gateway=PUBLIC, engine=KEYED)
    life.run()
    assert told(life, "KeyReady")[:2] == ("Unknown", "KeyPending")
    assert shown_by(life) == [["chat-key"]]
