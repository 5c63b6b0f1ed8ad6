"""Whatever a pass writes or reads is news to whoever refers to it: the event of that version will tell the mirror nothing."""

import asyncio
from collections.abc import Callable

import pytest

from deepseek_operator.adapters.memory import Fault
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.core.resources import CLAIM, JOB, SERVICE, Ref
from deepseek_operator.kinds.training.names import training_claim, training_job, training_service
from deepseek_operator.ports.cluster import Conflict
from tests.support.trainings import NAME, NAMESPACE, Life, training

OTHER = Key(SERVING, NAMESPACE, "chat")
UID = "00000001-0000-4000-8000-000000000001"
OBJECTS = {
    "training": Ref(TRAINING, NAME),
    "claim": Ref(CLAIM, training_claim(NAME, UID)),
    "service": Ref(SERVICE, training_service(NAME)),
    "job": Ref(JOB, training_job(NAME, UID, 1)),
}


def watched(life: Life, ref: Ref) -> Life:
    """Somebody else wants to know of the object; nothing is on its way to the mirror."""
    life.operator.pipe.flush()
    life.operator.mirror.refer(OTHER, [ref])
    life.operator.woken.clear()
    return life


def touched(life: Life, ref: Ref) -> None:
    """Changed by a stranger; the event is on its way."""
    life.cluster.edit(ref.resource, NAMESPACE, ref.name, lambda live: live["metadata"].update(annotations={"a": "b"}))


def removed(life: Life, ref: Ref) -> None:
    """Gone; the event is on its way."""
    life.cluster.drop(ref.resource, NAMESPACE, ref.name)


@pytest.mark.parametrize("name", OBJECTS)
def test_what_a_pass_writes_wakes_whoever_refers_to_it_before_any_event_comes(name: str) -> None:
    life = Life()
    assert life.cluster.put(training())["metadata"]["uid"] == UID
    watched(life, OBJECTS[name])
    for _ in range(8):
        life.operator.reconcile(life.key)
    assert life.cluster.read(OBJECTS[name].resource, NAMESPACE, OBJECTS[name].name) is not None
    assert life.operator.woken == {OTHER}, "and not itself: the pass knows what it wrote"


@pytest.mark.parametrize("change", [touched, removed])
@pytest.mark.parametrize("name", OBJECTS)
def test_what_a_live_look_finds_wakes_whoever_refers_to_it_before_any_event_comes(
    name: str, change: Callable[[Life, Ref], None]
) -> None:
    life = watched(Life().begin().running(), OBJECTS[name])
    change(life, OBJECTS[name])
    asyncio.run(life.operator.look.live(life.key))
    assert life.operator.woken == {OTHER}


def test_what_is_read_after_a_conflict_wakes_whoever_refers_to_it() -> None:
    life = watched(Life().begin().running(), OBJECTS["training"])
    touched(life, OBJECTS["training"])
    life.cluster.faults[life.cluster.attempts + 1] = Fault(Conflict("modified"), False)
    life.operator.park(life.key, ArithmeticError("poison"))
    assert life.operator.woken == {OTHER}
