"""Whose an object is: every child of both kinds, with labels and owners taken away, changed and forged."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core import names
from deepseek_operator.core.ownership import is_anothers, is_child, job_uid_of
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BUDGET,
    CLAIM,
    DEPLOYMENT,
    JOB,
    LEASE,
    POD,
    POLICY,
    REVISION,
    SERVICE,
    Resource,
)
from deepseek_operator.kinds.serving.names import serving_revision, serving_service
from deepseek_operator.kinds.training.names import training_claim, training_job, training_service

UID, OTHER = "0f0e0d0c-0b0a-4998-8776-655443322110", "11111111-2222-4333-8444-555555555555"
CHILDREN = (
    (TRAINING, JOB, training_job("x", UID, 3)),
    (TRAINING, SERVICE, training_service("x")),
    (TRAINING, POLICY, training_service("x")),
    (TRAINING, CLAIM, training_claim("x", UID)),
    (SERVING, DEPLOYMENT, serving_revision("x", "0a1b2c3d4e")),
    (SERVING, REVISION, serving_revision("x", "0a1b2c3d4e")),
    (SERVING, SERVICE, serving_service("x")),
    (SERVING, AUTOSCALER, serving_service("x")),
    (SERVING, BUDGET, serving_service("x")),
    (SERVING, LEASE, serving_service("x")),
)
PODS = (
    (TRAINING, "Job", training_job("x", UID, 3)),
    (SERVING, "ReplicaSet", f"{serving_revision('x', '0a1b2c3d4e')}-5f6d7c8b9"),
)


def made(owner: Resource, name: str, **metadata: Any) -> dict[str, Any]:
    """A child as the operator makes it, with some of its metadata replaced."""
    references = [names.owner_reference(owner, "x", UID)]
    return {
        "metadata": {
            "name": name,
            "labels": names.owner_labels(owner, "x", UID),
            "ownerReferences": references,
            **metadata,
        }
    }


def controlled(kind: str, name: str, uid: str = OTHER) -> list[dict[str, Any]]:
    return [{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": True}]


@pytest.mark.parametrize(("owner", "resource", "name"), CHILDREN)
def test_a_child_is_one_whatever_it_lost_and_never_once_somebody_else_controls_it(
    owner: Resource, resource: Resource, name: str
) -> None:
    def belongs(**metadata: Any) -> bool:
        return is_child(owner, "x", UID, resource, made(owner, name, **metadata))

    assert belongs()
    assert belongs(labels={})
    assert belongs(labels={names.OWNER_UID: OTHER})
    assert belongs(ownerReferences=[])
    assert belongs(labels={}, ownerReferences=[], annotations={names.OWNER_UID: UID})
    assert not belongs(labels={}, ownerReferences=[])
    assert not belongs(ownerReferences=controlled("Release", "helm"))
    assert not belongs(ownerReferences=controlled(owner.kind, "x"), labels=names.owner_labels(owner, "x", OTHER))
    assert not is_child(owner, "x", OTHER, resource, made(owner, name))
    assert not is_child(owner, "x", "", resource, made(owner, name, labels={names.OWNER_UID: ""}))


@pytest.mark.parametrize(("owner", "resource", "name"), CHILDREN)
@pytest.mark.parametrize("stranger", ["web", "x", "x-training", "y-train-1", "y-serve"])
def test_an_owners_labels_on_a_strangers_object_make_no_child_of_it(
    owner: Resource, resource: Resource, name: str, stranger: str
) -> None:
    assert not is_child(owner, "x", UID, resource, made(owner, stranger, ownerReferences=[]))
    assert not is_child(owner, "x", UID, resource, made(owner, stranger)), "a copy that was given another name"


@pytest.mark.parametrize(("owner", "maker", "maker_name"), PODS)
def test_a_pod_is_a_child_by_its_label_and_by_who_made_it(owner: Resource, maker: str, maker_name: str) -> None:
    def belongs(name: str = f"{maker_name}-0-abcde", **metadata: Any) -> bool:
        return is_child(owner, "x", UID, POD, made(owner, name, **metadata))

    assert belongs(ownerReferences=controlled(maker, maker_name))
    assert not belongs(ownerReferences=controlled(maker, "web"))
    assert not belongs(name="web-abcde", ownerReferences=controlled(maker, maker_name))
    assert not belongs(name="web-abcde", ownerReferences=[])
    assert not belongs(labels={}, ownerReferences=controlled(maker, maker_name)), "known by its Job, not by its name"
    assert belongs(ownerReferences=[]) == (owner == TRAINING), "a serving's is a person's, who looks into it"


def test_what_another_controls_is_anothers_whatever_it_is_labelled() -> None:
    name = training_job("x", UID, 1)
    assert not is_anothers(TRAINING, "x", UID, JOB, made(TRAINING, name, labels={}))
    assert is_anothers(TRAINING, "x", UID, JOB, made(TRAINING, name, ownerReferences=controlled("CronJob", "night")))
    assert is_anothers(TRAINING, "x", UID, POD, made(TRAINING, f"{name}-0-a", ownerReferences=controlled("Job", "web")))


def test_the_job_of_a_pod_is_its_controller_whatever_its_label_says() -> None:
    label = {"batch.kubernetes.io/controller-uid": OTHER}
    assert job_uid_of(made(TRAINING, "p", ownerReferences=controlled("Job", "j", UID), labels=label)) == UID
    assert job_uid_of(made(TRAINING, "p", ownerReferences=controlled("ReplicaSet", "r", UID), labels=label)) == ""
    assert job_uid_of(made(TRAINING, "p", ownerReferences=[], labels=label)) == OTHER
