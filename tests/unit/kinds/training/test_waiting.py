"""A gang that does not come is told with the reason, as a warning, and only while it does not come."""

from typing import Any

import pytest

from deepseek_operator.core.resources import JOB, POD
from deepseek_operator.core.seen import Warning
from deepseek_operator.kinds.training.reasons import ADVICE, Reason
from deepseek_operator.ports.cluster import Forbidden
from tests.support.trainings import NAMESPACE, Life

QUOTA = Warning("FailedCreate", 'Error creating: pods "t" is forbidden: failed quota: team: must specify limits.cpu')


def advised(reason: str, words: str) -> str:
    return f"{words}. {ADVICE[Reason(reason)]}"


def without_pods(*warnings: Warning) -> Life:
    """A training whose Job makes no pod, and tells `warnings`."""
    life = Life()
    life.world.run_job_controller = lambda: None  # type: ignore[method-assign]
    life.begin()
    (job,) = life.cluster.all(JOB)
    life.cluster.warnings[job["metadata"]["uid"]] = warnings
    return life


def test_the_jobs_own_words_are_quoted_once_its_pods_are_late() -> None:
    life = without_pods(QUOTA)
    assert life.told == ("Reconciling", "Starting")
    assert life.cluster.reads["warnings"] == 0
    life.later(3)
    assert (life.told, life.message) == (("Reconciling", "WaitingForQuota"), advised("WaitingForQuota", QUOTA.note))
    (event,) = [event for _, event in life.cluster.events if event.reason == "WaitingForQuota"]
    assert (event.type, event.note) == ("Warning", life.message)
    assert life.owner.status.phase == "Pending"


def test_a_job_that_tells_nothing_is_told_as_such() -> None:
    life = without_pods().later(3)
    assert (life.told, "nothing says why" in life.message) == (("Reconciling", "Starting"), True)


def others_ask(life: Life, times: int) -> None:
    """Other trainings of the namespace read so many events."""
    for _ in range(times):
        life.operator.look._warnings.reserve(NAMESPACE, life.clock.monotonic())


def test_events_of_a_namespace_are_read_so_often_and_what_was_not_read_is_not_made_up() -> None:
    """The API server decodes all events of a namespace for each read, so a wave must not read them once for each of its
    trainings."""
    life = without_pods(QUOTA)
    others_ask(life, 100)
    life.later(3)
    assert (life.told, "nothing says why" in life.message) == (("Reconciling", "Starting"), False)
    assert life.later(30).told == ("Reconciling", "WaitingForQuota")
    others_ask(life, 400)
    asked = life.cluster.reads["warnings"]
    assert life.later(30).told == ("Reconciling", "WaitingForQuota")
    assert life.cluster.reads["warnings"] == asked


def test_once_pods_come_nothing_is_asked_any_more() -> None:
    life = without_pods(QUOTA).later(3)
    del life.world.run_job_controller
    life.turn().running()
    asked = life.cluster.reads["warnings"]
    assert (life.later(60).told, life.cluster.reads["warnings"]) == (("Ready", "Running"), asked)


def test_events_that_may_not_be_read_stop_nothing() -> None:
    life = without_pods(QUOTA)

    async def refuse(namespace: str, uid: str) -> Any:
        raise Forbidden("events is forbidden")

    life.cluster.list_warnings = refuse  # type: ignore[method-assign]
    assert life.later(3).told == ("Reconciling", "Starting")


@pytest.mark.parametrize(
    ("reason", "message", "told"),
    [
        ("ErrImagePull", "dial tcp: no such host", "ImagePullFailed"),
        ("InvalidImageName", "couldn't parse", "ImagePullFailed"),
        ("CreateContainerConfigError", 'secret "hub" not found', "ConfigurationMissing"),
    ],
)
def test_what_the_kubelet_can_not_start_is_told_with_the_reasons_of_servings(
    reason: str, message: str, told: str
) -> None:
    life = Life().begin(nodes={"count": 1})
    status = {"name": "trainer", "state": {"waiting": {"reason": reason, "message": message}}}
    life.world.schedule(life.pod(0))
    life.world.kubelet(life.pod(0), lambda live: live["status"].update(containerStatuses=[status]))
    assert (life.turn().told, life.message) == (("Reconciling", told), advised(told, f"{reason}: {message}"))
    assert [event.type for _, event in life.cluster.events if event.reason == told] == ["Warning"]


def test_a_sidecar_that_crashes_before_the_trainer_begins_is_told() -> None:
    life = Life().begin(nodes={"count": 1})
    last = {"terminated": {"exitCode": 1, "message": "no route"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting"}}
    status = {"name": "mesh", "state": waiting, "lastState": last, "restartCount": 3}
    life.world.schedule(life.pod(0))
    life.world.kubelet(life.pod(0), lambda live: live["status"].update(initContainerStatuses=[status]))
    assert life.turn().told == ("Reconciling", "InitContainerFailed")
    assert [event.type for _, event in life.cluster.events if event.reason == "InitContainerFailed"] == ["Warning"]


def test_a_gang_without_a_node_is_pending_and_warned_of() -> None:
    life = Life().begin(nodes={"count": 1})
    life.world.unschedulable(life.pod(0))
    assert (life.turn().told, life.owner.status.phase) == (("Reconciling", "WaitingForCapacity"), "Pending")
    assert [event.type for _, event in life.cluster.events if event.reason == "WaitingForCapacity"] == ["Warning"]


def test_a_claim_that_is_still_being_made_is_no_lack_of_nodes() -> None:
    life = Life().begin(nodes={"count": 1})
    words = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    life.world.unschedulable(life.pod(0), words)
    assert (life.turn().told, life.owner.status.phase) == (("Reconciling", "Starting"), "Starting")
    life.later(30)
    assert (life.told, life.message) == (("Reconciling", "VolumeNotMounted"), advised("VolumeNotMounted", words))
    assert [event.reason for _, event in life.cluster.events if event.type == "Warning"] == ["VolumeNotMounted"]


def test_a_volume_that_is_not_mounted_is_asked_for_when_it_is_late() -> None:
    life = Life().begin(nodes={"count": 1})
    life.world.schedule(life.pod(0))
    unready = {"type": "PodReadyToStartContainers", "status": "False"}
    life.world.kubelet(life.pod(0), lambda live: live["status"].setdefault("conditions", []).append(unready))
    life.cluster.warnings[life.pod(0)["metadata"]["uid"]] = [Warning("FailedAttachVolume", "Multi-Attach error")]
    assert life.turn().told == ("Reconciling", "Starting")
    life.later(30)
    assert (life.told, life.message) == (
        ("Reconciling", "VolumeNotMounted"),
        advised("VolumeNotMounted", "FailedAttachVolume: Multi-Attach error"),
    )
    assert life.cluster.all(POD)[0]["metadata"]["namespace"] == NAMESPACE
