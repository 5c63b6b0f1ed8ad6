"""Counts and conditions, from one look each."""

from collections.abc import Sequence
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.actions import Create, Done, Failure
from deepseek_operator.core.conditions import find
from deepseek_operator.core.resources import Manifest
from deepseek_operator.kinds.serving.events import events
from tests.support.serving_look import (
    KIND,
    NO_ROOM,
    OLD,
    SCALED,
    deployment,
    look,
    pod,
    recorded,
    scaler,
    target_of,
    told,
)
from tests.support.servings import a_claim, a_training, seen_of


def test_all_replicas_of_the_target_serving_is_available() -> None:
    serving = recorded(replicas=3)
    found = look(serving, deployment(serving, target_of(serving), 3, 3))
    assert told(found) == ("True", "False", "False", "Available")
    assert (found.replicas, found.ready_replicas, found.summary.replicas) == (3, 3, "3/3")


def test_the_surplus_of_a_rollout_is_no_replica() -> None:
    serving = recorded(replicas=3)
    found = look(serving, deployment(serving, OLD, 3, 3), deployment(serving, target_of(serving), 1, 0))
    assert found.replicas == 3
    assert told(found) == ("True", "True", "False", "Rolling")


def test_a_rollout_without_room_still_serves_and_names_the_way_out() -> None:
    serving = recorded(replicas=3)
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": NO_ROOM}
    found = look(
        serving,
        deployment(serving, OLD, 3, 3),
        deployment(serving, target_of(serving), 1, 0),
        pod(serving, target_of(serving), phase="Pending", conditions=[unplaced]),
    )
    assert found.phase == "WaitingForCapacity"
    assert told(found) == ("True", "True", "False", "WaitingForCapacity")
    assert NO_ROOM.rstrip(".") in found.conditions[0].message
    assert "Recreate" in found.conditions[0].message


def test_a_quota_that_refuses_pods_is_waited_for() -> None:
    serving = recorded(replicas=3)
    refused = {"type": "ReplicaFailure", "status": "True", "message": "pods is forbidden: exceeded quota: gpus"}
    found = look(serving, deployment(serving, target_of(serving), 3, 0, conditions=[refused]))
    assert told(found) == ("False", "True", "False", "WaitingForQuota")


@pytest.mark.parametrize(
    ("reason", "told_as"), [("ImagePullBackOff", "ImagePullFailed"), ("CrashLoopBackOff", "EngineFailing")]
)
def test_a_container_that_cannot_start_is_told_in_the_kubelet_s_words(reason: str, told_as: str) -> None:
    serving = recorded(replicas=1, running=1)
    waiting = [{"name": "engine", "state": {"waiting": {"reason": reason, "message": "back-off"}}}]
    target = target_of(serving)
    found = look(serving, deployment(serving, target, 1, 0), pod(serving, target, containerStatuses=waiting))
    assert told(found) == ("False", "True", "False", told_as)
    assert {"ImagePullBackOff": "ErrImagePull"}.get(reason, reason) in found.conditions[0].message
    assert found.phase == "Failing"


def test_an_engine_that_was_killed_for_its_memory_is_told_by_that_name() -> None:
    serving = recorded(replicas=1, running=1)
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    waiting = [{"name": "engine", "state": state, "lastState": ended}]
    target = target_of(serving)
    found = look(serving, deployment(serving, target, 1, 0), pod(serving, target, containerStatuses=waiting))
    assert "the engine ended with exit code 137 (OOMKilled)" in found.conditions[0].message


@pytest.mark.parametrize(
    ("restarts", "started", "expected"), [(3, False, "EngineFailing"), (1, False, "Loading"), (3, True, "Loading")]
)
def test_an_engine_that_fails_again_and_again_fails_between_two_failures_too(
    restarts: int, started: bool, expected: str
) -> None:
    """Otherwise the condition, and an event, would change with every try of the kubelet."""
    serving = recorded(replicas=1, running=1)
    ended = {"terminated": {"reason": "Error", "exitCode": 1}}
    loads = {"name": "engine", "state": {"running": {}}, "lastState": ended, "started": started}
    target = target_of(serving)
    statuses = [{**loads, "ready": False, "restartCount": restarts}]
    found = look(serving, deployment(serving, target, 1, 0), pod(serving, target, containerStatuses=statuses))
    assert told(found)[3] == expected


@pytest.mark.parametrize(
    ("mode", "node", "has_sandbox", "expected"),
    [
        pytest.param("ReadWriteOnce", "b", "False", "ClaimNotShared", id="another node"),
        pytest.param("ReadWriteOnce", "a", "False", "Scaling", id="the same node"),
        pytest.param("ReadWriteOnce", "b", "True", "Scaling", id="mounted, and pulling the image"),
        pytest.param("ReadWriteMany", "b", "False", "Scaling", id="shared"),
    ],
)
def test_a_replica_that_can_not_mount_the_claim_is_told(mode: str, node: str, has_sandbox: str, expected: str) -> None:
    serving = recorded(replicas=2, running=2)
    target = target_of(serving)
    serving["status"]["stable"] = target
    sandbox = {"type": "PodReadyToStartContainers", "status": has_sandbox}
    runs = pod(serving, target, phase="Running", conditions=[{"type": "Ready", "status": "True"}])
    starts = pod(serving, target, phase="Pending", conditions=[sandbox])
    pods = [{**runs, "spec": {"nodeName": "a"}}, {**starts, "spec": {"nodeName": node}}]
    pods[1]["metadata"] = {**starts["metadata"], "name": "q"}
    claim = {**a_claim(), "spec": {"accessModes": [mode]}}
    found = look(serving, deployment(serving, target, 2, 1), *pods, references=[claim])
    assert told(found)[3] == expected


