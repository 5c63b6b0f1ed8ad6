"""Exact step sequences of the two rollout strategies."""

import pytest

from deepseek_operator.domain.policy.rollout import Replicas, compute_all_steps, next_step, settled


def test_surge_replaces_three_replicas_one_by_one() -> None:
    assert compute_all_steps("RollingUpdate", 3, "b", {"a": settled(3)}) == [
        {"a": 3, "b": 1},
        {"a": 2, "b": 1},
        {"a": 2, "b": 2},
        {"a": 1, "b": 2},
        {"a": 1, "b": 3},
        {"a": 0, "b": 3},
    ]


def test_replace_starts_the_new_replicas_only_when_no_old_one_is_left() -> None:
    assert compute_all_steps("Recreate", 3, "b", {"a": settled(3)}) == [{"a": 0, "b": 0}, {"a": 0, "b": 3}]


def test_a_first_revision_starts_with_all_its_replicas_at_once() -> None:
    assert compute_all_steps("RollingUpdate", 4, "a", {}) == [{"a": 4}]


def test_a_finished_rollout_has_no_steps() -> None:
    assert compute_all_steps("RollingUpdate", 2, "b", {"a": settled(0), "b": settled(2)}) == []


def test_a_rollback_in_the_middle_goes_back_one_by_one() -> None:
    assert compute_all_steps("RollingUpdate", 3, "a", {"a": settled(1), "b": settled(2)}) == [
        {"a": 2, "b": 2},
        {"a": 2, "b": 1},
        {"a": 3, "b": 1},
        {"a": 3, "b": 0},
    ]


def test_a_third_revision_takes_over_and_the_oldest_gives_way_first() -> None:
    steps = compute_all_steps("RollingUpdate", 3, "c", {"a": settled(2), "b": settled(2)})
    assert steps[:3] == [{"a": 1, "b": 2, "c": 0}, {"a": 1, "b": 2, "c": 1}, {"a": 0, "b": 2, "c": 1}]
    assert steps[-1] == {"a": 0, "b": 0, "c": 3}


def test_no_old_replica_goes_while_the_new_one_does_not_serve() -> None:
    running = {"a": settled(3), "b": Replicas(specified=1, total=1, ready=0)}
    assert next_step("RollingUpdate", 3, "b", running) == {"a": 3, "b": 1}


def test_old_replicas_that_may_recover_stay_until_a_new_one_serves() -> None:
    running = {"a": Replicas(specified=3, total=3, ready=1), "b": Replicas(specified=1, total=1, ready=0)}
    assert next_step("RollingUpdate", 3, "b", running) == {"a": 3, "b": 1}


def test_a_broken_new_revision_gives_way_to_the_next_one_at_once() -> None:
    running = {"a": settled(3), "b": Replicas(specified=1, total=1, ready=0)}
    assert next_step("RollingUpdate", 3, "c", running) == {"a": 3, "b": 0, "c": 0}


def test_replicas_that_do_not_serve_go_before_those_that_do() -> None:
    running = {"a": Replicas(specified=3, total=3, ready=2), "b": settled(2)}
    assert next_step("RollingUpdate", 3, "b", running) == {"a": 1, "b": 2}


def test_fewer_replicas_in_the_middle_of_a_rollout_are_taken_from_the_old_revision() -> None:
    running = {"a": settled(5), "b": settled(1)}
    assert next_step("RollingUpdate", 2, "b", running) == {"a": 1, "b": 1}


def test_more_replicas_in_the_middle_of_a_rollout_are_made_of_the_new_revision_once_it_serves() -> None:
    running = {"a": settled(2), "b": settled(1)}
    assert next_step("RollingUpdate", 5, "b", running) == {"a": 2, "b": 4}


def test_more_load_is_met_by_the_old_revision_while_the_new_one_has_not_served() -> None:
    """A broken new version must not be what a growing load waits for."""
    running = {"z": Replicas(specified=1, total=1, ready=0), "a": settled(2), "b": Replicas(1, 1, 0)}
    assert next_step("RollingUpdate", 9, "b", running) == {"z": 1, "a": 8, "b": 1}
    assert next_step("RollingUpdate", 9, "b", {"a": settled(2)}) == {"a": 9, "b": 1}


def test_a_new_revision_starts_whole_where_nothing_serves() -> None:
    running = {"a": Replicas(specified=1, total=1, ready=0), "b": Replicas(specified=1, total=1, ready=0)}
    assert next_step("RollingUpdate", 4, "b", running) == {"a": 1, "b": 4}


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate"])
def test_no_replicas_wanted_ends_every_revision(strategy: str) -> None:
    running = {"a": settled(2), "b": Replicas(specified=1, total=1, ready=0)}
    assert next_step(strategy, 0, "b", running) == {"a": 0, "b": 0}  # type: ignore[arg-type]


def test_replace_waits_for_pods_that_are_still_ending() -> None:
    running = {"a": Replicas(specified=0, total=2, ready=0)}
    assert next_step("Recreate", 3, "b", running) == {"a": 0, "b": 0}


def test_a_switch_to_replace_in_a_stuck_surge_keeps_the_new_replica_and_ends_the_old_ones() -> None:
    running = {"a": settled(3), "b": Replicas(specified=1, total=1, ready=0)}
    assert next_step("Recreate", 3, "b", running) == {"a": 0, "b": 1}


def test_readiness_of_replicas_that_are_about_to_end_is_not_counted() -> None:
    running = {"a": Replicas(specified=1, total=3, ready=3), "b": settled(2)}
    assert next_step("RollingUpdate", 3, "b", running) == {"a": 1, "b": 3}
