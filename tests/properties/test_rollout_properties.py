"""Laws of a rollout's steps, from any state that a cluster can be in."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.domain.policy.rollout import MAX_SURGE, Replicas, compute_all_steps, next_step, settled

REVISIONS = ("a", "b", "c")
TARGET = "c"


@st.composite
def replicas(draw: st.DrawFn) -> Replicas:
    specified = draw(st.integers(0, 7))
    total = draw(st.integers(0, 9))
    return Replicas(specified, total, draw(st.integers(0, total)))


States = st.fixed_dictionaries({}, optional={name: replicas() for name in REVISIONS})
Wanted = st.integers(0, 8)


def serving_after(step: Mapping[str, int], running: Mapping[str, Replicas]) -> int:
    """Ready replicas that certainly stay: a ReplicaSet that shrinks deletes its unready pods first."""
    return sum(min(replicas.serving, step.get(name, 0)) for name, replicas in running.items())


@given(States, Wanted)
def test_surge_never_takes_a_serving_replica_below_the_floor(running: dict[str, Replicas], wanted: int) -> None:
    step = next_step("RollingUpdate", wanted, TARGET, running)
    before = sum(old.serving for old in running.values())
    assert serving_after(step, running) >= min(wanted, before)


@given(States, Wanted)
def test_surge_adds_nothing_beyond_one_surplus_replica(running: dict[str, Replicas], wanted: int) -> None:
    step = next_step("RollingUpdate", wanted, TARGET, running)
    before = {name: old.specified for name, old in running.items()}
    added = {name: count - before.get(name, 0) for name, count in step.items() if count > before.get(name, 0)}
    assert not added or sum(before.values()) + sum(added.values()) <= wanted + MAX_SURGE


@given(States, Wanted)
def test_surge_adds_to_an_old_revision_only_where_it_serves_and_the_target_does_not(
    running: dict[str, Replicas], wanted: int
) -> None:
    step = next_step("RollingUpdate", wanted, TARGET, running)
    grown = [name for name, old in running.items() if step[name] > old.specified and name != TARGET]
    if grown:
        assert all(running[name].serving for name in grown)
        assert not running.get(TARGET, settled(0)).serving
        assert step[TARGET] <= max(running.get(TARGET, settled(0)).specified, MAX_SURGE)


@given(States, Wanted, st.sampled_from(["RollingUpdate", "Recreate"]))
def test_a_step_names_every_revision_and_no_negative_number(
    running: dict[str, Replicas], wanted: int, strategy: str
) -> None:
    step = next_step(strategy, wanted, TARGET, running)  # type: ignore[arg-type]
    assert set(step) == {*running, TARGET}
    assert all(count >= 0 for count in step.values())
    assert step[TARGET] <= wanted


@given(States, Wanted)
def test_replace_starts_nothing_while_an_old_pod_is_left(running: dict[str, Replicas], wanted: int) -> None:
    step = next_step("Recreate", wanted, TARGET, running)
    if any(old.specified or old.total for name, old in running.items() if name != TARGET):
        assert step[TARGET] <= running.get(TARGET, settled(0)).specified


@given(States, Wanted, st.sampled_from(["RollingUpdate", "Recreate"]))
def test_every_rollout_ends_with_the_target_alone(running: dict[str, Replicas], wanted: int, strategy: str) -> None:
    steps = compute_all_steps(strategy, wanted, TARGET, running, limit=4 * (wanted + 30))  # type: ignore[arg-type]
    last = steps[-1] if steps else {name: old.specified for name, old in running.items()}
    assert {name: count for name, count in last.items() if count} == ({TARGET: wanted} if wanted else {})


@given(st.lists(st.sampled_from(REVISIONS), min_size=1, max_size=6), st.integers(1, 6))
def test_targets_that_change_in_the_middle_never_break_the_bounds(targets: list[str], wanted: int) -> None:
    running: dict[str, Replicas] = {"a": settled(wanted)}
    for target in targets:
        for _ in range(2):
            step = next_step("RollingUpdate", wanted, target, running)
            assert serving_after(step, running) >= wanted
            assert sum(step.values()) <= wanted + MAX_SURGE
            running = {name: settled(count) for name, count in step.items()}
