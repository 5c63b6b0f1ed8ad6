"""A canary behind a gateway bakes on requests that come as its step says, and on nothing else."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.conditions import find
from deepseek_operator.core.resources import BACKEND_TRAFFIC_POLICY, HTTP_ROUTE
from deepseek_operator.kinds.serving.routes import places_of
from deepseek_operator.kinds.serving.verbs import PROMOTE
from tests.support.gateways import PUBLIC, takes
from tests.support.serving_life import NAME, SERVICE, ServingLife
from tests.support.servings import NAMESPACE

BAKE_S, STALL_S = 60, 300
STEPS = [{"weight": 10, "bakeSeconds": BAKE_S}, {"weight": 50, "bakeSeconds": BAKE_S}]


def tried(*steps: dict[str, Any], **canary: Any) -> ServingLife:
    """Four replicas of a first version whose route is taken, and a second version whose replicas serve."""
    rollout = {"strategy": "RollingUpdate", "canary": {"steps": steps or STEPS, "stallSeconds": STALL_S, **canary}}
    life = ServingLife(replicas=4, rollout=rollout, gateway=PUBLIC)
    life.run()
    takes(life)
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    return life


def after(life: ServingLife, seconds: float) -> None:
    life.clock.advance(seconds)
    life.operator.settle()
    life.run()


def at(life: ServingLife) -> tuple[str, int]:
    assert life.status.canary is not None
    return life.status.canary.phase, life.status.canary.step


def said(life: ServingLife) -> str:
    found = find(life.status.conditions, "Reconciling")
    assert found is not None
    return found.message


def test_a_step_bakes_only_once_the_gateway_has_seen_its_weight() -> None:
    life = tried()
    assert sorted(part for _, part in places_of(life.stored(HTTP_ROUTE, SERVICE))) == [1, 9]
    assert at(life) == ("Preparing", 1)
    assert "bakes as soon as requests come so: Gateway gateways/public has not taken the route" in said(life)
    after(life, BAKE_S)
    assert at(life) == ("Preparing", 1)
    takes(life)
    assert at(life) == ("Baking", 1)
    after(life, BAKE_S)
    assert at(life) == ("Preparing", 2), "another weight is to be seen again"
    takes(life)
    assert at(life) == ("Baking", 2)


def test_a_step_of_the_weight_that_the_route_has_already_bakes_at_once() -> None:
    life = tried(STEPS[0], STEPS[0])
    takes(life)
    after(life, BAKE_S)
    assert at(life) == ("Baking", 2)


def test_a_step_of_replicas_alone_waits_for_its_first_part() -> None:
    life = tried({"replicas": 1, "bakeSeconds": BAKE_S})
    assert at(life) == ("Preparing", 1)
    takes(life)
    assert at(life) == ("Baking", 1)


@pytest.mark.parametrize("type_", ["Accepted", "ResolvedRefs"])
def test_a_refused_route_does_not_count_as_taken(type_: str) -> None:
    life = tried()
    takes(life, refused={type_: ("No", "no")})
    assert at(life) == ("Preparing", 1)


def test_a_gateway_that_nobody_answers_for_holds_the_run() -> None:
    life = ServingLife(rollout={"strategy": "RollingUpdate", "canary": {"steps": STEPS}}, gateway=PUBLIC)
    life.run()
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    assert at(life) == ("Preparing", 1)


def test_a_gateway_that_never_takes_the_weight_holds_the_run_and_says_so_until_it_does() -> None:
    life = tried()
    after(life, STALL_S)
    assert at(life) == ("Held", 1)
    assert f"Gateway gateways/public has not taken the route with the step's weight after {STALL_S} s" in said(life)
    takes(life)
    assert at(life) == ("Baking", 1)


def test_a_gateway_that_never_takes_the_weight_rolls_back_where_that_is_asked_for() -> None:
    life = tried(onInconclusive="Rollback")
    after(life, STALL_S)
    assert at(life) == ("RolledBack", 1)
    assert life.status.canary is not None
    assert "has not taken the route" in life.status.canary.message


def test_a_held_run_is_promoted_by_a_person_without_the_gateway() -> None:
    life = tried()
    after(life, STALL_S)
    assert life.status.canary is not None
    wish = {PROMOTE: f"{life.status.canary.target}/1"}
    life.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live["metadata"].update(annotations=wish))
    life.operator.settle()
    assert at(life) == ("Preparing", 2)


def test_routes_that_are_taken_away_hold_the_next_step_and_not_the_one_that_bakes() -> None:
    life = tried()
    takes(life)
    for resource in (HTTP_ROUTE, BACKEND_TRAFFIC_POLICY):
        life.operator.mirror.missing(resource, None, f"there is no {resource.kind} here. Install it.")
    life.operator.settle()
    assert at(life) == ("Baking", 1)
    after(life, BAKE_S)
    assert at(life) == ("Preparing", 2)
    after(life, STALL_S)
    assert at(life) == ("Held", 2)


def test_what_moves_while_a_step_bakes_does_not_make_it_begin_again() -> None:
    life = tried()
    takes(life)
    assert life.status.canary is not None
    entered = life.status.canary.entered_at
    after(life, BAKE_S / 2)
    life.edit(gateway={**PUBLIC, "hostnames": ["chat.example.com"]})
    life.run()
    assert at(life) == ("Baking", 1)
    assert life.status.canary is not None
    assert life.status.canary.entered_at == entered
