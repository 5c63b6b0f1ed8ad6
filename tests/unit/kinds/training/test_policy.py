"""Whom the pods of a gang let in, and that it stays so."""

from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import JOB, POLICY, labels_of
from tests.support.trainings import NAME, NAMESPACE, Life

CLOSED = f"{NAME}-train"


def test_pods_of_a_gang_let_in_each_other_and_whoever_asks_for_progress() -> None:
    life = Life().begin()
    (policy,) = life.cluster.all(POLICY)
    own = {"podSelector": {"matchLabels": {OWNER_UID: life.owner.metadata.uid}}}
    assert policy["spec"] == {
        **own,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [own]}, {"ports": [{"protocol": "TCP", "port": 8090}]}],
    }
    assert all(labels_of(pod)[OWNER_UID] == life.owner.metadata.uid for pod in life.pods())


def test_a_single_pod_meets_nobody_and_has_no_policy() -> None:
    assert not Life().begin(nodes={"count": 1}).cluster.all(POLICY)


def test_a_policy_that_somebody_takes_away_or_opens_comes_back() -> None:
    life = Life().begin().running()
    (before,) = life.cluster.all(POLICY)
    life.cluster.edit(POLICY, NAMESPACE, CLOSED, lambda live: live["spec"].update(ingress=[{}]))
    life.turn()
    assert life.cluster.all(POLICY)[0]["spec"] == before["spec"]
    life.cluster.remove(POLICY, NAMESPACE, CLOSED)
    life.turn()
    assert life.cluster.all(POLICY)[0]["spec"] == before["spec"]


def test_a_gang_does_not_start_beside_a_strangers_policy_of_that_name() -> None:
    life = Life()
    metadata = {"name": CLOSED, "namespace": NAMESPACE}
    stranger = {"apiVersion": POLICY.api_version, "kind": POLICY.kind, "metadata": metadata, "spec": {"ingress": [{}]}}
    before = life.cluster.put(stranger)
    life.begin()
    assert life.told == ("Stalled", "NameConflict")
    assert life.cluster.all(POLICY) == [before]
    assert not life.cluster.all(JOB)
