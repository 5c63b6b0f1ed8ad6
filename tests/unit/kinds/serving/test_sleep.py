"""A serving with minReplicas: 0 through its nights: what it takes to fall asleep, what wakes it, and what is told of both."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf, nan
from typing import Any

import pytest

from deepseek_gate.knowledge import known
from deepseek_gate.telling import WAITING as GATES_WORD
from deepseek_operator.adapters.memory import Fault
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.conditions import find
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BACKEND_TRAFFIC_POLICY,
    BUDGET,
    CONFIG_MAP,
    DEPLOYMENT,
    LEASE,
    SECURITY_POLICY,
    Ref,
    ref_of,
)
from deepseek_operator.core.seen import Answer, Seen, Unavailable
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.domain.policy.zero import PATIENCE, SETTLE, Phase, State
from deepseek_operator.kinds.serving.idleness import asked, reading
from deepseek_operator.kinds.serving.sleep import WAITING, slept
from deepseek_operator.ports.cluster import Forbidden, Unreachable
from tests.support.gateways import GATE, PUBLIC, takes
from tests.support.serving_life import NAME, SERVICE
from tests.support.servings import NAMESPACE
from tests.support.sleep_life import HOLD_S, IDLE_S, KEYS, SLEEPS, STEP_S, SleepLife

NEXT = {"maxConcurrency": 8}


# --- falling asleep ----------------------------------------------------------------------------------------------


def test_without_requests_for_long_enough_no_replica_runs_and_that_is_well() -> None:
    life = SleepLife()
    assert (life.status.phase, life.at, life.gates) == ("Available", "Awake", (1, HOLD_S))
    life.falls_asleep()
    status = life.status
    assert list(life.specified.values()) == [0]
    assert life.pods() == []
    assert (status.phase, status.replicas, status.ready_replicas, status.summary.replicas) == ("Asleep", 0, 0, "0/0")
    ready = find(status.conditions, "Ready")
    assert ready is not None
    assert status.sleep is not None
    assert (ready.status, ready.reason) == ("True", "Asleep")
    assert f"nobody has asked since {status.sleep.idle_since}" in ready.message
    assert [find(status.conditions, type_).status for type_ in ("Reconciling", "Stalled")] == ["False", "False"]  # type: ignore[union-attr]
    assert life.gates == (0, HOLD_S)
    assert life.cluster.all(AUTOSCALER) == [], "nothing else decides meanwhile, and nothing complains"
    assert life.stored(BUDGET, SERVICE)["spec"]["minAvailable"] == 0
    assert life.stored(LEASE, SERVICE)
    assert len(life.told("Asleep")) == 1


def test_it_sleeps_only_once_it_was_idle_for_so_long_and_the_gate_kept_requests_meanwhile() -> None:
    life, seen = SleepLife(), list[str]()
    life.numbers["in_flight"] = 0.0
    begun = life.clock.now()
    while not seen or seen[-1] != "Asleep":
        life.after(5)
        if not seen or seen[-1] != life.at:
            seen.append(life.at)
            if life.at in ("Closing", "Closed"):
                assert list(life.specified.values()) == [1]
                assert life.gates == (0, HOLD_S)
    assert [phase for phase in seen if phase != "Closing"] == ["Awake", "Idle", "Closed", "Asleep"]
    assert (life.clock.now() - begun).total_seconds() >= IDLE_S + SETTLE.total_seconds()


def test_at_rest_a_sleeper_asks_nothing_and_writes_nothing() -> None:
    life = SleepLife()
    life.falls_asleep()
    life.after(60)
    asked, version = len(life.operator.store.asked), life.cluster.version
    life.after(86400)
    assert (len(life.operator.store.asked), life.cluster.version) == (asked, version)


NO_DATA: dict[str, Callable[[str, datetime], Answer]] = {
    "NaN": lambda query, at: Reading((nan,), at),
    "infinite": lambda query, at: Reading((inf,), at),
    "absent": lambda query, at: Reading((), at),
    "two": lambda query, at: Reading((0.0, 0.0), at),
    "down": lambda query, at: Unavailable("connection refused"),
}


@pytest.mark.deep
@pytest.mark.parametrize("kind", NO_DATA)
@pytest.mark.parametrize("which", ["max_over_time", "offset", "count(", "timestamp"])
def test_without_each_number_it_stays_awake(kind: str, which: str) -> None:
    life = SleepLife()
    life.numbers["in_flight"] = 0.0
    life.operator.store.answer = lambda q, at: NO_DATA[kind](q, at) if which in q else SleepLife.says(life, q, at)
    for _ in range(20):
        life.after()
    assert life.at == "Awake"
    assert list(life.specified.values()) == [1]


def test_answers_that_come_one_after_the_other_are_one_reading() -> None:
    life, window = SleepLife(), timedelta(seconds=IDLE_S)
    life.numbers |= {"in_flight": 0.0, "age": 0.0}
    now, owner = life.clock.now(), life.look().owner
    for order in (1, -1):
        queries = list(asked(owner, window).values())[::order]
        answers = {query: life.says(query, now + timedelta(milliseconds=n)) for n, query in enumerate(queries)}
        found = reading(owner, window, answers)
        assert found is not None
        assert found.is_quiet(1)
        assert found.oldest <= found.at == now


@pytest.mark.parametrize(
    "numbers",
    [{"in_flight": 1.0}, {"ended": 1.0}, {"ended": -3.0}, {"reporting": 0.0}, {"age": 121.0}, {"age": -1.0}],
    ids=str,
)
def test_numbers_that_speak_against_it_keep_it_awake(numbers: dict[str, float]) -> None:
    life = SleepLife()
    life.numbers |= {"in_flight": 0.0, **numbers}
    for _ in range(20):
        life.after()
    assert life.at == "Awake"


@pytest.mark.parametrize("phase", ["Idle", "Closed"])
def test_a_request_that_runs_makes_it_awake_again(phase: str) -> None:
    life = SleepLife()
    life.until(phase)
    life.numbers["ended"] = 1.0
    life.after()
    assert (life.at, life.gates) == ("Awake", (1, HOLD_S))
    assert list(life.specified.values()) == [1]


def test_who_waits_before_the_last_replica_goes_is_let_through_to_it() -> None:
    life = SleepLife()
    life.until("Closed")
    life.somebody_waits()
    assert (life.at, life.gates) == ("Awake", (1, HOLD_S))
    assert list(life.specified.values()) == [1]
    assert life.told("Waking") == []


def test_readings_that_stay_away_let_the_gate_open_again() -> None:
    life = SleepLife()
    life.until("Closed")
    life.operator.store.answer = NO_DATA["down"]
    life.after(PATIENCE.total_seconds() + STEP_S)
    assert (life.at, life.gates[0]) == ("Awake", 1)


def test_a_gate_that_somebody_told_otherwise_must_keep_requests_for_as_long_again() -> None:
    life = SleepLife()
    life.until("Closed")
    assert life.status.sleep is not None
    before = life.status.sleep.since
    life.clock.advance(5)

    def let_through(live: dict[str, Any]) -> None:
        live["data"] = {key: text.replace('"ready": 0', '"ready": 1') for key, text in live["data"].items()}

    life.cluster.edit(CONFIG_MAP, NAMESPACE, SERVICE, let_through)
    assert life.gates == (1, HOLD_S)
    life.operator.settle()
    assert (life.at, life.gates) == ("Closed", (0, HOLD_S))
    assert life.status.sleep is not None
    assert life.status.sleep.since > before, (
        "what was let through meanwhile may run for longer than the last reading saw"
    )


def test_no_replica_goes_while_the_gate_was_not_told() -> None:
    life = SleepLife()
    life.until("Closed")
    now = life.clock.now() + 2 * SETTLE
    window = timedelta(seconds=IDLE_S)
    readings = {query: life.says(query, now) for query in asked(life.look().owner, window).values()}
    seen = replace(life.look(), now=now, readings=readings)
    assert advanced(seen).phase is Phase.ASLEEP
    for data in (
        {},
        {"models.json": "{"},
        {"models.json": "[]"},
        {"models.json": '{"models": {"chat": {"ready": 1}}}'},
    ):
        other = {**seen.children[Ref(CONFIG_MAP, SERVICE)], "data": data}
        blind = replace(seen, children={**seen.children, Ref(CONFIG_MAP, SERVICE): other})
        assert advanced(blind).phase is Phase.CLOSING, data


def advanced(seen: Seen[DeepSeekServing]) -> State:
    state = slept(seen, is_settled=True, serving=1, another=False, is_scheduled=False)
    assert state is not None
    return state


@pytest.mark.parametrize(
    "spec",
    [
        {"suspend": True},
        {"autoscaling": {**SLEEPS, "minReplicas": 1, "wake": None}},
        {"gateway": PUBLIC, "autoscaling": {**SLEEPS, "minReplicas": 1, "wake": None}},
    ],
    ids=["suspended", "one at least", "nobody is judged"],
)
def test_what_never_sleeps_has_no_lease_and_asks_nothing(spec: dict[str, Any]) -> None:
    life = SleepLife(**spec)
    for _ in range(12):
        life.after()
    assert life.status.sleep is None
    assert life.cluster.all(LEASE) == []
    assert life.operator.store.asked == []


def test_it_never_sleeps_while_more_than_one_replica_is_wanted() -> None:
    life = SleepLife(replicas=2)
    life.numbers |= {"in_flight": 0.0, "reporting": 2.0}
    for _ in range(12):
        life.after()
    assert life.at == "Awake"
    assert list(life.specified.values()) == [2]


def test_it_never_sleeps_while_it_loads() -> None:
    life = SleepLife()
    life.numbers["in_flight"] = 0.0
    life.edit(engine=NEXT)
    for _ in range(20):
        life.clock.advance(STEP_S)
        life.operator.settle()
    assert life.at == "Awake"


def test_it_never_sleeps_during_a_canary_run() -> None:
    steps = [{"weight": 50, "bakeSeconds": 0, "pause": True}]
    life = SleepLife(rollout={"canary": {"steps": steps}})
    life.edit(engine=NEXT)
    life.numbers |= {"in_flight": 0.0, "reporting": 2.0}
    for _ in range(20):
        life.after()
    assert (life.status.phase, life.at) == ("Canary", "Awake")


def test_it_never_sleeps_during_a_canary_run_whose_target_is_alone() -> None:
    """Somebody took what served before, and a quota lets it not come back."""
    life = SleepLife(rollout={"canary": {"steps": [{"weight": 50, "pause": True}]}})
    first = life.status.stable
    life.edit(engine=NEXT)
    life.numbers["in_flight"] = 0.0
    life.after()
    (stable,) = [d for d in life.cluster.all(DEPLOYMENT) if d["metadata"]["name"].endswith(str(first))]
    life.cluster.refuse = lambda verb, namespace, ref: (
        Forbidden("exceeded quota") if ref == ref_of(stable) and verb in ("create", "apply") else None
    )
    life.cluster.remove(DEPLOYMENT, NAMESPACE, stable["metadata"]["name"], "Background")
    for _ in range(20):
        life.after()
        assert first not in life.specified
        assert life.at == "Awake"
    assert list(life.specified.values()) == [1]


# --- what requests that wait are led to --------------------------------------------------------------------------


def test_requests_that_wait_find_a_way_that_has_endpoints_and_that_a_replica_takes_over() -> None:
    """Envoy leads a request by the routes that it had when it came, and Envoy Gateway makes an answer of 503 of a rule
    without endpoints: all that had waited were answered so."""
    life = SleepLife()
    own = f"{SERVICE}-{life.status.stable}"
    assert life.led_to == [[own], [own]], "by the serving's name, and by that of the revision"
    life.falls_asleep()
    assert life.led_to == [[GATE.name], [GATE.name]]
    assert life.status.gateway is not None
    assert life.status.gateway.weights == []
    life.somebody_waits()
    assert life.led_to == [[GATE.name], [GATE.name]], "until it serves"
    life.run()
    assert life.led_to == [[own], [own]]


def test_the_last_replica_goes_once_the_gateway_leads_nobody_to_it() -> None:
    life = SleepLife()
    life.until("Closed")
    life.controller_is_away = True
    life.falls_asleep()
    life.after(600)
    assert (life.at, list(life.specified.values())) == ("Asleep", [1])
    assert life.led_to == [[GATE.name], [GATE.name]]
    takes(life)
    assert list(life.specified.values()) == [0]


def test_requests_go_on_once_the_gateway_leads_them_to_the_replica_that_serves() -> None:
    life = SleepLife()
    life.falls_asleep()
    life.controller_is_away = True
    life.somebody_waits()
    life.run()
    assert (life.at, life.gates) == ("Awake", (0, HOLD_S)), "it has not taken the route to the replica"
    takes(life)
    assert life.gates == (1, HOLD_S)
    life.edit(gateway={**KEYS, "hostnames": ["other.example.com"]})
    assert life.gates == (1, HOLD_S), "any other change of the route keeps nobody"


# --- waking ------------------------------------------------------------------------------------------------------


def test_a_mark_wakes_it_and_requests_go_on_once_a_replica_serves() -> None:
    life = SleepLife()
    life.falls_asleep()
    life.somebody_waits(200)
    assert (life.at, life.status.phase) == ("Waking", "Waking")
    assert list(life.specified.values()) == [1]
    assert life.gates == (0, HOLD_S)
    assert life.stored(AUTOSCALER, SERVICE)["spec"]["minReplicas"] == 1
    ready = find(life.status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "Waking")
    assert life.told("Waking") == ["200 requests wait: 0 of 1 replicas serve"]
    life.run()
    assert (life.at, life.status.phase, life.gates) == ("Awake", "Available", (1, HOLD_S))


def test_an_old_mark_wakes_nobody() -> None:
    life = SleepLife()
    life.somebody_waits()
    life.falls_asleep()
    life.after(3600)
    assert life.at == "Asleep"
    life.somebody_waits()
    assert life.at == "Waking"


def test_a_lease_that_is_lost_is_made_again_and_wakes_nobody() -> None:
    life = SleepLife()
    life.somebody_waits()
    life.falls_asleep()
    life.cluster.remove(LEASE, NAMESPACE, SERVICE, "Background")
    life.after()
    assert (life.at, len(life.cluster.all(LEASE))) == ("Asleep", 1)
    life.somebody_waits()
    assert life.at == "Waking"


@pytest.mark.parametrize("words", ["", "many", "-1", "9" * 100, "١"])
def test_whatever_stands_in_the_lease_wakes_and_breaks_nothing(words: str) -> None:
    life = SleepLife()
    life.falls_asleep()
    life.cluster.edit(
        LEASE, NAMESPACE, SERVICE,
        lambda live: live.update(spec={"renewTime": "x" * 500}, metadata={**live["metadata"], "annotations": {WAITING: words}}),
    )  # fmt: skip
    life.operator.settle()
    assert life.at == "Waking"
    assert life.status.sleep is not None
    assert len(life.status.sleep.heard) <= 64


def test_a_new_version_is_tried_at_once_and_sleeps_again() -> None:
    life = SleepLife()
    life.falls_asleep()
    first = life.status.stable
    life.numbers["in_flight"] = 1.0
    life.edit(engine=NEXT)
    assert life.at == "Waking"
    assert life.told("Waking")[0].startswith("another version is asked for, and is tried")
    life.run()
    assert (life.status.phase, life.at) == ("Available", "Awake")
    assert life.status.stable != first
    life.falls_asleep()


def test_a_sleeper_that_may_not_sleep_any_more_runs() -> None:
    life = SleepLife()
    life.falls_asleep()
    life.edit(autoscaling={**SLEEPS, "minReplicas": 1, "wake": None})
    life.run()
    assert (life.status.phase, life.status.sleep) == ("Available", None)
    assert list(life.specified.values()) == [1]
    assert life.cluster.all(LEASE) == []
    assert life.gates == (None, 0)


def test_a_sleeper_that_is_suspended_keeps_nobody_and_comes_back_awake() -> None:
    life = SleepLife()
    life.falls_asleep()
    life.edit(suspend=True)
    life.run()
    assert (life.status.phase, life.status.sleep) == ("Suspended", None)
    life.numbers["in_flight"] = 1.0
    life.edit(suspend=False)
    life.run()
    assert (life.status.phase, life.at) == ("Available", "Awake")


def test_a_key_that_is_pinned_is_known_while_it_sleeps() -> None:
    life = SleepLife()
    life.falls_asleep()
    (model,) = known([life.stored(CONFIG_MAP, SERVICE)]).models.values()
    assert model.revisions == {life.status.stable}


def test_a_status_that_is_wiped_wakes_it() -> None:
    life = SleepLife()
    life.falls_asleep()
    life.numbers["in_flight"] = 1.0
    life.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live.update(status={"observedGeneration": -1}))
    life.operator.settle()
    life.run()
    assert (life.status.phase, life.at) == ("Available", "Awake")


@pytest.mark.parametrize(
    "forged",
    [
        {"phase": "Dead"},
        {"phase": "Asleep"},
        {"phase": "Asleep", "since": "never"},
        {"phase": "Asleep", "since": "2026-01-01T00:00:00Z"},
        {"phase": "Idle", "since": "2026-01-01T00:00:00Z", "idleSince": "x"},
    ],
)
def test_what_no_release_can_have_written_counts_as_awake(forged: dict[str, str]) -> None:
    life = SleepLife()
    life.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live["status"].update(sleep=forged))
    life.operator.settle()
    assert life.at == "Awake"
    assert list(life.specified.values()) == [1]


@pytest.mark.deep
@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("nth", range(1, 6))
def test_writes_that_fail_on_the_way_down_and_up_change_nothing_in_the_end(nth: int, committed: bool) -> None:
    life = SleepLife()
    life.until("Idle")
    life.cluster.faults[life.cluster.attempts + nth] = Fault(Unreachable("internal error"), committed)
    life.falls_asleep()
    life.cluster.faults[life.cluster.attempts + 1 + nth] = Fault(Unreachable("internal error"), committed)
    life.somebody_waits()
    life.operator.restart()
    for _ in range(4):
        life.after()
    assert (life.status.phase, life.at, life.gates[0]) == ("Available", "Awake", 1)


def test_envoy_waits_for_the_gate_as_long_as_requests_are_kept() -> None:
    life = SleepLife(autoscaling={**SLEEPS, "wake": {"holdSeconds": 1000}})
    assert life.stored(SECURITY_POLICY, SERVICE)["spec"]["extAuth"]["timeout"] == "1015s"
    idle = life.stored(BACKEND_TRAFFIC_POLICY, SERVICE)["spec"]["timeout"]["http"]["streamIdleTimeout"]
    assert idle == "1015s"


def test_both_ends_count_who_waits_in_the_same_annotation() -> None:
    assert WAITING == GATES_WORD


def test_the_models_say_it_of_every_name() -> None:
    life = SleepLife()
    entries = json.loads(life.stored(CONFIG_MAP, SERVICE)["data"]["models.json"])["models"]
    assert {(entry["ready"], entry["holdSeconds"]) for entry in entries.values()} == {(1, HOLD_S)}
