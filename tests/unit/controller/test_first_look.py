"""A new owner of a kind that records before it makes: the server is not asked for it, since it takes the record for no other
version."""

import pytest

from deepseek_operator.adapters.memory import MemoryCluster, Stored
from deepseek_operator.api.crd import UNSEEN
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.reconcile import Acted, Gone, Settled
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import JOB, SERVICE
from tests.support.shell import Operator
from tests.support.tiny import TinyKind, tiny
from tests.support.world import StoppedClock

NS = "team"
KEY = Key(TRAINING, NS, "t")


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster(StoppedClock())


@pytest.fixture
def operator(cluster: MemoryCluster) -> Operator:
    return Operator(TinyKind(records_first=True), cluster, StoppedClock())


def _made(cluster: MemoryCluster) -> list[Stored]:
    return [*cluster.all(JOB), *cluster.all(SERVICE)]


def test_its_children_are_made_in_one_pass_that_reads_nothing(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.pipe.flush()
    assert isinstance(operator.reconcile(KEY), Settled)
    assert cluster.reads == {}
    assert [write.verb for write in cluster.writes] == ["status", "apply", "create", "status"]


def test_where_it_has_gone_since_nothing_is_made(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.pipe.flush()
    cluster.remove(TRAINING, NS, "t")
    assert operator.reconcile(KEY) == Acted()
    assert operator.reconcile(KEY) == Gone()
    assert _made(cluster) == []


def test_where_another_has_its_name_since_all_is_made_for_that_one(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.pipe.flush()
    cluster.remove(TRAINING, NS, "t")
    second = cluster.put(tiny())
    operator.reconcile(KEY)
    assert _made(cluster) == []
    operator.settle()
    owners = {item["metadata"]["labels"][OWNER_UID] for item in _made(cluster)}
    assert owners == {second["metadata"]["uid"]}


def test_where_it_was_edited_since_what_is_made_is_of_the_edited(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.pipe.flush()
    cluster.edit(TRAINING, NS, "t", lambda live: live["spec"].update(attempt=2))
    operator.reconcile(KEY)
    assert _made(cluster) == []
    operator.reconcile(KEY)
    assert [job["metadata"]["name"] for job in cluster.all(JOB)] == ["t-train-2"]


def test_what_is_final_and_no_record_follows_from_a_live_look(cluster: MemoryCluster, operator: Operator) -> None:
    """Its record was written by a process whose status somebody reset since."""
    cluster.put(tiny())
    cluster.edit(TRAINING, NS, "t", lambda live: live.update(status={**UNSEEN, "recorded": 1}))
    operator.pipe.flush()
    cluster.remove(TRAINING, NS, "t")
    assert operator.reconcile(KEY) == Gone()
    assert _made(cluster) == []
    assert cluster.reads == {"get": 1}


def test_one_whose_status_was_taken_away_is_read_with_its_children(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.settle()
    cluster.edit(TRAINING, NS, "t", lambda live: live.pop("status"))
    operator.pipe.flush()
    before = cluster.reads.copy()
    operator.reconcile(KEY)
    assert cluster.reads["get"] > before["get"]
    assert cluster.reads["list"] > before["list"]
    assert len(cluster.all(JOB)) == 1


def test_a_name_that_was_taken_meanwhile_is_told_by_the_same_pass(cluster: MemoryCluster, operator: Operator) -> None:
    cluster.put(tiny())
    operator.pipe.flush()
    stranger = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "t-train", "namespace": NS}, "spec": {}}
    before = cluster.put(stranger)
    operator.reconcile(KEY)
    assert cluster.read(SERVICE, NS, "t-train") == before
    live = cluster.read(TRAINING, NS, "t")
    assert live is not None
    assert live["status"]["message"] == "Conflict"
