"""What is told of a revision that can't start: in stable words of the engine's own, final where a person must edit."""

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.status import ServingStatus
from deepseek_operator.kinds.serving.events import events
from tests.support.kstatus import kstatus
from tests.support.moments import START
from tests.support.serving_look import (
    INVALID,
    OLD,
    broken_beside,
    container,
    deployment,
    ended,
    look,
    pod,
    recorded,
    target_of,
    told,
    tries,
    waiting,
)

LOADING_S = 2400
"""Progress deadline of a Deployment with the default start timeout."""


def judged(found: ServingStatus) -> str:
    return kstatus({"metadata": {"generation": 1}, "status": found.to_wire()})


def failing(status: Mapping[str, Any], age: timedelta = timedelta(minutes=3), **spec: Any) -> ServingStatus:
    """A first version of which the only replica has that container status, not ready since `age`."""
    serving = recorded(replicas=1, running=1, **spec)
    target = target_of(serving)
    since = {"type": "Ready", "status": "False", "lastTransitionTime": f"{START - age:%Y-%m-%dT%H:%M:%SZ}"}
    one = pod(serving, target, phase="Running", containerStatuses=[status], conditions=[since])
    made = deployment(serving, target, 1, 0)
    made["spec"]["progressDeadlineSeconds"] = LOADING_S
    return look(serving, made, one)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        pytest.param(ended(64, INVALID), "exit code 64: model folder pvc://models/v2 holds no config.json", id="contract"),
        pytest.param(ended(1, INVALID), "exit code 1: model folder pvc://models/v2", id="contract, a crash"),
        pytest.param(ended(1, "Traceback …\nValueError: bad"), "exit code 1: Traceback …\nValueError: bad", id="foreign"),
        pytest.param(ended(1), "exit code 1", id="silent"),
        pytest.param(ended(137, "", "OOMKilled"), "exit code 137 (OOMKilled)", id="memory"),
        pytest.param(ended(128, "exec: nosuch: not found", "StartError"), "exit code 128 (StartError): exec", id="command"),
    ],
)  # fmt: skip
def test_the_words_are_the_engines_and_stay_the_same_from_try_to_try(end: Mapping[str, Any], said: str) -> None:
    found = [failing(state) for state in tries(end)]
    assert {told(status)[3] for status in found} == {"EngineFailing"}
    (message,) = {status.conditions[0].message for status in found}
    assert said in message
    assert "{" not in message
    assert [event for before, after in pairwise(found) for event in events(before, after)] == []


def test_a_foreign_engines_last_words_are_bounded() -> None:
    (message,) = {failing(state).conditions[0].message for state in tries(ended(1, "x\n" * 3000 + "\x1b[31mend"))}
    assert "end" in message
    assert len(message) < 1500
    assert "\x1b" not in message


@pytest.mark.parametrize(
    ("status", "age", "expected"),
    [
        pytest.param(container(ended(64, INVALID)), 0, "Failed", id="wrong input, its first end"),
        pytest.param(container(waiting("CrashLoopBackOff"), ended(64, INVALID), 1), 1, "Failed", id="wrong input"),
        pytest.param(container(waiting("CrashLoopBackOff"), ended(64, "usage: …"), 1), 1, "InProgress", id="another's 64"),
        pytest.param(container(waiting("CrashLoopBackOff"), ended(1), 4), 39, "InProgress", id="crash, within the time"),
        pytest.param(container(waiting("CrashLoopBackOff"), ended(1), 9), 41, "Failed", id="crash, after it"),
        pytest.param(container({"running": {}}, ended(1), 9), 41, "Failed", id="crash, after it, tried again"),
        pytest.param(container({"running": {}}), 39, "InProgress", id="loads"),
        pytest.param(container({"running": {}}), 41, "Failed", id="never gets ready"),
        pytest.param(container(waiting("ErrImagePull", "not found")), 1, "InProgress", id="image, within the time"),
        pytest.param(container(waiting("ImagePullBackOff", "Back-off")), 41, "Failed", id="image, after it"),
        pytest.param(container(waiting("InvalidImageName", "x::y")), 0, "Failed", id="no image can have this name"),
        pytest.param(container(waiting("CreateContainerConfigError", 'secret "x" not found')), 99, "InProgress", id="a Secret"),
        pytest.param(container(waiting("ContainerCreating")), 99, "InProgress", id="a volume that does not come"),
        pytest.param({**container({"running": {}}, ended(64, INVALID), 1), "started": True}, 99, "InProgress", id="it has loaded since"),
    ],
)  # fmt: skip
def test_it_has_failed_where_a_person_must_edit(status: Mapping[str, Any], age: int, expected: str) -> None:
    found = failing(status, timedelta(minutes=age))
    assert judged(found) == expected
    assert (found.phase == "Failed") == (expected == "Failed")


