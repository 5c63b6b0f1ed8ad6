"""Whatever a serving rests in, children that lose their marks while the operator is there or not get them back, or go as
they should have gone."""

from collections import Counter
from collections.abc import Callable

import pytest

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BUDGET,
    DEPLOYMENT,
    REVISION,
    SERVICE,
    controller_of,
    uid_of,
)
from deepseek_operator.kinds.registry import KINDS
from tests.support.marks import LOSSES, is_marked
from tests.support.serving_life import NAME, ServingLife
from tests.support.servings import NAMESPACE

FAMILY = (DEPLOYMENT, REVISION, SERVICE, AUTOSCALER, BUDGET)
SCALED = {"maxReplicas": 3, "minReplicas": 1, "signals": [{"type": "InFlight", "target": 4}]}
MEDDLINGS: dict[str, Callable[[Stored], object]] = {
    **LOSSES,
    "owner": lambda live: live["metadata"].pop("ownerReferences", None),
    "owner and managed-by": lambda live: (LOSSES["managed-by"](live), live["metadata"].pop("ownerReferences", None)),
}


def available() -> ServingLife:
    life = ServingLife(autoscaling=SCALED)
    life.run()
    return life


def suspended() -> ServingLife:
    life = available()
    life.edit(suspend=True)
    life.run()
    return life


def rolling() -> ServingLife:
    """The new replica finds no room."""
    life = ServingLife(replicas=2)
    life.run()
    life.edit(engine={"maxConcurrency": 2})
    life.run(room=2)
    return life


SCENES = {"available": available, "suspended": suspended, "rolling": rolling}
WHERE = pytest.mark.parametrize("is_down", [False, True], ids=["up", "down"])


def children(life: ServingLife) -> list[Stored]:
    return [child for resource in FAMILY for child in life.cluster.all(resource)]


def meddle(life: ServingLife, change: Callable[[Stored], object]) -> None:
    for child in children(life):
        ref = KINDS.ref_of(child)
        life.cluster.edit(ref.resource, NAMESPACE, ref.name, change)


@WHERE
@pytest.mark.parametrize("scene", SCENES)
def test_children_that_lose_their_marks_at_rest_get_them_back(scene: str, is_down: bool) -> None:
    life = SCENES[scene]()
    uid, before = life.serving()["metadata"]["uid"], {uid_of(child) for child in children(life)}
    for meddling, change in MEDDLINGS.items():
        meddle(life, change)
        if is_down:
            life.operator.restart()
        life.operator.settle()
        after = children(life)
        assert (meddling, {uid_of(child) for child in after}) == (meddling, before)
        unmarked = [str(KINDS.ref_of(c)) for c in after if not is_marked(c, uid) or not controller_of(c)]
        assert (meddling, unmarked) == (meddling, [])


@pytest.mark.parametrize("meddling", MEDDLINGS)
def test_an_autoscaler_that_lost_its_marks_and_its_purpose_goes(meddling: str) -> None:
    """All while the operator was down."""
    life = available()
    meddle(life, MEDDLINGS[meddling])
    life.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live["spec"].update(suspend=True))
    life.operator.restart()
    life.run()
    assert life.cluster.all(AUTOSCALER) == []


@pytest.mark.parametrize("scene", SCENES)
def test_a_process_that_starts_asks_only_for_what_it_lacks(scene: str) -> None:
    life = SCENES[scene]()
    for most in ({"get": 1}, {}):
        before = Counter(life.cluster.reads)
        if most:
            life.operator.restart()
        life.operator.settle()
        assert life.cluster.reads - before <= Counter(most)
