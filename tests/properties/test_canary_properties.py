"""Replicas during a canary run, whatever runs: the stable revision is whole, and what serves is not taken away for a step."""

from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepseek_operator.domain.policy.canary import Phase, Run, Step, Steps, replicas_of, restored
from deepseek_operator.domain.policy.rollout import NONE, Replicas
from tests.support.moments import START
from tests.support.search import examples

OLDER, STABLE, TARGET = "older", "stable", "target"
replicas = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda n: Replicas(n[0], n[0], min(n)))
worlds = st.fixed_dictionaries({OLDER: replicas, STABLE: replicas, TARGET: replicas})
steps = st.builds(Step, st.integers(0, 6), st.integers(1, 100), st.just(timedelta(0)), st.just(False))


def run_of(step: Step) -> Run:
    return Run(1, STABLE, TARGET, Steps((step,), False, timedelta(hours=1)), Phase.BAKING, 0, START)


@example(
    Step(0, 25, timedelta(0), pause=False),
    4,
    {OLDER: NONE, STABLE: Replicas(4, 4, 0), TARGET: Replicas(4, 4, 4)},
)
@settings(max_examples=examples(300))
@given(steps, st.integers(0, 6), worlds)
def test_a_step_takes_nothing_that_is_needed_and_gives_nothing_that_is_not_asked_for(
    step: Step, wanted: int, running: dict[str, Replicas]
) -> None:
    after = replicas_of(run_of(step), wanted, running)
    serving = sum(replicas.serving for replicas in running.values())
    left = sum(min(running[name].serving, count) for name, count in after.items())
    assert left >= min(wanted, serving)
    assert after[STABLE] == wanted
    assert step.capacity(wanted) <= after[TARGET] <= max(step.capacity(wanted), running[TARGET].specified)
    assert after[OLDER] <= running[OLDER].specified


@given(st.integers(0, 6), worlds)
def test_on_the_way_back_the_others_go_as_the_stable_replicas_serve(wanted: int, running: dict[str, Replicas]) -> None:
    after = restored(wanted, STABLE, running)
    serving = sum(replicas.serving for replicas in running.values())
    assert sum(min(running[name].serving, count) for name, count in after.items()) >= min(wanted, serving)
    assert after[STABLE] == wanted
    assert all(after[name] <= running[name].specified for name in (OLDER, TARGET))


@given(steps, st.integers(0, 1000))
def test_a_step_has_its_share_and_never_more_than_all(step: Step, wanted: int) -> None:
    capacity = step.capacity(wanted)
    assert min(wanted, 1) <= capacity <= wanted
    assert capacity * 100 >= wanted * step.weight
    assert step.capacity(0) == 0
    assert replicas_of(run_of(step), wanted, {TARGET: NONE})[TARGET] == capacity