def test_a_claim_that_is_not_bound_is_no_lack_of_capacity() -> None:
    serving = recorded(replicas=1, running=1)
    target = target_of(serving)
    words = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}]
    waiting_pod = pod(serving, target, phase="Pending", conditions=conditions)
    found = look(serving, deployment(serving, target, 1, 0), waiting_pod)
    assert (told(found)[3], found.phase) == ("VolumeNotMounted", "Loading")
    assert "Look at that volume's claim" in found.conditions[0].message


@pytest.mark.parametrize("minutes", [3, 999])
def test_capacity_is_waited_for_however_long_it_takes(minutes: int) -> None:
    serving = recorded(replicas=1, running=1)
    target = target_of(serving)
    since = f"{START - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
    conditions = [
        {"type": "Ready", "status": "False", "lastTransitionTime": since},
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"},
    ]
    found = look(
        serving, deployment(serving, target, 1, 0), pod(serving, target, phase="Pending", conditions=conditions)
    )
    assert (told(found)[3], judged(found)) == ("WaitingForCapacity", "InProgress")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: team', ("InProgress", "WaitingForQuota")),
        ('pods "x" is forbidden: violates PodSecurity', ("InProgress", "Forbidden")),
        ('Pod "x" is invalid: spec.tolerations: Invalid value', ("Failed", "Rejected")),
    ],
)
def test_a_refused_pod_fails_only_where_the_spec_is_wrong(text: str, reason: tuple[str, str]) -> None:
    serving = recorded(replicas=1, running=1)
    refused = {"type": "ReplicaFailure", "status": "True", "message": text}
    found = look(serving, deployment(serving, target_of(serving), 1, 0, conditions=[refused]))
    assert (judged(found), told(found)[3]) == reason


def test_a_folder_that_a_read_only_claim_lacks_is_named_as_the_user_wrote_it() -> None:
    words = 'failed to prepare subPath for volumeMount "model" of container "engine"'
    found = failing(container(waiting("CreateContainerConfigError", words)))
    assert told(found)[3] == "ModelNotFound"
    assert "claim models has no folder v2" in found.conditions[0].message


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("/model/config.json is no JSON", "pvc://models/v2/config.json is no JSON"),
        ("'/model' is no folder", "'pvc://models/v2' is no folder"),
        ("/models/a and x/model and /model-2 and /model.bak", "/models/a and x/model and /model-2 and /model.bak"),
        ("in /model: a", "in pvc://models/v2: a"),
    ],
)
def test_only_the_mount_path_becomes_the_users_own(said: str, expected: str) -> None:
    message = json.dumps({"formatVersion": 1, "result": "Invalid", "message": said})
    assert expected in failing(container(ended(64, message))).conditions[0].message


def test_a_new_version_that_fails_is_named_while_the_old_one_answers() -> None:
    serving = recorded(replicas=1, running=1)
    target = target_of(serving)
    found = look(
        serving, deployment(serving, OLD, 1, 1), deployment(serving, target, 1, 0), broken_beside(serving, target)
    )
    assert told(found) == ("True", "False", "True", "EngineFailing")
    assert (found.phase, found.summary.replicas, judged(found)) == ("Failed", "1/1", "Failed")
    (event,) = events(ServingStatus(), found)[:1]
    assert (event.type, event.reason) == ("Warning", "EngineFailing")


def test_a_rollback_blames_nothing_on_the_version_that_works() -> None:
    """The failed version's replica is still there when the good one is the wanted one again."""
    serving = recorded(replicas=1, running=1)
    target = target_of(serving)
    before = look(
        serving, deployment(serving, OLD, 1, 1), deployment(serving, target, 1, 0), broken_beside(serving, target)
    )
    after = look(
        serving, deployment(serving, target, 1, 1), deployment(serving, OLD, 1, 0), broken_beside(serving, OLD)
    )
    assert told(after) == ("True", "True", "False", "Rolling")
    assert judged(after) == "InProgress"
    assert [event.type for event in events(before, after)] == ["Normal"]
