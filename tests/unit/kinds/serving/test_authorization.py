"""Who is let in: what the operator writes for the gate and Envoy Gateway through a serving's life, and that no rule leads to
a replica before somebody judges."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_gate import decision
from deepseek_gate.answers import Allowed
from deepseek_gate.body import Asked
from deepseek_gate.identity import Way
from deepseek_gate.keys import Key
from deepseek_gate.knowledge import known
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.configuration import Configuration, GateAddress
from deepseek_operator.core.resources import (
    BACKEND_TRAFFIC_POLICY,
    CONFIG_MAP,
    DEPLOYMENT,
    HTTP_ROUTE,
    OPTIONAL,
    SECURITY_POLICY,
)
from deepseek_operator.kinds.serving import authorization
from deepseek_operator.kinds.serving.answering import Answering
from deepseek_operator.kinds.serving.authorization import is_accepted, models_map, ways
from deepseek_operator.kinds.serving.labels import revision_named, revision_of
from deepseek_operator.kinds.serving.routes import matched_of, pins_of, places_of, reached
from deepseek_operator.kinds.serving.verbs import ROLLBACK
from tests.support.gateways import GATE, PUBLIC, lacks, takes, told
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE

KEYS: dict[str, Any] = {**PUBLIC, "auth": {"apiKeys": True}}
JWT = {"issuer": "https://login.example.com", "audiences": ["deepseek"], "jwks": {"configMapName": "token-keys"}}
TOKENS: dict[str, Any] = {**PUBLIC, "auth": {"jwt": JWT}}
BOTH: dict[str, Any] = {**PUBLIC, "auth": {"apiKeys": True, "jwt": JWT}}
NEXT = {"maxConcurrency": 8}
ROOT = Path(__file__).parents[4]


def life(gateway: dict[str, Any] = KEYS, gate: GateAddress | None = GATE, **spec: Any) -> ServingLife:
    made = ServingLife(configuration=Configuration(gate=gate), gateway=gateway, **spec)
    made.run()
    return made


def open_life(gateway: dict[str, Any] = KEYS, **spec: Any) -> ServingLife:
    """One whose policies and route are taken."""
    made = life(gateway, **spec)
    for _ in range(2):
        takes(made)
    return made


def rules(life: ServingLife) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = life.stored(HTTP_ROUTE, SERVICE)["spec"]["rules"]
    return found


def leading_to_replicas(life: ServingLife) -> list[dict[str, Any]]:
    return [rule for rule in rules(life) if not all(one.get("namespace") == "system" for one in rule["backendRefs"])]


def header_of(rule: dict[str, Any]) -> str | None:
    (match,) = rule["matches"]
    headers = match.get("headers")
    return None if headers is None else str(headers[0]["value"])


def policy(life: ServingLife) -> dict[str, Any]:
    found: dict[str, Any] = life.stored(SECURITY_POLICY, SERVICE)["spec"]
    return found


def models(life: ServingLife) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(life.stored(CONFIG_MAP, SERVICE)["data"]["models.json"])["models"]
    return found


# --- both ends ---------------------------------------------------------------------------------------------------


def test_the_gate_reads_what_is_written_and_its_answer_chooses_the_route() -> None:
    made = open_life(model={"source": {"uri": "pvc://models/v2"}, "name": "deepseek-r1"})
    found = known([made.stored(CONFIG_MAP, SERVICE)])
    assert not found.faults
    assert set(found.models) == {"deepseek-r1"}
    asked = policy(made)["extAuth"]["http"]["path"]
    _, role, namespace, asked_ways = asked.split("/")
    assert (role, namespace) == ("authorize", NAMESPACE)
    key = Key("alice", frozenset({"chat"}))
    answer = decision.permit(key, Asked("deepseek-r1"), "/v1/completions", found, namespace, asked_ways)
    assert isinstance(answer, Allowed)
    (rule,) = [one for one in leading_to_replicas(made) if header_of(one) == answer.headers[decision.ROUTE]]
    assert rule["backendRefs"][0]["weight"] == 1


def test_the_policy_hands_on_every_header_that_the_gate_reads_and_says() -> None:
    auth = policy(life())["extAuth"]
    source = (ROOT / "operator/deepseek_gate/server.py").read_text()
    read = {a or b for a, b in re.findall(r'of\("([\w-]+)"\)|getall\("([\w-]+)"', source)}
    assert set(auth["headersToExtAuth"]) == {name.lower() for name in read}
    assert set(auth["http"]["headersToBackend"]) == set(decision.INTERNAL)
    assert set(decision.CLAIMS) == {
        one["header"] for one in policy(life(TOKENS))["jwt"]["providers"][0]["claimToHeaders"]
    }


@pytest.mark.parametrize("gateway", [KEYS, TOKENS, BOTH])
def test_the_gate_knows_the_ways_by_which_it_is_asked(gateway: dict[str, Any]) -> None:
    made = life(gateway)
    asked = policy(made)["extAuth"]["http"]["path"].rpartition("/")[2]
    assert models(made)["chat"]["ways"] == asked
    assert asked.partition(".")[0] in {way.value for way in Way}
    (listing, _) = rules(made)
    assert listing["filters"][0]["urlRewrite"]["path"]["replacePrefixMatch"] == f"/models/{NAMESPACE}/{asked}"


def test_what_only_the_gate_may_say_is_removed_early_by_the_example_of_an_administrator() -> None:
    documents = yaml.safe_load_all((ROOT / "examples/gateway/administrator.yaml").read_text())
    (traffic,) = [one for one in documents if one["kind"] == "ClientTrafficPolicy"]
    removed = traffic["spec"]["headers"]["earlyRequestHeaders"]["remove"]
    assert set(removed) == {*decision.INTERNAL, *decision.CLAIMS}


def test_envoy_waits_longer_for_the_gate_than_the_gate_for_a_body() -> None:
    source = (ROOT / "operator/deepseek_gate/server.py").read_text()
    (body_s,) = re.findall(r"^_BODY_S = ([\d.]+)$", source, re.MULTILINE)
    assert float(body_s) < authorization.ANSWER_SECONDS


# --- the policy --------------------------------------------------------------------------------------------------


def test_whoever_is_not_judged_is_not_let_in() -> None:
    auth = policy(life())["extAuth"]
    assert auth["failOpen"] is False
    assert auth["recomputeRoute"] is True
    assert auth["http"]["backendRefs"] == [
        {"group": "", "kind": "Service", "name": "operator-gate", "namespace": "system", "port": 9001}
    ]


def test_keys_alone_verify_no_token_and_tokens_alone_are_never_missing() -> None:
    assert "jwt" not in policy(life())
    assert policy(life(TOKENS))["jwt"]["optional"] is False
    assert policy(life(BOTH))["jwt"]["optional"] is True
    (provider,) = policy(life(TOKENS))["jwt"]["providers"]
    assert provider["localJWKS"] == {
        "type": "ValueRef",
        "valueRef": {"group": "", "kind": "ConfigMap", "name": "token-keys"},
    }
    assert (provider["issuer"], provider["audiences"]) == ("https://login.example.com", ["deepseek"])


def test_tokens_of_different_issuers_are_different_ways() -> None:
    made = [life({**PUBLIC, "auth": {"jwt": {**JWT, "issuer": name}}}) for name in ("a", "b")]
    assert len({models(one)["chat"]["ways"] for one in made}) == 2
    assert ways(made[0].look().owner.spec.gateway.auth) == models(made[0])["chat"]["ways"]  # type: ignore[union-attr,arg-type]


# --- nobody is let in before somebody judges ---------------------------------------------------------------------


def test_no_rule_leads_to_a_replica_before_the_policy_is_in_force() -> None:
    made = life()
    assert not leading_to_replicas(made)
    assert told(made, "PolicyReady")[:2] == ("Unknown", "PolicyPending")
    takes(made)
    assert header_of(leading_to_replicas(made)[0]) == f"{NAMESPACE}/chat"
    takes(made)
    assert told(made, "PolicyReady")[:2] == ("True", "PolicyAccepted")
    assert made.status.phase == "Available"


def test_a_route_that_is_made_to_judge_is_closed_first_and_the_policy_is_written_before_it() -> None:
    made = life(PUBLIC)
    takes(made)
    assert header_of(leading_to_replicas(made)[0]) is None
    made.changes.clear()
    made.edit(gateway=KEYS)
    assert not leading_to_replicas(made)
    kinds = [change.manifest["kind"] for change in made.changes]
    assert kinds.index("SecurityPolicy") < kinds.index("HTTPRoute")
    takes(made)
    assert leading_to_replicas(made)


def test_a_refused_policy_lets_nobody_in_and_says_why() -> None:
    made = open_life()
    takes(made, refused_policy={"Accepted": ("Invalid", "the gate's Service is not permitted by any ReferenceGrant")})
    assert not leading_to_replicas(made)
    status, reason, message = told(made, "PolicyReady")
    assert (status, reason) == ("False", "PolicyRefused")
    assert "ReferenceGrant" in message
    assert "nobody is let in" in message


def test_a_policy_that_is_deleted_closes_the_route_until_it_is_in_force_again() -> None:
    made = open_life()
    made.cluster.remove(SECURITY_POLICY, NAMESPACE, SERVICE)
    made.operator.settle()
    assert not leading_to_replicas(made)
    takes(made)
    assert leading_to_replicas(made)


def test_what_another_gateway_has_taken_opens_nothing() -> None:
    made = open_life()
    made.edit(gateway={**KEYS, "parentRef": {"name": "other"}})
    assert not leading_to_replicas(made)
    takes(made, controller="example.com/controller")
    assert not leading_to_replicas(made), "which reads no SecurityPolicy"
    assert told(made, "PolicyReady")[1] in ("PolicyPending", "PolicyWithoutEffect")
    takes(made)
    assert leading_to_replicas(made)


def test_another_controller_lets_nobody_in_and_it_is_told() -> None:
    made = life()
    takes(made, controller="example.com/controller")
    assert not leading_to_replicas(made)
    status, reason, message = told(made, "PolicyReady")
    assert (status, reason) == ("False", "PolicyWithoutEffect")
    assert "example.com/controller does not read a SecurityPolicy; nobody is let in" in message


def test_a_cluster_without_the_policies_lets_nobody_in() -> None:
    made = ServingLife(configuration=Configuration(gate=GATE))
    lacks(made, BACKEND_TRAFFIC_POLICY, SECURITY_POLICY)
    made.edit(gateway=KEYS)
    made.run()
    assert not leading_to_replicas(made)
    assert told(made, "PolicyReady")[:2] == ("False", "PolicyWithoutEffect")


@pytest.mark.parametrize("gate", [None, GateAddress("system", "gate", frozenset({"other"}))])
def test_without_a_gate_there_is_no_route_and_it_is_told_what_to_write(gate: GateAddress | None) -> None:
    made = life(gate=gate)
    assert not [item for resource in (*OPTIONAL, CONFIG_MAP) for item in made.cluster.all(resource)]
    for type_, status in (("RouteReady", "Unknown"), ("PolicyReady", "False")):
        assert told(made, type_)[:2] == (status, "GateNotEnabled")
        assert "gate.namespaces" in told(made, type_)[2]
    assert made.status.phase == "Available"


def test_a_gate_that_is_switched_off_takes_the_route_along_and_first() -> None:
    made = open_life()
    made.changes.clear()
    made.upgrade(Configuration())
    gone = [change.manifest["kind"] for change in made.changes if change.manifest["kind"].endswith(("Policy", "Route"))]
    assert gone[0] == "HTTPRoute"
    assert not [item for resource in (*OPTIONAL, CONFIG_MAP) for item in made.cluster.all(resource)]
    assert told(made, "PolicyReady")[:2] == ("False", "GateNotEnabled")


def test_whoever_lets_everybody_in_again_has_neither_policy_nor_models() -> None:
    made = open_life()
    made.edit(gateway=PUBLIC)
    assert [header_of(rule) for rule in rules(made)] == [None]
    assert not made.cluster.all(SECURITY_POLICY)
    assert not made.cluster.all(CONFIG_MAP)
    assert made.cluster.all(BACKEND_TRAFFIC_POLICY)


@pytest.mark.parametrize(
    ("ancestors", "expected"),
    [
        ([], False),
        ([("gateways", "public", "True")], True),
        ([("gateways", "public", "False")], False),
        ([("gateways", "public", "True"), ("gateways", "public", "False")], False),
        ([("other", "public", "True")], False),
        ([("gateways", "other", "True"), ("gateways", "public", "True")], True),
    ],
)
def test_a_policy_is_in_force_by_what_is_said_at_the_route_s_gateway(
    ancestors: list[tuple[str, str, str]], expected: bool
) -> None:
    told = [
        {"ancestorRef": {"namespace": ns, "name": name}, "conditions": [{"type": "Accepted", "status": status}]}
        for ns, name, status in ancestors
    ]
    assert (
        is_accepted({"metadata": {"namespace": "team"}, "status": {"ancestors": told}}, ("gateways", "public"))
        is expected
    )
    assert is_accepted(None, ("gateways", "public")) is False


# --- rules, and revisions that keys are pinned to ----------------------------------------------------------------


def test_each_rule_to_a_replica_has_the_header_that_the_gate_writes_and_names_the_namespace() -> None:
    made = open_life()
    (revision,) = [revision_named(one) for one in made.cluster.all(DEPLOYMENT, NAMESPACE)]
    assert [header_of(rule) for rule in leading_to_replicas(made)] == [
        f"{NAMESPACE}/chat",
        f"{NAMESPACE}/chat/{revision}",
    ]
    listing, rest = rules(made)[:2]
    assert [match["path"]["value"] for match in listing["matches"]] == ["/v1/models"]
    assert "headers" not in rest["matches"][0]
    assert rest["filters"][0]["urlRewrite"]["path"] == {"type": "ReplaceFullPath", "replaceFullPath": "/unrouted"}


def test_a_key_can_be_pinned_to_what_serves_and_stays() -> None:
    made = open_life()
    (old,) = models(made)["chat"]["revisions"]
    made.edit(engine=NEXT)
    assert list(models(made)["chat"]["revisions"]) == [old], "the new one does not serve yet"
    made.run()
    (new,) = models(made)["chat"]["revisions"]
    assert new != old
    assert pins_of(made.stored(HTTP_ROUTE, SERVICE)) == (new,)
    takes(made)
    made.run()
    assert [revision_named(one) for one in made.cluster.all(DEPLOYMENT, NAMESPACE)] == [new]


def test_a_revision_that_a_rule_pins_is_held_until_the_gateway_has_seen_that_it_does_not() -> None:
    made = open_life()
    route = made.stored(HTTP_ROUTE, SERVICE)
    owner = made.look().owner
    assert owner.spec.gateway is not None
    (old,) = pins_of(route)
    spec = route["spec"]
    listing, rest, general, pinned = spec["rules"]
    moved = {**general, "backendRefs": [{"name": "chat-serve-x", "weight": 1}]}
    elsewhere = {**route, "spec": {**spec, "rules": [listing, rest, moved, pinned]}}
    assert reached(owner, owner.spec.gateway, elsewhere) == ("x", old)


def test_what_a_route_led_to_that_is_closed_now_ends_once_the_gateway_has_seen_that() -> None:
    made = life(PUBLIC)
    takes(made)
    made.edit(engine=NEXT, gateway=KEYS)
    made.run()
    found = [revision_named(one) for one in made.cluster.all(DEPLOYMENT, NAMESPACE) if one["spec"]["replicas"]]
    assert len(found) == 2
    takes(made)
    made.run()
    takes(made)
    assert len(made.cluster.all(DEPLOYMENT, NAMESPACE)) == 1


def test_what_a_route_led_to_that_is_closed_and_open_again_stays_until_the_gateway_has_seen_one_of_them() -> None:
    made = life(PUBLIC)
    takes(made)
    made.edit(engine=NEXT, gateway=KEYS)
    made.run()
    assert places_of(made.stored(HTTP_ROUTE, SERVICE)) == ()
    made.edit(gateway=PUBLIC)
    for _ in range(3):
        made.run()
        found = [one for one in made.cluster.all(DEPLOYMENT, NAMESPACE) if one["spec"]["replicas"]]
        assert sorted(part for _, part in places_of(made.stored(HTTP_ROUTE, SERVICE))) == [0, 1]
        assert len(found) == 2
    takes(made)
    made.run()
    takes(made)
    assert len(made.cluster.all(DEPLOYMENT, NAMESPACE)) == 1
    assert len({name for name, _ in places_of(made.stored(HTTP_ROUTE, SERVICE))}) == 1


def test_an_a_b_test_s_requests_go_to_the_new_version_only_by_the_gate_s_leave_as_well() -> None:
    match = {"header": {"name": "x-variant", "value": "new"}}
    made = open_life(replicas=2, rollout={"canary": {"steps": [{"replicas": 1}], "match": match}})
    (old,) = models(made)["chat"]["revisions"]
    made.edit(engine=NEXT)
    for _ in range(3):
        made.run()
        takes(made)
    (rule,) = [one for one in leading_to_replicas(made) if len(one["matches"][0]["headers"]) > 1]
    assert [(one["name"], one["value"]) for one in rule["matches"][0]["headers"]] == [
        (decision.ROUTE, f"{NAMESPACE}/chat"),
        ("x-variant", "new"),
    ]
    route = made.stored(HTTP_ROUTE, SERVICE)
    (new,) = matched_of(route)
    assert new != old
    assert set(pins_of(route)) == {old, new} == set(models(made)["chat"]["revisions"])
    assert [name for name, part in places_of(route) if part] == [old]


@pytest.mark.parametrize("replicas", [1, 3])
def test_every_rule_leads_to_a_revision_that_serves_through_rollouts(replicas: int) -> None:
    made = open_life(replicas=replicas)
    for concurrency in (5, 6, 7):
        made.edit(engine={"maxConcurrency": concurrency})
        for _ in range(3 * replicas + 4):
            made.run(rounds=1)
            ready = {revision_named(one) for one in made.cluster.all(DEPLOYMENT, NAMESPACE)
                     if (one.get("status") or {}).get("readyReplicas")}  # fmt: skip
            route = made.stored(HTTP_ROUTE, SERVICE)
            assert {name for name, part in places_of(route) if part > 0} <= ready
            assert set(pins_of(route)) <= ready
            assert set(models(made)["chat"]["revisions"]) == set(pins_of(route))
            takes(made)
        assert made.status.phase == "Available"


# --- names that not every revision knows ---------------------------------------------------------------------------

NAMED: dict[str, Any] = {**KEYS, "models": ["chat", "one"]}
RENAMED: dict[str, Any] = {**KEYS, "models": ["chat", "two"]}


def route_of(made: ServingLife, name: str, revision: str | None = None) -> str | None:
    """To which rule the gate sends a request by that name, as it is told now; None where it sends it nowhere."""
    found = known([made.stored(CONFIG_MAP, SERVICE)])
    assert not found.faults
    key = Key("alice", frozenset({"chat"}), revision=revision)
    answer = decision.permit(key, Asked(name), "/v1/completions", found, NAMESPACE, models(made)["chat"]["ways"])
    if not isinstance(answer, Allowed) or found.models[name].is_asleep:
        return None
    return answer.headers[decision.ROUTE]


def annotate(made: ServingLife, verb: str, value: str) -> None:
    made.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live["metadata"].update(annotations={verb: value}))
    made.operator.settle()


def reaching(made: ServingLife, name: str) -> set[str]:
    """Revisions that such a request may reach by the live route."""
    route = route_of(made, name)
    found = [rule for rule in leading_to_replicas(made) if header_of(rule) == route]
    backends = [one for rule in found for one in rule["backendRefs"] if one["weight"]]
    return {one["name"].rpartition("-")[2] for one in backends}


def test_every_alias_is_the_engine_s_and_the_gate_s() -> None:
    made = open_life(NAMED)
    assert set(models(made)) == {"chat", "one"}
    (container,) = made.template()["spec"]["containers"]
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert (told["DEEPSEEK_SERVED_MODEL_NAME"], told["DEEPSEEK_MODEL_ALIASES"]) == ("chat", "one")
    assert {route_of(made, name) for name in ("chat", "one")} == {f"{NAMESPACE}/chat"}


def test_the_own_name_is_no_client_s_where_others_are_written() -> None:
    made = open_life({**KEYS, "models": ["one"]})
    assert set(models(made)) == {"one"}
    (container,) = made.template()["spec"]["containers"]
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert (told["DEEPSEEK_SERVED_MODEL_NAME"], told["DEEPSEEK_MODEL_ALIASES"]) == ("one", "chat")


def test_while_a_canary_knows_other_names_each_request_reaches_one_that_knows_its_name() -> None:
    steps = [{"weight": 50, "pause": True}]
    made = open_life(NAMED, replicas=2, rollout={"canary": {"steps": steps}})
    (old,) = pins_of(made.stored(HTTP_ROUTE, SERVICE))
    made.edit(gateway=RENAMED)
    assert route_of(made, "two") is None, "nobody who serves knows it"
    assert models(made)["two"]["ready"] == 0, "so it is asked for again soon"
    assert reaching(made, "one") == {old}, "before the new one serves: by then it may not be sent such a request"
    for _ in range(3):
        made.run()
        takes(made)
    assert made.status.canary is not None
    new = made.status.canary.target
    assert (reaching(made, "one"), reaching(made, "two")) == ({old}, {new})
    assert reaching(made, "chat") == {old, new}
    assert route_of(made, "two", revision=old) is None, "a key that is pinned to what does not know the name"
    assert route_of(made, "two", revision=new) == f"{NAMESPACE}/chat/{new}"
    annotate(made, ROLLBACK, old)
    for _ in range(3):
        made.run()
        takes(made)
    assert set(models(made)) == {"chat", "one"}, "what was rolled back takes its names along"
    assert reaching(made, "one") == {old}


def test_a_revision_that_falls_silent_may_speak_again_and_counts_as_one_that_requests_may_reach() -> None:
    made = open_life(NAMED, replicas=2, rollout={"canary": {"steps": [{"weight": 50, "pause": True}]}})
    (old,) = pins_of(made.stored(HTTP_ROUTE, SERVICE))
    made.edit(gateway=RENAMED)
    for _ in range(3):
        made.run()
        takes(made)
    assert made.status.canary is not None
    for pod in made.pods():
        if revision_of(pod) == old:
            made.world.run(pod, ready=False)
    made.world.run_deployment_controller()
    made.operator.settle()
    assert list(models(made)["chat"]["revisions"]) == [made.status.canary.target]
    assert models(made)["two"]["only"] == made.status.canary.target


@pytest.mark.parametrize(("held", "expected"), [({}, (0, 0)), ({"ready": 1, "holdSeconds": 30}, (0, 30))])
def test_a_name_that_is_awaited_is_waited_for_where_requests_are_held_at_all(
    held: dict[str, int], expected: tuple[int, int]
) -> None:
    owner = life().look().owner
    assert owner.spec.gateway is not None
    assert owner.spec.gateway.auth is not None
    names = {"two": Answering((), is_awaited=True), "one": Answering(("old",), only="old")}
    written = models_map(owner, owner.spec.gateway.auth, names, held)
    entries = json.loads(written["data"]["models.json"])["models"]
    assert (entries["two"]["ready"], entries["two"]["holdSeconds"]) == expected
    assert entries["one"].get("ready") == held.get("ready")


def test_one_that_runs_nothing_is_known_by_the_names_of_what_shall_run() -> None:
    made = open_life(NAMED, replicas=1, suspend=True)
    made.edit(gateway=RENAMED)
    assert set(models(made)) == {"chat", "two"}, "nothing runs, and the names are those of what shall"


def test_through_a_rollout_no_request_reaches_a_revision_that_does_not_know_its_name() -> None:
    made = open_life(NAMED, replicas=3)
    knows = {pins_of(made.stored(HTTP_ROUTE, SERVICE))[0]: {"chat", "one"}}
    made.edit(gateway=RENAMED)
    for _ in range(14):
        made.run(rounds=1)
        new = made.status.current
        assert new is not None
        knows.setdefault(new.name, {"chat", "two"})
        for name in models(made):
            assert all(name in knows[revision] for revision in reaching(made, name)), (name, models(made))
        takes(made)
    assert set(models(made)) == {"chat", "two"}
    assert all("only" not in entry for entry in models(made).values())


def test_an_adapter_that_only_the_new_revision_has_is_not_asked_of_the_old() -> None:
    made = open_life()
    (old,) = pins_of(made.stored(HTTP_ROUTE, SERVICE))
    made.edit(adapters=[{"name": "legal", "source": {"uri": "pvc://models/legal"}}])
    assert route_of(made, "legal") is None
    made.run()
    takes(made)
    assert old not in reaching(made, "legal") != set()


# --- limits ------------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_client_where_clients_are_known_and_by_address_else() -> None:
    def selectors(gateway: dict[str, Any]) -> list[dict[str, Any]]:
        made = life({**gateway, "limits": {"requestsPerMinute": 60}})
        found = made.stored(BACKEND_TRAFFIC_POLICY, SERVICE)["spec"]["rateLimit"]["local"]["rules"]
        return [rule["clientSelectors"][0] for rule in found]

    assert selectors(KEYS) == [{"headers": [{"name": decision.CLIENT, "type": "Distinct"}]}]
    assert [next(iter(one)) for one in selectors(PUBLIC)] == ["sourceCIDR", "sourceCIDR"]


METERED: dict[str, Any] = {**KEYS, "limits": {"tokensPerMinute": 90000}}


def limited(made: ServingLife) -> dict[str, Any]:
    found: dict[str, Any] = made.stored(BACKEND_TRAFFIC_POLICY, SERVICE)["spec"]["rateLimit"]
    return found


def test_tokens_of_a_client_are_one_count_for_all_proxies_rules_and_host_names_and_cost_what_the_answer_says() -> None:
    tokens, uncounted = limited(life(METERED))["global"]["rules"]
    assert tokens == {
        "clientSelectors": [{"headers": [{"name": decision.CLIENT, "type": "Distinct"}]}],
        "limit": {"requests": 90000, "unit": "Minute"},
        "cost": {
            "request": {"from": "Number", "number": 0},
            "response": {"from": "Metadata", "metadata": {"namespace": "deepseek.tokens", "key": "total"}},
        },
        "shared": True,
    }
    assert uncounted["limit"]["requests"] == 0
    assert uncounted["shared"] is True


def test_tokens_and_requests_are_limited_beside_each_other() -> None:
    both = limited(life({**KEYS, "limits": {"tokensPerMinute": 90000, "requestsPerMinute": 60}}))
    assert set(both) == {"local", "global"}
    assert "rateLimit" not in life(KEYS).stored(BACKEND_TRAFFIC_POLICY, SERVICE)["spec"]


def test_what_counts_tokens_in_the_example_of_an_administrator_is_what_the_policy_asks_for() -> None:
    """Its header, which the gate takes from clients, and the entry of metadata."""
    (counting,) = yaml.safe_load_all((ROOT / "examples/gateway/tokens.yaml").read_text())
    program = counting["spec"]["lua"][0]["inline"]
    tokens, uncounted = limited(life(METERED))["global"]["rules"]
    (header,) = uncounted["clientSelectors"][0]["headers"]
    assert header == {"name": decision.COUNTED, "type": "Exact", "value": "true", "invert": True}
    assert f'replace("{header["name"]}", "{header["value"]}")' in program
    metadata = tokens["cost"]["response"]["metadata"]
    assert f'set("{metadata["namespace"]}", key, count)' in program
    assert f'tell(handle, "{metadata["key"]}", ' in program


def test_the_gate_hears_that_answers_must_tell_their_tokens_where_these_are_limited() -> None:
    for gateway, expected in ((METERED, True), (KEYS, False)):
        found = known([life(gateway).stored(CONFIG_MAP, SERVICE)])
        assert not found.faults
        assert found.models["chat"].is_counted is expected


def test_requests_at_once_are_bounded_for_each_proxy() -> None:
    made = life({**PUBLIC, "limits": {"concurrency": 5}})
    breaker = made.stored(BACKEND_TRAFFIC_POLICY, SERVICE)["spec"]["circuitBreaker"]
    assert breaker == {"maxConnections": 65536, "maxPendingRequests": 65536, "maxParallelRequests": 5}


def test_a_body_is_as_large_for_the_gate_as_for_the_replicas() -> None:
    assert policy(life())["extAuth"]["bodyToExtAuth"] == {"maxRequestBytes": 32 * 1024 * 1024}
    limited = life({**KEYS, "limits": {"maxBodySize": "512Ki"}})
    assert policy(limited)["extAuth"]["bodyToExtAuth"] == {"maxRequestBytes": 512 * 1024}


def test_tokens_that_nobody_counts_are_told_by_name() -> None:
    made = open_life(METERED)
    lacks(made, BACKEND_TRAFFIC_POLICY)
    status, reason, message = told(made, "PolicyReady")
    assert (status, reason) == ("False", "PolicyWithoutEffect")
    assert "gateway.limits.tokensPerMinute" in message
