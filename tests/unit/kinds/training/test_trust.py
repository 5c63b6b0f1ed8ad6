"""Labels and owners of a training's children taken away, changed and forged: what is ours stays in sight, and what is
not is never adopted, changed or deleted."""

from collections.abc import Callable
from typing import Any

import pytest

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import MANAGED_BY, OWNER_UID, owner_labels, owner_reference
from deepseek_operator.core.resources import (
    CLAIM,
    JOB,
    POD,
    POLICY,
    SERVICE,
    Manifest,
    Resource,
    controller_of,
    is_terminating,
    labels_of,
    uid_of,
)
from tests.support.trainings import NAME, NAMESPACE, Life, claim

ATTEMPT = "deepseek-operator.io/attempt"
Meddling = Callable[[Stored], object]


def without(*labels: str) -> Meddling:
    return lambda live: [live["metadata"]["labels"].pop(label, None) for label in labels]


def strip(live: Stored) -> None:
    live["metadata"].pop("labels", None)


def disown(live: Stored) -> None:
    live["metadata"].pop("ownerReferences", None)


def strip_and_disown(live: Stored) -> None:
    strip(live)
    disown(live)


def relabel(live: Stored) -> None:
    live["metadata"]["labels"].update({OWNER_UID: "11111111-2222-4333-8444-555555555555", ATTEMPT: "7"})


MEDDLINGS: dict[str, Meddling] = {
    "owner-uid removed": without(OWNER_UID),
    "managed-by removed": without(MANAGED_BY),
    "attempt removed": without(ATTEMPT),
    "all labels removed": strip,
    "labels changed": relabel,
    "owner removed": disown,
    "nothing left": strip_and_disown,
}


def meddled(life: Life, resource: Resource, change: Meddling) -> None:
    for item in life.cluster.all(resource):
        life.cluster.edit(resource, NAMESPACE, item["metadata"]["name"], change)


@pytest.mark.parametrize("meddling", MEDDLINGS)
@pytest.mark.parametrize("restarted", [False, True])
def test_children_that_lost_their_marks_stay_in_sight_and_get_them_back(meddling: str, restarted: bool) -> None:
    life = Life().begin(checkpoints={"volume": {"accessMode": "ReadWriteMany"}}).running()
    # To a process that never saw it with its marks a Service without any is a stranger's: no uid of it is recorded.
    is_lost = restarted and meddling == "nothing left"
    for resource in (JOB, CLAIM) if is_lost else (JOB, SERVICE, POLICY, CLAIM):
        (before,) = life.cluster.all(resource)
        life.cluster.edit(resource, NAMESPACE, before["metadata"]["name"], MEDDLINGS[meddling])
        if restarted:
            life.operator.restart()
        assert (life.turn().told, life.jobs(), len(life.pods())) == (("Ready", "Running"), ["1"], 2)
        (after,) = life.cluster.all(resource)
        assert uid_of(after) == uid_of(before)
        assert labels_of(after).items() >= owner_labels(TRAINING, NAME, life.owner.metadata.uid).items()
        assert bool(controller_of(after)) == bool(controller_of(before))
    writes = len(life.cluster.writes)
    life.later(1)
    assert life.cluster.writes[writes:] == []
    assert life.complete().told == ("Ready", "Complete")
    life.cluster.remove(TRAINING, NAMESPACE, NAME, "Background")
    life.gone()
    assert [life.cluster.all(one) for one in (JOB, POD, SERVICE, POLICY)] == [[], [], [], []]


@pytest.mark.parametrize("meddling", ["owner-uid removed", "managed-by removed", "labels changed"])
def test_a_worker_that_lost_our_labels_goes_on_working(meddling: str) -> None:
    life = Life().begin().running()
    meddled(life, POD, MEDDLINGS[meddling])
    assert (life.turn().told, life.jobs()) == (("Ready", "Running"), ["1"])
    life.exit(0, 1, "boom")
    assert life.gone().told == ("Reconciling", "BackingOff")
    assert life.owner.status.restarts == 1


@pytest.mark.parametrize("change", [strip, without("batch.kubernetes.io/controller-uid")])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_that_its_job_let_go_is_stopped_and_the_gang_restarts(rank: int, change: Meddling) -> None:
    life = Life().begin().running()
    let_go = life.pod(rank)
    life.cluster.edit(POD, NAMESPACE, let_go["metadata"]["name"], change)
    life.gone().later(10)
    assert let_go["metadata"]["name"] not in [pod["metadata"]["name"] for pod in life.cluster.all(POD)]
    assert (life.jobs(), len(life.pods()), life.owner.status.restarts) == (["2"], 2, 0)