def test_a_missing_claim_is_waited_for() -> None:
    assert told(look(recorded(), references=[])) == ("False", "True", "False", "WaitingForClaim")


def test_an_impossible_reference_is_stalled_while_what_runs_serves_on() -> None:
    before = recorded(replicas=3)
    old = target_of(before)
    serving = {**before, "spec": {**before["spec"], "model": {"fromTraining": {"name": "tune"}}}}
    failed = a_training(result="Failed")
    found = look(serving, deployment(before, old, 3, 3), references=[a_claim(), failed])
    assert told(found) == ("True", "False", "True", "TrainingFailed")
    assert found.current is not None
    assert found.current.name == old


def test_suspension_rests_only_once_no_pod_is_left() -> None:
    serving = recorded(replicas=3, suspend=True)
    target = target_of(serving)
    left = pod(serving, target, phase="Running")
    assert told(look(serving, deployment(serving, target, 0, 0), left)) == ("False", "True", "False", "Suspending")
    found = look(serving, deployment(serving, target, 0, 0))
    assert told(found) == ("True", "False", "False", "Suspended")
    assert (found.summary.ready, found.summary.reason) == ("False", "Suspended"), "no empty column"


def test_the_floor_under_autoscaling_is_the_minimum() -> None:
    serving = recorded(replicas=5, running=5, **SCALED)
    target = target_of(serving)
    assert told(look(serving, deployment(serving, target, 5, 2)))[0] == "True"
    assert told(look(serving, deployment(serving, target, 5, 1)))[0] == "False"


def test_on_the_way_down_it_tells_how_many_stay() -> None:
    serving = recorded(replicas=1, running=1)
    target = target_of(serving)
    shrinking = look({**serving, "status": {**serving["status"], "stable": target}}, deployment(serving, target, 3, 3))
    message = find(shrinking.conditions, "Reconciling")
    assert message is not None
    assert message.message == "1 of 3 replicas stay, the others end"


def test_replicas_zero_under_autoscaling_is_for_a_person_to_edit() -> None:
    serving = recorded(replicas=0, running=3, **SCALED)
    found = look(serving, deployment(serving, target_of(serving), 3, 3))
    assert told(found) == ("True", "False", "True", "AutoscalerOff")


def test_held_replicas_are_explained_in_the_autoscaler_s_words() -> None:
    serving = recorded(replicas=2, running=4, **SCALED)
    found = look(serving, deployment(serving, target_of(serving), 4, 4), scaler("False", "FailedGetExternalMetric", 4))
    assert found.autoscaling is not None
    assert (found.autoscaling.active, found.autoscaling.reason) == (False, "FailedGetExternalMetric")
    assert "FailedGetExternalMetric: no metrics returned" in found.conditions[0].message
    assert found.replicas == 4


def taken(controller: dict[str, Any] | None, **metadata: Any) -> Sequence[Manifest]:
    owners = [{**controller, "controller": True}] if controller else []
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "chat-serve", "ownerReferences": owners, **metadata},
        }
    ]


@pytest.mark.parametrize(
    ("occupied", "expected"),
    [
        pytest.param(taken(None), ("False", "False", "True", "NameConflict"), id="a living stranger"),
        pytest.param(
            taken(None, deletionTimestamp="2026-01-01T00:00:00Z"),
            ("False", "True", "False", "WaitingForPredecessor"),
            id="on its way out",
        ),
        pytest.param(
            taken({"apiVersion": SERVING.api_version, "kind": SERVING.kind, "name": "chat", "uid": "earlier"}),
            ("False", "True", "False", "WaitingForPredecessor"),
            id="left by a deleted resource of this name",
        ),
    ],
)
def test_a_taken_name_is_never_touched(occupied: Sequence[Manifest], expected: tuple[str, ...]) -> None:
    seen = seen_of(recorded(), occupied=occupied)
    assert told(KIND.decide(seen).status(Done())) == expected
    assert KIND.decide(seen).plan.actions == ()


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("Rejected", ("False", "False", "True", "Rejected")),
        ("Quota", ("False", "True", "False", "WaitingForQuota")),
        ("Forbidden", ("False", "True", "False", "Forbidden")),
        ("Failed", ("False", "True", "False", "ApiUnavailable")),
    ],
)
def test_what_the_api_server_refuses_is_told(reason: Any, expected: tuple[str, ...]) -> None:
    failure = Failure(Create({}), reason, "the server's words")
    found = KIND.decide(seen_of(recorded())).status(Done(failure))
    assert told(found) == expected
    assert "the server's words" in found.conditions[0].message


def test_the_selector_and_the_address_are_the_contract() -> None:
    found = look(recorded())
    assert found.selector.endswith("deepseek-operator.io/role=engine")
    assert found.url == "http://chat-serve.team.svc:8000"


def test_an_event_tells_a_transition_once() -> None:
    serving = recorded(replicas=3)
    target = target_of(serving)
    before = look(serving, deployment(serving, target, 3, 2))
    after = look(serving, deployment(serving, target, 3, 3))
    assert [event.reason for event in events(before, after)] == ["Available", "RolledOut"]
    assert events(after, after) == ()
