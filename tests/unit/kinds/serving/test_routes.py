"""The way from a gateway through a serving's life: who gets requests when, what is told of it, and what is left behind."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.gateway import Gateway
from deepseek_operator.core.conditions import find
from deepseek_operator.core.resources import BACKEND_TRAFFIC_POLICY, DEPLOYMENT, HTTP_ROUTE, OPTIONAL
from deepseek_operator.kinds.serving.labels import revision_named
from deepseek_operator.kinds.serving.routes import places_of, reached
from tests.support.gateways import ENVOY_GATEWAY, PUBLIC, lacks, takes, told
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE

NEXT = {"maxConcurrency": 8}
MISSING = {
    HTTP_ROUTE: "there is no HTTPRoute here. Install it.",
    BACKEND_TRAFFIC_POLICY: "there is no policy here. Install it.",
}


def available(**spec: Any) -> ServingLife:
    """One that serves, and whose route is taken."""
    life = ServingLife(**{"gateway": PUBLIC, **spec})
    life.run()
    takes(life)
    return life


def weights(life: ServingLife) -> tuple[tuple[str, int], ...]:
    return places_of(life.stored(HTTP_ROUTE, SERVICE))


def specified(life: ServingLife) -> dict[str, int]:
    return {revision_named(one): one["spec"]["replicas"] for one in life.cluster.all(DEPLOYMENT, NAMESPACE)}


def test_a_serving_without_a_gateway_has_no_route_and_says_nothing_of_one() -> None:
    life = ServingLife()
    life.run()
    assert not [item for resource in OPTIONAL for item in life.cluster.all(resource)]
    assert life.status.gateway is None
    assert find(life.status.conditions, "RouteReady") is None


def test_a_gateway_changes_no_pod() -> None:
    life = ServingLife()
    life.run()
    before = life.deployment()["metadata"]["name"]
    life.edit(gateway={**PUBLIC, "limits": {"maxBodySize": "1Mi"}})
    assert life.deployment()["metadata"]["name"] == before
    assert life.stored(HTTP_ROUTE, SERVICE)["spec"]["parentRefs"][0]["name"] == "public"


def test_no_backend_has_filters_for_which_envoy_would_need_a_new_cluster_with_each_revision() -> None:
    (rule,) = available().stored(HTTP_ROUTE, SERVICE)["spec"]["rules"]
    assert rule["backendRefs"]
    assert [backend.keys() - {"group", "kind", "name", "port", "weight"} for backend in rule["backendRefs"]] == [set()]


def test_what_is_taken_is_told_with_who_took_it() -> None:
    life = available()
    assert told(life, "RouteReady")[:2] == ("True", "RouteAccepted")
    assert told(life, "PolicyReady")[:2] == ("True", "PolicyAccepted")
    assert ENVOY_GATEWAY in told(life, "RouteReady")[2]
    found = life.status.gateway
    assert found is not None
    assert (found.parent, found.controller, [(one.percent) for one in found.weights]) == (
        "gateways/public", ENVOY_GATEWAY, [100],
    )  # fmt: skip


def test_a_gateway_that_nobody_answers_for_is_told_and_holds_no_rollout() -> None:
    life = ServingLife(gateway=PUBLIC)
    life.run()
    assert told(life, "RouteReady")[:2] == ("Unknown", "RoutePending")
    assert "gateways/public" in told(life, "RouteReady")[2]
    life.edit(engine=NEXT)
    life.run()
    assert life.status.phase == "Available"
    assert life.status.previous == []


@pytest.mark.parametrize("type_", ["Accepted", "ResolvedRefs"])
def test_a_refusal_is_told_in_the_controller_s_words(type_: str) -> None:
    life = available()
    takes(life, refused={type_: ("NotAllowedByListeners", "the listener lets no route of this namespace in")})
    status, reason, message = told(life, "RouteReady")
    assert (status, reason) == ("False", "RouteRefused")
    assert "NotAllowedByListeners: the listener lets no route of this namespace in" in message
    assert life.reason("Ready") == "Available"


def test_another_controller_is_told_what_it_does_not_do() -> None:
    life = ServingLife(gateway={**PUBLIC, "limits": {"requestsPerMinute": 60}})
    life.run()
    takes(life, controller="example.com/controller")
    assert told(life, "RouteReady")[:2] == ("True", "RouteAccepted")
    status, reason, message = told(life, "PolicyReady")
    assert (status, reason) == ("False", "PolicyWithoutEffect")
    assert "requestsPerMinute" in message
    assert "maxBodySize" in message
    assert "example.com/controller" in message


def test_a_refused_policy_is_told_with_what_the_gateway_does_meanwhile() -> None:
    life = ServingLife(gateway=PUBLIC)
    life.run()
    words = "RateLimit: enable Ratelimit in the EnvoyGateway config to configure global rateLimit."
    takes(life, refused_policy={"Accepted": ("Invalid", words)})
    status, reason, message = told(life, "PolicyReady")
    assert (status, reason) == ("False", "PolicyRefused")
    assert f"says Invalid: {words.rstrip('.')}; the gateway answers all requests with 500 meanwhile. " in message
    assert "without effect" not in message


def test_a_cluster_without_policies_has_the_route_and_says_what_is_lost() -> None:
    life = ServingLife()
    lacks(life, BACKEND_TRAFFIC_POLICY, why=MISSING.__getitem__)
    life.edit(gateway=PUBLIC)
    life.run()
    assert life.cluster.all(HTTP_ROUTE)
    assert not life.cluster.all(BACKEND_TRAFFIC_POLICY)
    assert told(life, "PolicyReady")[:2] == ("False", "PolicyWithoutEffect")
    assert life.status.phase == "Available"


def test_a_cluster_without_routes_serves_inside_waits_and_says_for_what() -> None:
    life = ServingLife()
    lacks(life, HTTP_ROUTE, BACKEND_TRAFFIC_POLICY, why=MISSING.__getitem__)
    life.edit(gateway=PUBLIC)
    life.run()
    assert life.reason("Reconciling") == "WaitingForAPI"
    assert told(life, "RouteReady")[:2] == (
        "Unknown",
        "WaitingForAPI",
    )
    ready = find(life.status.conditions, "Ready")
    assert ready is not None
    assert ready.status == "True"
    life.edit(engine=NEXT)
    life.run()
    assert len(life.cluster.all(DEPLOYMENT, NAMESPACE)) == 1
    assert life.status.current is not None
    assert life.status.stable == life.status.current.name


def test_a_new_revision_gets_requests_once_it_serves_and_the_old_one_ends_once_it_gets_none() -> None:
    life = available()
    (old,) = specified(life)
    life.edit(engine=NEXT)
    (new,) = specified(life).keys() - {old}
    assert weights(life) == ((old, 1),)
    life.run()
    assert weights(life) == ((old, 0), (new, 1))
    assert specified(life) == {old: 1, new: 1}, "the gateway has not said yet that it has seen it"
    ready = find(life.status.conditions, "Reconciling")
    assert ready is not None
    assert f"{old} stays until the gateway" in ready.message
    takes(life)
    life.run()
    takes(life)
    assert specified(life) == {new: 1}
    assert weights(life) == ((new, 0), (new, 1))
    assert life.status.phase == "Available"


def test_revisions_are_listed_with_the_parts_that_the_route_gives_them() -> None:
    steps = [{"weight": 25, "bakeSeconds": 86400}]
    life = available(replicas=4, rollout={"canary": {"steps": steps}})
    assert listed(life) == [100]
    life.edit(engine=NEXT)
    assert listed(life) == [0, 100], "the newest first, and it does not serve yet"
    life.run()
    takes(life)
    assert listed(life) == [25, 75]
    life.edit(gateway=None)
    life.run()
    assert listed(life) == [None, None], "without a route nobody counts parts"


def listed(life: ServingLife) -> list[int | None]:
    return [one.weight for one in life.status.revisions]


@pytest.mark.parametrize("replicas", [1, 2, 5])
def test_no_pod_of_the_last_ones_goes_while_it_gets_requests_and_none_that_is_not_ready_gets_any(replicas: int) -> None:
    life = available(replicas=replicas)
    for concurrency in (5, 6, 7):
        life.edit(engine={"maxConcurrency": concurrency})
        for _ in range(4 * replicas + 4):
            life.run(rounds=1)
            ready = {d["metadata"]["name"].rpartition("-")[2] for d in life.cluster.all(DEPLOYMENT, NAMESPACE)
                     if (d.get("status") or {}).get("readyReplicas")}  # fmt: skip
            got = {name for name, part in weights(life) if part > 0}
            assert got
            assert got <= ready
            route = life.stored(HTTP_ROUTE, SERVICE)
            seen_by_gateway = reached(life.look().owner, Gateway.model_validate(PUBLIC), route)
            assert set(seen_by_gateway) <= {name for name, count in specified(life).items() if count}
            takes(life)
        assert life.status.phase == "Available"
        assert life.status.previous == []


def test_a_route_that_moves_to_another_gateway_holds_what_the_one_before_still_sends_requests_to() -> None:
    life = available()
    life.edit(engine=NEXT)
    life.run()
    life.edit(gateway={"parentRef": {"name": "other"}})
    life.run()
    assert sorted(specified(life).values()) == [1, 1]
    takes(life)
    life.run()
    assert list(specified(life).values()) == [1]


def test_replicas_that_all_end_at_once_are_not_held() -> None:
    life = available(rollout={"strategy": "Recreate"})
    life.edit(engine=NEXT)
    life.run(rounds=8)
    takes(life)
    assert life.status.phase == "Available"
    assert len(specified(life)) == 1
    life.edit(suspend=True)
    life.run()
    assert life.status.phase == "Suspended"
    assert not life.pods()
    assert [part for _, part in weights(life) if part > 0] == [1]


def test_a_route_that_somebody_changed_is_put_right() -> None:
    life = available()
    before = life.stored(HTTP_ROUTE, SERVICE)["spec"]
    life.cluster.edit(
        HTTP_ROUTE, NAMESPACE, SERVICE, lambda live: live["spec"].update(hostnames=["stranger.example.com"])
    )
    life.cluster.edit(
        HTTP_ROUTE, NAMESPACE, SERVICE, lambda live: live["spec"]["rules"][0]["backendRefs"][0].update(weight=7)
    )
    life.operator.settle()
    assert life.stored(HTTP_ROUTE, SERVICE)["spec"]["rules"] == before["rules"]


def test_what_hangs_on_no_gateway_any_more_goes() -> None:
    life = available()
    life.cluster.edit(life.operator.kind.resource, NAMESPACE, "chat", lambda live: live["spec"].pop("gateway"))
    life.operator.settle()
    assert not [item for resource in OPTIONAL for item in life.cluster.all(resource)]
    life.operator.settle()
    assert life.status.gateway is None
    assert find(life.status.conditions, "RouteReady") is None


def test_a_stranger_s_route_of_that_name_is_left_alone_and_told() -> None:
    life = ServingLife()
    life.put({"apiVersion": HTTP_ROUTE.api_version, "kind": HTTP_ROUTE.kind,
              "metadata": {"name": SERVICE, "namespace": NAMESPACE}, "spec": {}})  # fmt: skip
    life.edit(gateway=PUBLIC)
    assert life.reason("Stalled") == "NameConflict"
    assert life.stored(HTTP_ROUTE, SERVICE)["spec"] == {}
