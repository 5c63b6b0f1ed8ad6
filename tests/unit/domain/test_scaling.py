"""Replicas that a load wants, and the downward gate."""

from math import inf, nan

import pytest

from deepseek_operator.domain.policy.scaling import (
    MINIMUM_SAMPLES,
    Autoscaler,
    Fleet,
    Wish,
    by_demand,
    by_latency,
    by_saturation,
    decided,
    gated,
)


def wanted(in_flight: float, reporting: float, *, serving: int = 0, running: int = 0) -> int | None:
    return by_demand(in_flight, 4, 8, Fleet(serving, running, reporting)).replicas


@pytest.mark.parametrize(
    ("in_flight", "replicas"),
    [(0, 1), (1, 1), (4, 1), (4.5, 2), (8, 2), (9, 3), (32, 8), (33, 8), (1e9, 8), (1e308, 8)],
)
def test_each_replica_takes_the_target_and_a_remainder_takes_one_more(in_flight: float, replicas: int) -> None:
    assert wanted(in_flight, 2) == replicas


@pytest.mark.parametrize("number", [nan, inf, -inf, -1])
def test_a_number_that_is_no_count_is_no_data(number: float) -> None:
    assert wanted(number, 2) is None
    assert wanted(5, number) is None


def test_a_load_that_no_replica_reports_is_no_data() -> None:
    assert wanted(0, 0) is None


def test_fewer_reporting_than_serving_replicas_never_ask_for_fewer_than_run() -> None:
    assert wanted(1, 2, serving=3, running=5) == 5


def test_fewer_reporting_than_serving_replicas_may_ask_for_more() -> None:
    assert wanted(24, 2, serving=3, running=5) == 6


def test_replicas_that_still_load_are_not_waited_for() -> None:
    assert wanted(1, 2, serving=2, running=5) == 1


def settled(running: int) -> Fleet:
    return Fleet(running, running, running, is_settled=True)


def unsettled(running: int) -> Fleet:
    return Fleet(running - 1, running, running - 1)


def latency(
    milliseconds: float, fleet: Fleet, samples: float = 1000, maximum: int = 40, lasting: float | None = None
) -> int | None:
    long = milliseconds if lasting is None else lasting
    return by_latency(milliseconds, long, samples, 500, maximum, fleet).replicas


def saturation(percent: float, fleet: Fleet, maximum: int = 40) -> int | None:
    return by_saturation(percent, 70, maximum, fleet).replicas


@pytest.mark.parametrize(("running", "more"), [(1, 2), (2, 3), (4, 5), (5, 7), (8, 10), (20, 25)])
def test_a_breach_asks_for_a_quarter_more_however_far_it_is_beyond(running: int, more: int) -> None:
    assert latency(501, settled(running)) == latency(1e9, settled(running)) == more
    assert saturation(71, settled(running)) == saturation(100, settled(running)) == more


def test_a_breach_asks_for_nothing_while_what_runs_has_not_settled() -> None:
    for wish in (by_latency(9000, 9000, 1000, 500, 40, unsettled(4)), by_saturation(99, 70, 40, unsettled(4))):
        assert wish == Wish(4, "above its target; waits until what runs has settled")


def test_a_breach_never_asks_for_more_than_the_maximum() -> None:
    assert latency(9000, settled(4), maximum=4) == 4
    assert saturation(99, settled(4), maximum=4) == 4


def test_near_its_target_what_runs_is_kept() -> None:
    assert latency(500, settled(4)) == latency(251, settled(4)) == 4
    assert saturation(70, settled(4)) == saturation(53, settled(4)) == 4


def test_one_replica_may_go_where_the_others_can_take_its_part() -> None:
    assert latency(250, settled(4)) == 3
    assert saturation(52.5, settled(4)) == 3


def test_none_may_go_by_a_latency_that_was_higher_within_the_half_hour() -> None:
    assert latency(100, settled(4), lasting=251) == 4
    assert latency(100, settled(4), lasting=250) == 3
    assert latency(501, settled(4), lasting=1) == 5


def test_none_may_go_while_what_runs_has_not_settled() -> None:
    assert latency(1, unsettled(4)) == 4
    assert saturation(1, unsettled(4)) == 4


def test_the_last_replica_stays() -> None:
    assert latency(1, settled(1)) == 1
    assert saturation(0, settled(1)) == 1


@pytest.mark.parametrize("value", [nan, inf, 1e12])
def test_a_quantile_of_a_few_requests_has_no_say_whatever_it_is(value: float) -> None:
    assert latency(value, settled(4), samples=MINIMUM_SAMPLES - 0.5) == 1


@pytest.mark.parametrize("value", [nan, inf, -inf, -1])
def test_a_value_that_can_not_be_is_no_data(value: float) -> None:
    assert latency(value, settled(4)) is None
    assert latency(100, settled(4), samples=value) is None
    assert latency(100, settled(4), lasting=value) is None
    assert saturation(value, settled(4)) is None


def test_more_than_all_of_it_is_no_share() -> None:
    assert saturation(100.5, settled(4)) is None


def test_the_largest_wish_wins() -> None:
    assert decided([Wish(2), Wish(5), Wish(3)], running=4) == 5
    assert decided([Wish(2), Wish(3)], running=4) == 3


def test_what_is_not_known_holds_what_runs_and_keeps_nobody_from_more() -> None:
    assert decided([Wish(2), Wish(None)], running=4) is None
    assert decided([Wish(4), Wish(None)], running=4) is None
    assert decided([Wish(5), Wish(None)], running=4) == 5
    assert decided([Wish(None)], running=4) is None
    assert decided([], running=4) is None


VALID = Autoscaler(active=True, limited=False, desired=2)


def gate(register: int, running: int, autoscaler: Autoscaler | None) -> int:
    return gated(register, running, 1, 8, autoscaler)


def test_the_register_is_followed_up_whatever_the_autoscaler_says() -> None:
    assert gate(5, 3, None) == 5
    assert gate(5, 3, Autoscaler(active=False, limited=False, desired=None)) == 5


def test_the_register_is_followed_down_when_the_autoscaler_wants_that_number() -> None:
    assert gate(2, 6, VALID) == 2


@pytest.mark.parametrize(
    "autoscaler",
    [
        pytest.param(None, id="there is none yet"),
        pytest.param(Autoscaler(active=False, limited=False, desired=2), id="it has no metrics"),
        pytest.param(Autoscaler(active=True, limited=False, desired=6), id="it wants another number"),
        pytest.param(Autoscaler(active=True, limited=False, desired=None), id="it has not looked yet"),
        pytest.param(Autoscaler(active=True, limited=True, desired=2), id="it says less than the load does"),
    ],
)
def test_replicas_are_held_unless_the_autoscaler_wants_fewer_from_valid_metrics(autoscaler: Autoscaler | None) -> None:
    assert gate(2, 6, autoscaler) == 6


def test_the_maximum_holds_whatever_is_known() -> None:
    assert gated(9, 6, 1, 4, None) == 4


def test_the_minimum_holds_whatever_the_register_says() -> None:
    assert gated(0, 0, 2, 4, VALID) == 2
