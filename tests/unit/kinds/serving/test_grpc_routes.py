"""gRPC by the gateway through a serving's life: what is made, whom it lets in, who gets calls when, and what is told of it."""

from typing import Any

import pytest

from deepseek_gate import decision
from deepseek_gate.answers import Allowed
from deepseek_gate.keys import Key
from deepseek_gate.knowledge import known
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration, GateAddress
from deepseek_operator.core.resources import (
    BACKEND_TRAFFIC_POLICY,
    CONFIG_MAP,
    DEPLOYMENT,
    GRPC_ROUTE,
    HTTP_ROUTE,
    SECURITY_POLICY,
    Resource,
)
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.kinds.serving.labels import revision_named
from deepseek_operator.kinds.serving.routes import matched_of, pins_of, places_of
from tests.support.gateways import ENVOY_GATEWAY, GATE, PUBLIC, answer, takes, told
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE

NAME = f"{SERVICE}-grpc"
TRITON: dict[str, Any] = {
    "model": {"name": "deepseek-r1-distill-llama-70b", "source": {"uri": "pvc://models/m"}},
    "engine": {"type": "triton"},
    "accelerator": {"profile": "nvidia-h200-141"},
}
OPEN: dict[str, Any] = {**PUBLIC, "grpc": {}}
JUDGED: dict[str, Any] = {**OPEN, "auth": {"apiKeys": True}}
NEXT = {"type": "triton", "maxModelLength": 8192}
MANAGING = ("Repository", "SharedMemory", "Trace", "Log")


def life(gateway: dict[str, Any], gate: GateAddress | None = GATE, **spec: Any) -> ServingLife:
    made = ServingLife(configuration=Configuration(gate=gate), gateway=gateway, **{**TRITON, **spec})
    made.run()
    return made


def settled(gateway: dict[str, Any], **spec: Any) -> ServingLife:
    """One whose policies and routes are taken."""
    made = life(gateway, **spec)
    for _ in range(2):
        takes(made)
    return made


def rules(life: ServingLife) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = life.stored(GRPC_ROUTE, NAME)["spec"]["rules"]
    return found


def specified(life: ServingLife) -> dict[str, int]:
    return {revision_named(one): one["spec"]["replicas"] for one in life.cluster.all(DEPLOYMENT, NAMESPACE)}


def made_of(life: ServingLife, *resources: Resource) -> list[str]:
    return [one["metadata"]["name"] for resource in resources for one in life.cluster.all(resource)]


def methods_of(rule: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(one["method"]["type"], one["method"]["service"], one["method"]["method"]) for one in rule["matches"]}


# --- what is made ---------------------------------------------------------------------------------------------------


def test_nothing_of_grpc_is_made_unless_it_is_asked_for() -> None:
    made = settled(PUBLIC)
    assert made_of(made, GRPC_ROUTE) == []
    assert find(made.status.conditions, "GRPCReady") is None


def test_an_engine_that_answers_none_gets_none() -> None:
    made = settled(OPEN, engine={"type": "vllm"})
    assert made_of(made, GRPC_ROUTE) == []
    assert made_of(made, HTTP_ROUTE) == [SERVICE]


def test_the_route_leads_to_the_port_of_the_engines_grpc_and_hangs_where_the_other_does() -> None:
    made = settled({**OPEN, "hostnames": ["chat.example.com"]})
    http, grpc = made.stored(HTTP_ROUTE, SERVICE)["spec"], made.stored(GRPC_ROUTE, NAME)["spec"]
    assert grpc["parentRefs"] == http["parentRefs"]
    assert grpc["hostnames"] == http["hostnames"] == ["chat.example.com"]
    (rule,) = grpc["rules"]
    (backend,) = rule["backendRefs"]
    assert (backend["name"], backend["weight"]) == (http["rules"][0]["backendRefs"][0]["name"], 1)
    assert backend["port"] == 8001


def test_host_names_of_its_own_are_its_alone() -> None:
    made = settled({**OPEN, "hostnames": ["chat.example.com"], "grpc": {"hostnames": ["grpc.example.com"]}})
    assert made.stored(GRPC_ROUTE, NAME)["spec"]["hostnames"] == ["grpc.example.com"]
    assert made.stored(HTTP_ROUTE, SERVICE)["spec"]["hostnames"] == ["chat.example.com"]


