"""Replicas that a load wants, and the downward gate."""

from math import inf, nan

import pytest

from deepseek_operator.domain.policy.scaling import Autoscaler, Load, gated, replicas_for


def wanted(in_flight: float, reporting: float, *, serving: int = 0, running: int = 0) -> int | None:
    return replicas_for(Load(in_flight, reporting), 4, 8, serving=serving, running=running)


@pytest.mark.parametrize(
    ("in_flight", "replicas"), [(0, 1), (1, 1), (4, 1), (4.5, 2), (8, 2), (9, 3), (32, 8), (33, 8), (1e9, 8)]
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
