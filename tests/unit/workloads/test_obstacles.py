"""What keeps pods away, in the words of the cluster as they were seen on a real one (1.36)."""

from typing import Any

import pytest

from deepseek_operator.core.seen import Warning
from deepseek_operator.workloads import reasons
from deepseek_operator.workloads.obstacles import (
    refused,
    refused_by_events,
    uninitialized,
    unmounted,
    unplaced,
    unstarted,
)

POD = 'pods "t-train-1-0-abcde" is forbidden: '


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (f"Error creating: {POD}exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2", "WaitingForQuota"),
        (f"Error creating: {POD}exceeded quota: gpus, requested: requests.nvidia.com/gpu=8, used: 0, limited: 4", "WaitingForQuota"),
        (f"Error creating: {POD}failed quota: team: must specify limits.cpu for: trainer", "WaitingForQuota"),
        (f"Error creating: {POD}maximum memory usage per Container is 1Gi, but limit is 2Gi", "WaitingForQuota"),
        (f"Error creating: {POD}minimum cpu usage per Pod is 1, but request is 100m", "WaitingForQuota"),
        (f'Error creating: {POD}violates PodSecurity "restricted:latest": host namespaces', "Forbidden"),
        ("Error creating: admission webhook \"deny.example.com\" denied the request: no", "Forbidden"),
        (f"Error creating: {POD}ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no GPUs at night", "Forbidden"),
        (f'Error creating: {POD}error looking up service account team/default: serviceaccount "default" not found', "Forbidden"),
        (f"Error creating: {POD}no PriorityClass with name high was found", "Forbidden"),
        ('Error creating: Pod "t-train-1-0-abcde" is invalid: spec.tolerations: Invalid value', "Rejected"),
    ],
)  # fmt: skip
def test_a_refusal_is_named_by_its_words(words: str, reason: str) -> None:
    assert (refused(words).reason, refused(words).message) == (reason, words)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found", "VolumeNotMounted"),
        ("0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind.", "VolumeNotMounted"),
        ("0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) had volume node affinity conflict.", "VolumeNotMounted"),
        ('0/1 nodes are available: persistentvolumeclaim "models" is being deleted. not found', "VolumeNotMounted"),
        ("0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate", "WaitingForCapacity"),
        ("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had volume node affinity conflict.", "WaitingForCapacity"),
        ("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", "WaitingForCapacity"),
        ("", "WaitingForCapacity"),
    ],
)  # fmt: skip
def test_a_claim_that_no_node_can_help_is_no_lack_of_nodes(words: str, reason: str) -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    (found,) = unplaced([{"status": {"conditions": [condition]}}])
    assert (found.reason, found.message) == (reason, words or "the scheduler gives no message")


def test_of_a_jobs_events_only_refusals_count_the_newest_first() -> None:
    events = [Warning("Unrelated", "x"), Warning("FailedCreate", "new"), Warning("FailedCreate", "old")]
    assert [found.message for found in refused_by_events(events)] == ["new", "old"]


def waiting(reason: str, message: str = "", kind: str = "containerStatuses") -> dict[str, Any]:
    return {"status": {kind: [{"name": "c", "image": "a/b:1", "state": {"waiting": {"reason": reason, "message": message}}}]}}  # fmt: skip


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
@pytest.mark.parametrize("kind", ["containerStatuses", "initContainerStatuses"])
def test_an_image_that_does_not_come_is_told(reason: str, kind: str) -> None:
    (found,) = unstarted([waiting(reason, "not found", kind)])
    told = "ErrImagePull" if reason == "ImagePullBackOff" else reason
    assert (found.reason, found.message) == (reasons.IMAGE_PULL_FAILED, f"{told}: not found")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ErrImagePull", "failed to resolve reference: not found"),
        ("ImagePullBackOff", 'Back-off pulling image "a/b:1": ErrImagePull: failed to resolve reference: not found'),
    ],
)
def test_an_image_is_told_in_the_same_words_while_the_kubelet_tries_and_while_it_waits(
    reason: str, message: str
) -> None:
    (found,) = unstarted([waiting(reason, message)])
    assert found.message == "ErrImagePull: failed to resolve reference: not found"


def test_a_back_off_without_a_cause_names_the_image() -> None:
    (found,) = unstarted([waiting("ImagePullBackOff", 'Back-off pulling image "a/b:1"')])
    assert found.message == "ErrImagePull: a/b:1"


@pytest.mark.parametrize("reason", ["CreateContainerConfigError", "CreateContainerError"])
def test_what_a_container_refers_to_and_is_not_there_is_told(reason: str) -> None:
    (found,) = unstarted([waiting(reason, 'secret "hub" not found')])
    assert (found.reason, found.message) == (reasons.CONFIGURATION_MISSING, f'{reason}: secret "hub" not found')


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "CrashLoopBackOff", ""])
def test_what_is_on_its_way_or_has_run_is_no_obstacle(reason: str) -> None:
    assert list(unstarted([waiting(reason)])) == []


def test_the_scheduler_is_quoted() -> None:
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    gated = {**unschedulable, "reason": "SchedulingGated"}
    pods: list[dict[str, Any]] = [
        {"status": {"conditions": [gated]}},
        {"status": {"conditions": [unschedulable]}},
        {"status": {}},
    ]
    assert [found.message for found in unplaced(pods)] == ["0/1 nodes"]


@pytest.mark.parametrize("reason", ["FailedMount", "FailedAttachVolume", "FailedMapVolume"])
def test_a_volume_that_is_not_mounted_is_told(reason: str) -> None:
    (found,) = unmounted([Warning("BackOff", "x"), Warning(reason, "timed out")])
    assert (found.reason, found.message) == (reasons.VOLUME_NOT_MOUNTED, f"{reason}: timed out")


def init_container(state: dict[str, Any], restarts: int = 2, **more: Any) -> dict[str, Any]:
    """A pod whose init container ended with code 3 at its last try."""
    last = {"terminated": {"exitCode": 3, "message": "no route"}}
    told = {"name": "proxy", "state": state, "lastState": last, "restartCount": restarts, **more}
    return {"status": {"initContainerStatuses": [told]}}


@pytest.mark.parametrize(
    "state",
    [{"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}, {"running": {}}, {"terminated": {"exitCode": 3}}],
)  # fmt: skip
def test_an_init_container_that_fails_again_and_again_is_told_in_the_same_words(state: dict[str, Any]) -> None:
    (found,) = uninitialized([init_container(state)])
    assert (found.reason, found.message) == (
        "InitContainerFailed",
        "init container proxy ends with exit code 3: no route",
    )


@pytest.mark.parametrize(
    "pod",
    [
        init_container({"running": {}}, restarts=1),
        init_container({"running": {}}, started=True),
        init_container({"terminated": {"exitCode": 0}}),
    ],
)
def test_an_init_container_that_came_through_is_nothing_to_tell(pod: dict[str, Any]) -> None:
    assert list(uninitialized([pod])) == []
