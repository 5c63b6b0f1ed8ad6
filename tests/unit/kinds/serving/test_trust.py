"""Labels of a serving's children taken away, changed and forged: ours stay in sight, strangers are never touched."""

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BUDGET,
    DEPLOYMENT,
    POD,
    REVISION,
    SERVICE,
    controller_of,
    labels_of,
    uid_of,
)
from tests.support.marks import LOSSES, STRANGER, is_marked, strangers
from tests.support.serving_life import NAME, ServingLife
from tests.support.servings import NAMESPACE

FAMILY = (DEPLOYMENT, REVISION, SERVICE, AUTOSCALER, BUDGET)
SCALED = {"maxReplicas": 3, "minReplicas": 1, "signals": [{"type": "InFlight", "target": 4}]}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("restarted", [False, True])
def test_children_that_lost_their_labels_stay_in_sight_and_get_them_back(loss: str, restarted: bool) -> None:
    life = ServingLife(autoscaling=SCALED)
    life.run()
    before = {(r, uid_of(item)) for r in (*FAMILY, POD) for item in life.cluster.all(r)}
    for resource in FAMILY:
        for item in life.cluster.all(resource):
            life.cluster.edit(resource, NAMESPACE, item["metadata"]["name"], LOSSES[loss])
    if restarted:
        life.operator.restart()
    life.operator.settle()
    uid = life.serving()["metadata"]["uid"]
    assert all(is_marked(item, uid) for resource in FAMILY for item in life.cluster.all(resource))
    life.run()
    assert {(r, uid_of(item)) for r in (*FAMILY, POD) for item in life.cluster.all(r)} == before
    assert life.reason("Ready") == "Available"


def test_an_old_revision_that_is_labelled_as_another_is_not_deleted_under_its_replicas() -> None:
    life = ServingLife(replicas=2)
    life.run()
    (old,) = life.cluster.all(DEPLOYMENT)
    life.edit(engine={"maxConcurrency": 2})
    life.cluster.edit(DEPLOYMENT, NAMESPACE, old["metadata"]["name"], LOSSES["changed"])
    life.operator.settle()
    assert uid_of(life.stored(DEPLOYMENT, old["metadata"]["name"])) == uid_of(old)
    life.run()
    assert len(life.cluster.all(DEPLOYMENT)) == 1
    assert life.reason("Ready") == "Available"


def test_our_labels_on_strangers_objects_leave_them_alone() -> None:
    life = ServingLife()
    others = strangers(SERVING, NAME, NAMESPACE, life.serving()["metadata"]["uid"])
    for manifest in others:
        life.put(manifest)
    before = [life.cluster.read(resource, NAMESPACE, STRANGER) for resource in (POD, SERVICE)]
    life.operator.settle()
    life.edit(engine={"maxConcurrency": 2})
    life.edit(suspend=True)
    assert [life.cluster.read(resource, NAMESPACE, STRANGER) for resource in (POD, SERVICE)] == before
    assert life.status.ready_replicas == 0


def test_a_pod_that_a_person_set_apart_to_look_into_it_is_theirs() -> None:
    life = ServingLife(replicas=1)
    life.run()
    (pod,) = life.pods()
    life.cluster.edit(POD, NAMESPACE, pod["metadata"]["name"], lambda live: live["metadata"].pop("labels"))
    life.run()
    apart = life.stored(POD, pod["metadata"]["name"])
    assert (controller_of(apart), labels_of(apart)) == (None, {})
    life.edit(engine={"maxConcurrency": 2})
    life.run()
    assert len(life.cluster.all(DEPLOYMENT)) == 1, "the old revision does not wait for it"
    assert uid_of(life.stored(POD, pod["metadata"]["name"])) == uid_of(pod)