@pytest.mark.parametrize("gateway", [OPEN, JUDGED])
def test_every_rule_is_of_single_methods_by_their_names_and_none_of_those_manages_the_server(
    gateway: dict[str, Any],
) -> None:
    grpc = ENGINES["triton"].grpc
    assert grpc is not None
    assert not [method for method in grpc.methods for word in MANAGING if word in method]
    for rule in rules(settled(gateway)):
        assert methods_of(rule) == {("Exact", grpc.service, method) for method in grpc.methods}


def test_the_gate_and_the_engine_name_the_same_methods() -> None:
    grpc = ENGINES["triton"].grpc
    assert grpc is not None
    assert {f"/{grpc.service}/{method}" for method in grpc.methods} == decision.CALLS


def test_no_body_is_waited_for_since_a_stream_has_no_end_before_its_answers() -> None:
    made = settled({**JUDGED, "limits": {"requestsPerMinute": 60, "concurrency": 8}, "retries": 3})
    assert "bodyToExtAuth" not in made.stored(SECURITY_POLICY, NAME)["spec"]["extAuth"]
    assert "bodyToExtAuth" in made.stored(SECURITY_POLICY, SERVICE)["spec"]["extAuth"]
    spec = made.stored(BACKEND_TRAFFIC_POLICY, NAME)["spec"]
    assert spec["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "GRPCRoute", "name": NAME}]
    assert "requestBuffer" not in spec
    assert spec["timeout"]["http"] == {"requestTimeout": "3600s", "streamIdleTimeout": "300s"}
    assert spec["circuitBreaker"]["maxParallelRequests"] == 8
    assert spec["retry"]["numRetries"] == 3
    assert "unavailable" in spec["retry"]["retryOn"]["triggers"]
    assert spec["rateLimit"] == {
        "local": {
            "rules": [
                {
                    "clientSelectors": [{"headers": [{"name": "x-deepseek-client", "type": "Distinct"}]}],
                    "limit": {"requests": 60, "unit": "Minute"},
                }
            ]
        }
    }


# --- who is let in --------------------------------------------------------------------------------------------------


def test_the_gate_is_asked_about_this_serving_and_its_answer_chooses_the_route() -> None:
    made = settled(JUDGED)
    policy = made.stored(SECURITY_POLICY, NAME)["spec"]
    assert policy["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "GRPCRoute", "name": NAME}]
    assert policy["extAuth"]["failOpen"] is False
    _, role, namespace, ways, serving = policy["extAuth"]["http"]["path"].split("/")
    assert (role, namespace, serving) == ("grpc", NAMESPACE, "chat")
    found = known([made.stored(CONFIG_MAP, SERVICE)])
    judged = decision.permit_call(Key("alice", frozenset({"chat"})), serving, found, namespace, ways)
    assert isinstance(judged, Allowed)
    leading = [rule for rule in rules(made) if rule.get("backendRefs")]
    headers = {one["headers"][0]["value"] for one in leading[0]["matches"]}
    assert headers == {judged.headers[decision.ROUTE]}
    assert set(policy["extAuth"]["http"]["headersToBackend"]) == set(decision.INTERNAL)


def test_no_rule_leads_to_a_replica_before_the_policy_is_in_force_and_none_after_it_is_refused() -> None:
    made = life(JUDGED)
    assert [rule.get("backendRefs") for rule in rules(made)] == [None]
    takes(made)
    assert places_of(made.stored(GRPC_ROUTE, NAME))
    takes(made, refused_policy={"Accepted": ("Invalid", "no")})
    assert [rule.get("backendRefs") for rule in rules(made)] == [None]
    assert told(made, "GRPCReady")[:2] == ("False", "PolicyRefused")
    takes(made)
    made.cluster.remove(SECURITY_POLICY, NAMESPACE, NAME)
    made.operator.settle()
    assert [rule.get("backendRefs") for rule in rules(made)] == [None]


def test_the_policy_of_the_other_route_opens_nothing_here() -> None:
    made = life(JUDGED)
    answer(made.cluster, NAMESPACE, SERVICE, {})
    made.cluster.edit(SECURITY_POLICY, NAMESPACE, NAME, lambda live: live.pop("status"))
    made.operator.settle()
    assert places_of(made.stored(HTTP_ROUTE, SERVICE))
    assert [rule.get("backendRefs") for rule in rules(made)] == [None]


def test_rules_to_replicas_need_the_header_that_the_gate_alone_writes() -> None:
    closed, *others = rules(settled(JUDGED))
    assert "backendRefs" not in closed
    assert others
    for rule in others:
        assert all(match["headers"][0]["name"] == "x-deepseek-route" for match in rule["matches"])


def test_without_a_gate_there_is_no_route() -> None:
    made = life(JUDGED, gate=None)
    assert made_of(made, GRPC_ROUTE, HTTP_ROUTE, SECURITY_POLICY) == []
    assert told(made, "GRPCReady")[:2] == ("Unknown", "GateNotEnabled")


def test_when_keys_are_asked_for_later_the_route_closes_until_the_policy_is_in_force() -> None:
    made = settled(OPEN)
    made.edit(gateway=JUDGED)
    assert [rule.get("backendRefs") for rule in rules(made)] == [None]
    takes(made)
    takes(made)
    assert told(made, "GRPCReady")[:2] == ("True", "RouteAccepted")


# --- who gets calls when --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gateway", [OPEN, JUDGED])
def test_weights_are_those_of_the_other_route_through_a_rollout(gateway: dict[str, Any]) -> None:
    made, seen = settled(gateway, replicas=3), set()
    made.edit(engine=NEXT)
    for _ in range(12):
        http, grpc = (made.stored(*ref) for ref in ((HTTP_ROUTE, SERVICE), (GRPC_ROUTE, NAME)))
        assert places_of(grpc) == places_of(http)
        assert pins_of(grpc) == pins_of(http)
        seen.add(places_of(grpc))
        takes(made)
        made.run(rounds=1)
    assert len(seen) > 2
    assert len(specified(made)) == 1


def test_a_canary_has_its_weight_by_either_route() -> None:
    rollout = {"strategy": "RollingUpdate", "canary": {"steps": [{"weight": 10, "bakeSeconds": 600}]}}
    made = settled(JUDGED, replicas=2, rollout=rollout)
    made.edit(engine=NEXT)
    for _ in range(4):
        made.run(rounds=1)
        takes(made)
    assert sorted(part for _, part in places_of(made.stored(GRPC_ROUTE, NAME))) == [1, 9]


def test_calls_with_a_header_go_to_the_version_that_is_tried_by_it() -> None:
    match = {"header": {"name": "x-variant", "value": "new"}}
    rollout = {"strategy": "RollingUpdate", "canary": {"steps": [{"replicas": 1, "bakeSeconds": 600}], "match": match}}
    made = settled(JUDGED, replicas=2, rollout=rollout)
    made.edit(engine=NEXT)
    for _ in range(4):
        made.run(rounds=1)
        takes(made)
    http, grpc = made.stored(HTTP_ROUTE, SERVICE), made.stored(GRPC_ROUTE, NAME)
    assert matched_of(grpc) == matched_of(http) != ()
    (rule,) = [one for one in rules(made) if len(one["matches"][0].get("headers", ())) == 2]
    assert {one["headers"][1]["name"] for one in rule["matches"]} == {"x-variant"}


def test_no_more_matches_than_a_route_may_have() -> None:
    """128 in all, and 16 rules."""
    made = settled(JUDGED)
    assert sum(len(rule["matches"]) for rule in rules(made)[:1]) * 16 <= 128


def test_the_last_replicas_of_a_revision_stay_until_calls_have_left_it() -> None:
    """Its controller has seen the HTTPRoute without it, and the other one not yet."""
    made = settled(OPEN)
    (old,) = specified(made)
    made.edit(engine=NEXT)
    for _ in range(4):
        made.run(rounds=1)
        _sees_http_alone(made)
    assert dict(places_of(made.stored(GRPC_ROUTE, NAME)))[old] == 0
    assert specified(made)[old] == 1
    takes(made)
    made.run()
    assert old not in specified(made)


def _sees_http_alone(made: ServingLife) -> None:
    before = made.stored(GRPC_ROUTE, NAME)["status"]
    answer(made.cluster, NAMESPACE, SERVICE, {})
    made.cluster.edit(GRPC_ROUTE, NAMESPACE, NAME, lambda live: live.update(status=before))
    made.operator.settle()


# --- what is told, and what is left ---------------------------------------------------------------------------------


def test_what_does_not_hold_for_grpc_is_told_by_name() -> None:
    status, reason, message = told(settled(OPEN), "GRPCReady")
    assert (status, reason) == ("True", "RouteAccepted")
    assert "without effect on it: gateway.limits.maxBodySize" in message
    assert "gateway.cache" not in message
    cached = settled({**JUDGED, "cache": {"image": "nginx:1"}})
    assert told(cached, "GRPCReady")[2].endswith("gateway.limits.maxBodySize, gateway.cache")


def test_a_gateway_that_takes_but_one_protocol_under_a_host_name_is_told_with_what_to_write() -> None:
    made = life(OPEN)
    answer(made.cluster, NAMESPACE, SERVICE, {}, refused_grpc={"Accepted": ("HostnameConflict", "HTTPRoute has it")})
    made.operator.settle()
    status, reason, message = told(made, "GRPCReady")
    assert (status, reason) == ("False", "RouteRefused")
    assert "write gateway.grpc.hostnames" in message
    assert told(made, "RouteReady")[0] == "True"
    assert "GRPCRoute" not in told(made, "Ready")[2]


def test_another_implementation_is_told_of_what_it_does_not_do() -> None:
    made = life(OPEN)
    takes(made, controller="example.com/other")
    status, reason, message = told(made, "GRPCReady")
    assert (status, reason) == ("False", "PolicyWithoutEffect")
    assert "gateway.timeouts.requestSeconds" in message
    assert "maxBodySize" not in message
    judged = life(JUDGED)
    takes(judged, controller="example.com/other")
    assert "nobody is let in" in told(judged, "GRPCReady")[2]


@pytest.mark.parametrize("gateway", [OPEN, JUDGED])
def test_a_cluster_without_such_routes_is_told_and_all_else_goes_on(gateway: dict[str, Any]) -> None:
    made = settled(gateway)
    _lose(made)
    assert told(made, "GRPCReady")[:2] == ("Unknown", "WaitingForAPI")
    assert "GRPCRoute" in told(made, "GRPCReady")[2]
    assert made_of(made, HTTP_ROUTE, BACKEND_TRAFFIC_POLICY) == [SERVICE, SERVICE]
    assert told(made, "Ready")[0] == "True"
    assert made.status.phase == "Available"
    made.edit(engine=NEXT)
    for _ in range(6):
        made.run()
        takes(made)
    assert len(specified(made)) == 1
    made.operator.mirror.missing(GRPC_ROUTE, None, None)
    made.operator.audit()
    made.operator.settle()
    for _ in range(2):
        takes(made)
    assert told(made, "GRPCReady")[:2] == ("True", "RouteAccepted")


def _lose(made: ServingLife) -> None:
    """The definition goes, and its objects with it."""
    for one in made.cluster.all(GRPC_ROUTE):
        made.cluster.remove(GRPC_ROUTE, NAMESPACE, one["metadata"]["name"])
    made.operator.mirror.missing(GRPC_ROUTE, None, "there is no GRPCRoute here. Install it.")
    made.operator.settle()


@pytest.mark.parametrize("without", [{**JUDGED, "grpc": None}, None])
def test_nothing_is_left_once_it_is_not_asked_for_and_the_route_goes_first(without: Any) -> None:
    made = settled(JUDGED)
    gateway = {name: value for name, value in without.items() if value is not None} if without else None
    before = len(made.changes)
    made.edit(gateway=gateway)
    assert [name for name in made_of(made, GRPC_ROUTE, SECURITY_POLICY, BACKEND_TRAFFIC_POLICY) if name == NAME] == []
    gone = [one.resource.kind for one in made.changes[before:] if one.manifest["metadata"]["name"] == NAME]
    assert gone[0] == "GRPCRoute"
    assert find(made.status.conditions, "GRPCReady") is None


def test_what_a_stranger_changes_is_put_back() -> None:
    made = settled(JUDGED)
    before = rules(made)

    def meddle(live: dict[str, Any]) -> None:
        live["spec"]["rules"] = [{"backendRefs": live["spec"]["rules"][1]["backendRefs"]}]

    made.cluster.edit(GRPC_ROUTE, NAMESPACE, NAME, meddle)
    made.operator.settle()
    takes(made)
    assert rules(made) == before


def test_envoy_gateway_is_who_takes_it() -> None:
    assert told(settled(JUDGED), "GRPCReady")[2].startswith(ENVOY_GATEWAY)
