"""One look, from the mirror or live: what a reference names is looked at in the same pass."""

import asyncio
from typing import Any

import pytest

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CLAIM, Ref
from deepseek_operator.kinds.serving import serving_kind
from tests.support.servings import NAMESPACE, a_claim, a_serving, a_training
from tests.support.shell import Operator
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
