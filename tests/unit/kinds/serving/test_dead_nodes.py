"""A pod that never ends, because its node is dead, holds back no version and no count for ever."""

from datetime import timedelta

from deepseek_operator.core.resources import DEPLOYMENT
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE

GRACE_S, MARGIN_S = 60, 120


def on_a_dead_node(strategy: str = "Recreate") -> ServingLife:
    """A new version is wanted; the old one's pod was told to end and never does."""
    life = ServingLife(rollout={"strategy": strategy})
    life.run()
    life.edit(engine={"maxConcurrency": 8})
    for _ in range(3):
        life.world.run_deployment_controller()
        life.operator.settle()
        for pod in life.pods():
            life.world.run(pod)
    life.world.run_deployment_controller()
    life.operator.settle()
    return life


def specified(life: ServingLife) -> list[int]:
    return sorted(deployment["spec"]["replicas"] for deployment in life.cluster.all(DEPLOYMENT, NAMESPACE))


def passes(life: ServingLife, seconds: float) -> None:
    life.clock.advance(seconds)
    life.operator.settle()


def test_replace_waits_for_an_old_pod_that_may_still_end() -> None:
    life = on_a_dead_node()
    passes(life, GRACE_S + MARGIN_S - 1)
    assert specified(life) == [0, 0]


def test_replace_waits_no_longer_than_a_living_kubelet_needs() -> None:
    life = on_a_dead_node()
    passes(life, GRACE_S + MARGIN_S)
    assert specified(life) == [1]


def test_it_looks_again_when_the_wait_is_over() -> None:
    life = on_a_dead_node()
    assert life.operator.kind.decide(life.look()).plan.requeue_after == timedelta(seconds=GRACE_S + MARGIN_S)


def test_a_surge_is_over_although_an_old_pod_never_ends() -> None:
    life = on_a_dead_node("RollingUpdate")
    assert life.status.phase == "Rolling"
    passes(life, GRACE_S + MARGIN_S)
    assert life.status.phase == "Available"


def test_a_suspended_serving_rests_although_a_pod_never_ends() -> None:
    life = ServingLife()
    life.run()
    life.edit(suspend=True)
    life.world.run_deployment_controller()
    life.operator.settle()
    assert life.status.phase == "Suspended"
    assert life.reason("Reconciling") == "Suspending"
    passes(life, GRACE_S + MARGIN_S)
    assert life.reason("Suspended") == "Suspended"
