"""Parts of requests and places of revisions: none for what does not serve, none moved, and nothing held for nothing."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.domain.policy.canary import Phase, Run, Step, Steps
from deepseek_operator.domain.policy.rollout import Replicas
from deepseek_operator.kinds.serving.traffic import canary_shares, held, shares, slots
from tests.support.moments import START

NAMES = ("a", "b", "c", "d")
STEP = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 6))


@st.composite
def replicas(draw: st.DrawFn) -> Replicas:
    specified, ready = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    return Replicas(specified, max(ready, draw(st.integers(0, 6))), ready)


RUNNING = st.dictionaries(st.sampled_from(NAMES), replicas())


def serving(count: int) -> Replicas:
    return Replicas(count, count, count)


def test_parts_are_as_the_replicas_that_serve_and_stay() -> None:
    assert shares({"old": 2, "new": 2}, {"old": serving(4), "new": Replicas(2, 2, 1)}, "new") == {"old": 2, "new": 1}


def test_one_revision_has_it_all_however_many_replicas_it_has() -> None:
    assert shares({"a": 7}, {"a": serving(7)}, "a") == shares({"a": 2}, {"a": serving(2)}, "a") == {"a": 1}


def test_a_revision_that_shall_end_has_no_part_once_another_serves() -> None:
    assert shares({"old": 0, "new": 1}, {"old": serving(1), "new": serving(1)}, "new") == {"new": 1}


def test_what_serves_to_its_end_keeps_its_part_where_nothing_else_serves() -> None:
    assert shares({"old": 0, "new": 1}, {"old": serving(2), "new": Replicas(1, 1, 0)}, "new") == {"old": 1}


def test_what_ends_and_still_answers_keeps_its_part_too() -> None:
    assert shares({"old": 0, "new": 0}, {"old": Replicas(0, 2, 2), "new": Replicas(0, 0, 0)}, "new") == {"old": 1}


def test_the_target_has_it_all_where_nothing_serves() -> None:
    assert shares({"new": 0}, {"new": Replicas(0, 1, 0)}, "new") == {"new": 1}


@given(step=STEP, running=RUNNING)
def test_no_part_is_ever_zero_and_only_the_target_gets_one_without_a_replica_that_serves(
    step: dict[str, int], running: dict[str, Replicas]
) -> None:
    found = shares(step, running, "a")
    assert found
    assert min(found.values()) > 0
    without = {name for name in found if name not in running or running[name].ready == 0}
    assert not without or (found == {"a": 1} and not any(one.ready for one in running.values()))


def test_a_revision_that_is_still_sent_requests_keeps_its_replicas() -> None:
    step, running = {"old": 0, "new": 2}, {"old": serving(1), "new": serving(2)}
    assert held(step, running, {"new": 1}, ["old", "new"]) == {"old": 1, "new": 2}
    assert held(step, running, {"new": 1}, ["new"]) == step


def test_nothing_is_held_where_nothing_else_serves() -> None:
    step, running = {"old": 0, "new": 0}, {"old": serving(2)}
    assert held(step, running, {"old": 1}, ["old"]) == step


@given(step=STEP, running=RUNNING, reached=st.lists(st.sampled_from(NAMES)))
def test_holding_takes_away_nothing_and_adds_nothing_that_was_not_there(
    step: dict[str, int], running: dict[str, Replicas], reached: list[str]
) -> None:
    found = held(step, running, shares(step, running, "a"), reached)
    assert found.keys() == step.keys()
    assert all(
        found[name] in (count, running[name].specified if name in running else 0) for name, count in step.items()
    )
    assert all(found[name] >= count for name, count in step.items())


PLACES = st.lists(st.tuples(st.sampled_from((*NAMES, "stranger")), st.integers(0, 3)), max_size=6)
SHARES = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9), min_size=1)


def test_a_rollout_moves_no_revision_that_serves() -> None:
    told = slots([], {"a": 1}, ["a"])
    assert told == [("a", 1)]
    told = slots(told, {"a": 2, "b": 1}, ["a", "b"])
    assert told == [("a", 2), ("b", 1)]
    told = slots(told, {"b": 1}, ["a", "b"])
    assert told == [("a", 0), ("b", 1)]
    told = slots(told, {"b": 1}, ["b"])
    assert told == [("b", 0), ("b", 1)]
    assert slots(told, {"b": 1}, ["b"]) == told
    told = slots(told, {"b": 1, "c": 1}, ["b", "c"])
    assert told == [("c", 1), ("b", 1)]
    assert slots(told, {"c": 1}, ["c"]) == [("c", 1)]


@given(before=PLACES, wanted=SHARES, others=st.lists(st.sampled_from(NAMES)))
def test_parts_are_given_once_and_a_place_with_a_part_is_kept(
    before: list[tuple[str, int]], wanted: dict[str, int], others: list[str]
) -> None:
    found = slots(before, wanted, [*wanted, *others])
    given_out = [(name, part) for name, part in found if part > 0]
    assert dict(given_out) == wanted
    assert len(given_out) == len(wanted)
    assert {name for name, _ in found} <= {*wanted, *others}
    first = {name: number for number, (name, part) in reversed(list(enumerate(before))) if part > 0}
    for name, number in first.items():
        if name in wanted and before[number][1] == max(part for other, part in before if other == name):
            assert found[number][0] == name
    assert slots(found, wanted, [*wanted, *others]) == found


def at(index: int, *weights: int) -> Run:
    """A run at that step."""
    steps = tuple(Step(0, weight, timedelta(seconds=60), False) for weight in weights)
    return Run(1, "old", "new", Steps(steps, False, timedelta(seconds=600)), Phase.PREPARING, index, START)


@pytest.mark.parametrize(
    ("run", "replicas", "expected"),
    [
        pytest.param(at(0, 10, 50), 1, {"old": 9, "new": 1}, id="its weight, not its replicas'"),
        pytest.param(at(1, 10, 50), 1, {"old": 9, "new": 1}, id="the weight before until it has the replicas"),
        pytest.param(at(1, 10, 50), 2, {"old": 1, "new": 1}, id="then its own"),
        pytest.param(at(0, 50), 1, {"old": 3, "new": 1}, id="as the replicas until the first step has its own"),
        pytest.param(at(1, 10, 100), 4, {"new": 1}, id="all of it"),
        pytest.param(at(0, 0), 1, {"old": 3, "new": 1}, id="no weight"),
        pytest.param(at(0, 10), 0, {"old": 1}, id="none to what does not serve"),
    ],
)
def test_a_canary_has_its_step_s_weight(run: Run, replicas: int, expected: dict[str, int]) -> None:
    running = {"old": serving(4), "new": Replicas(replicas, 4, replicas)}
    parts = shares({"old": max(4 - replicas, 1), "new": replicas}, running, "new")
    assert canary_shares(parts, run, 4, running) == expected