def test_a_job_that_was_deleted_while_it_bore_no_mark_is_noticed() -> None:
    life = Life().begin().running()
    meddled(life, JOB, strip_and_disown)
    life.operator.pipe.flush()
    life.cluster.remove(JOB, NAMESPACE, life.owner.status.attempt.job, "Background")  # type: ignore[union-attr]
    life.gone().later(10)
    assert (life.jobs(), life.owner.status.disruptions) == (["2"], 1)


def test_a_job_that_another_took_over_is_watched_and_left_to_him() -> None:
    life = Life().begin(nodes={"count": 1}).running()
    night = uid_of(life.cluster.put(claim("night")))
    other = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "night", "uid": night, "controller": True}
    meddled(life, JOB, lambda live: live["metadata"].update(ownerReferences=[other], labels={}))
    writes = len(life.cluster.writes)
    assert life.turn().told == ("Ready", "Running")
    assert [write for write in life.cluster.writes[writes:] if write.verb != "status"] == []
    assert life.complete().told == ("Ready", "Complete")


def stranger(kind: str, name: str, uid: str, *owners: dict[str, Any], **body: Any) -> dict[str, Any]:
    """A stranger's object with all of a training's labels on it."""
    labels = {**owner_labels(TRAINING, NAME, uid), ATTEMPT: "9"}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": list(owners)}
    version = "batch/v1" if kind == "Job" else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def strangers(uid: str) -> list[dict[str, Any]]:
    other = {"apiVersion": TRAINING.api_version, "kind": "Job", "name": "web", "uid": uid, "controller": True}
    ours = owner_reference(TRAINING, NAME, uid)
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    pod = {"spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "node-1"}}
    job = {"completions": 0, "parallelism": 0, "template": template}
    return [
        stranger("Job", "web", uid, spec=job),
        stranger("Job", "t-training-1", uid, ours, spec=job),
        stranger("Service", "web", uid, ours, spec={"ports": [{"port": 80}]}),
        stranger("PersistentVolumeClaim", "web", uid, spec={"accessModes": ["ReadWriteOnce"]}),
        stranger("Pod", "web", uid, **pod),
        stranger("Pod", "web-0", uid, other, **pod),
        stranger("Pod", "t-train-web", uid, other, **pod),
    ]


def test_our_labels_on_a_strangers_object_make_us_neither_wait_for_it_nor_touch_it() -> None:
    life = Life().begin(failurePolicy={"maxRestarts": 1}).running()
    others = strangers(life.owner.metadata.uid)
    for manifest in others:
        life.cluster.put(manifest)
        if manifest["kind"] == "Pod":
            life.cluster.edit(*_at(manifest), lambda live: live.update(status={"phase": "Running"}))
    life.turn()
    before = [life.cluster.read(*_at(manifest)) for manifest in others]
    life.crash().later(10)
    assert sorted(life.jobs()) == ["1", "1", "2", "web"]
    life.edit(lambda spec: spec.update(suspend=True)).gone()
    assert life.told == ("Suspended", "Suspended")
    life.edit(lambda spec: spec.update(suspend=False)).running()
    assert life.told == ("Ready", "Running")
    assert life.complete().told == ("Ready", "Complete")
    assert [life.cluster.read(*_at(manifest)) for manifest in others] == before


def _at(manifest: Manifest) -> tuple[Resource, str, str]:
    kinds = {"Job": JOB, "Service": SERVICE, "PersistentVolumeClaim": CLAIM, "Pod": POD}
    return kinds[manifest["kind"]], NAMESPACE, manifest["metadata"]["name"]


@pytest.mark.parametrize("process", ["lives", "starts again"])
def test_pods_that_nobody_controls_are_stopped_once_their_training_is_gone(process: str) -> None:
    life = Life().begin().running()
    life.cluster.remove(JOB, NAMESPACE, life.owner.status.attempt.job)  # type: ignore[union-attr]
    life.cluster.remove(TRAINING, NAMESPACE, NAME)
    if process == "starts again":
        life.operator.restart()
        life.operator.audit()
    life.operator.settle()
    assert all(is_terminating(pod) for pod in life.cluster.all(POD))
    life.world.reap_all()
    assert life.cluster.all(POD) == []


def test_a_job_that_was_left_behind_on_purpose_goes_on_and_a_namesake_says_what_to_delete() -> None:
    life = Life().begin().running()
    uid = life.owner.metadata.uid
    life.cluster.remove(TRAINING, NAMESPACE, NAME)
    life.turn()
    assert (life.jobs(), len(life.pods())) == (["1"], 2)
    life.begin()
    assert life.told == ("Stalled", "NameConflict")
    assert f"-l {OWNER_UID}={uid}" in life.message
    for resource in (JOB, SERVICE, POLICY):
        for item in life.cluster.all(resource):
            life.cluster.remove(resource, NAMESPACE, item["metadata"]["name"], "Background")
    life.world.run_garbage_collector()
    assert life.gone().later(60).jobs() == ["1"]
