"""One look, from the mirror or live: what a reference names is looked at in the same pass."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.ownership import JOB_UID, job_uid_of
from deepseek_operator.core.resources import AUTOSCALER, CLAIM, POD, Ref
from deepseek_operator.core.seen import Answer, Needs, Question, Seen
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.kinds.serving import ServingKind, serving_kind
from deepseek_operator.kinds.serving.labels import child_labels
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE, a_claim, a_serving, a_training
from tests.support.shell import Operator, finished
from tests.support.trainings import NAMESPACE as TEAM
from tests.support.trainings import Life, training
from tests.support.world import StoppedClock

KEY = Key(SERVING, NAMESPACE, "chat")
FROM_TRAINING: dict[str, Any] = {"model": {"fromTraining": {"name": "tune", "checkpoint": "Latest"}}}


@pytest.fixture
def cluster() -> MemoryCluster:
    """A training that has ended, and the claim with its export."""
    cluster = MemoryCluster(StoppedClock())
    cluster.put(a_claim())
    training = a_training()
    cluster.put(training)
    cluster.edit(TRAINING, NAMESPACE, "tune", lambda live: live.update(status=ENDED))
    cluster.put(a_serving(**FROM_TRAINING))
    return cluster


ENDED = {**a_training()["status"], "result": "Complete", "exports": [100]}


@pytest.fixture
def operator(cluster: MemoryCluster) -> Operator:
    return Operator(serving_kind(Configuration()), cluster, StoppedClock())


@pytest.mark.parametrize("live", [False, True], ids=["mirror", "live"])
def test_the_claim_that_a_training_names_is_looked_at_with_the_training(operator: Operator, live: bool) -> None:
    look = operator.look.live if live else operator.look.from_mirror
    view = asyncio.run(look(KEY))
    assert view is not None
    assert set(view.seen.references) == {Ref(TRAINING, "tune"), Ref(CLAIM, "models")}


def test_a_claim_that_exists_is_never_called_missing(cluster: MemoryCluster, operator: Operator) -> None:
    operator.settle()
    assert "WaitingForClaim" not in {event.reason for _, event in cluster.events}


def test_an_event_of_a_claim_at_the_end_of_a_chain_wakes_the_owner(cluster: MemoryCluster, operator: Operator) -> None:
    operator.reconcile(KEY)
    operator.pipe.flush()
    operator.woken.clear()
    cluster.edit(CLAIM, NAMESPACE, "models", lambda live: live["metadata"].update(labels={"touched": "yes"}))
    operator.pipe.flush()
    assert KEY in operator.woken


@pytest.mark.parametrize("live", [False, True], ids=["mirror", "live"])
def test_an_owner_that_is_gone_is_woken_by_nothing_that_it_named(
    cluster: MemoryCluster, operator: Operator, live: bool
) -> None:
    look = operator.look.live if live else operator.look.from_mirror
    asyncio.run(operator.look.from_mirror(KEY))
    cluster.remove(SERVING, NAMESPACE, "chat")
    operator.pipe.flush()
    assert asyncio.run(look(KEY)) is None
    operator.woken.clear()
    cluster.edit(CLAIM, NAMESPACE, "models", lambda live: live["metadata"].update(labels={"touched": "yes"}))
    operator.pipe.flush()
    assert KEY not in operator.woken


def test_a_pod_that_no_watch_tells_of_is_seen_by_the_rounds_behind_the_look_that_found_it() -> None:
    life = Life().begin().running()
    pod = life.pod(0)
    stray: dict[str, Any] = {
        **pod,
        "metadata": {"name": "stray", "namespace": TEAM, "labels": {JOB_UID: job_uid_of(pod)}},
    }
    life.cluster.put(stray)
    life.operator.pipe.flush()
    view = asyncio.run(life.operator.look.live(life.key))
    assert view is not None
    assert Ref(POD, "stray") in view.seen.children
    assert life.operator.look.holds(life.key, view)
    behind = asyncio.run(life.operator.look.renewed(life.key, view))
    assert behind is not None
    assert Ref(POD, "stray") in behind.seen.children


def test_a_name_that_was_free_is_not_once_it_is_taken() -> None:
    life = Life()
    life.cluster.put(training())
    life.operator.pipe.flush()
    view = asyncio.run(life.operator.look.live(life.key))
    assert view is not None
    free = sorted(view.free)
    assert len(free) >= 3
    taken = replace(view, seen=replace(view.seen, children={free[0]: {}}, occupied={free[1]: {}}))
    assert sorted(taken.free) == free[2:]


@pytest.mark.parametrize(("name", "is_in_the_way"), [("chat-serve", True), ("keda-hpa-chat-serve", False)])
def test_what_only_bears_an_owners_labels_is_in_the_way_under_a_name_that_a_child_takes(
    name: str, is_in_the_way: bool
) -> None:
    """Tools copy the labels of what they work for onto what they make."""
    life = ServingLife(autoscaling={"maxReplicas": 2, "signals": [{"target": 4}]})
    life.cluster.drop(AUTOSCALER, NAMESPACE, "chat-serve")
    maker = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "chat", "uid": "1", "controller": True}
    labels = child_labels(DeepSeekServing.model_validate(life.serving()))
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": [maker]}
    life.put({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": {}})
    life.operator.pipe.flush()
    view = asyncio.run(life.operator.look.live(KEY))
    assert view is not None
    assert Ref(AUTOSCALER, name) not in view.seen.children
    assert (Ref(AUTOSCALER, name) in view.seen.occupied) == is_in_the_way


class AskingKind(ServingKind):
    """The kind of servings, which has questions to the metrics store while it is told so."""

    questions: tuple[Question, ...] = ()

    def needs(self, seen: Seen[DeepSeekServing]) -> Needs:
        return replace(super().needs(seen), questions=self.questions)


@pytest.mark.parametrize("live", [False, True], ids=["mirror", "live"])
def test_what_a_kind_asks_of_the_metrics_store_is_seen_and_nothing_is_asked_at_rest(
    cluster: MemoryCluster, live: bool
) -> None:
    kind = AskingKind(Configuration())
    operator = Operator(kind, cluster, StoppedClock())
    operator.store.answer = lambda query, at: Reading((7.0,), at)

    def readings() -> Mapping[str, Answer]:
        view = finished(operator.look.live(KEY) if live else operator.look.from_mirror(KEY))
        assert view is not None
        return view.seen.readings

    assert readings() == {}
    assert operator.store.asked == []
    now = operator.clock.now()
    kind.questions = (Question("up", now), Question("down", now))
    assert readings() == {"up": Reading((7.0,), now), "down": Reading((7.0,), now)}
    assert readings().keys() == {"up", "down"}
    assert operator.store.asked == ["up", "down"]
    cluster.remove(SERVING, NAMESPACE, "chat")
    operator.pipe.flush()
    assert finished(operator.look.from_mirror(KEY)) is None
