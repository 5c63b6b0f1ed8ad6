"""Which cause is the first, and what a gang's causes add up to."""

from datetime import UTC, datetime
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.common.attempts import PodFailure
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.workloads.batch import verdict
from deepseek_operator.workloads.batch.gang import Gang
from deepseek_operator.workloads.batch.program import Exit, Program
from deepseek_operator.workloads.batch.verdict import MAX_FAILURES, first_cause, outcome, telling
from deepseek_runtime.launcher import accord

NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)


def at(seconds: int) -> str:
    return f"2026-01-01T00:00:{seconds:02}Z"


def a_pod(**parts: Any) -> dict[str, Any]:
    """A pod with an exit at second 20 (`exit_code`), a DisruptionTarget (`disrupted`), a deletion asked for (`deleted`)."""
    status: dict[str, Any] = {"phase": parts.get("phase", "Running")}
    metadata: dict[str, Any] = {"name": "p-0"}
    if "exit_code" in parts:
        terminated = {"exitCode": parts["exit_code"], "reason": parts.get("reason", "Error"), "finishedAt": at(20)}
        status |= {"phase": "Failed", "containerStatuses": [{"name": "trainer", "state": {"terminated": terminated}}]}
    if "disrupted" in parts:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
        status["conditions"] = [{**condition, "lastTransitionTime": at(parts["disrupted"])}]
    if "deleted" in parts:
        metadata |= {"deletionTimestamp": at(parts["deleted"] + 30), "deletionGracePeriodSeconds": 30}
    return {"metadata": metadata, "status": status}


@pytest.mark.parametrize(
    ("pod", "cause", "disruption", "moment"),
    [
        (a_pod(exit_code=1), "Error", False, 20),
        (a_pod(exit_code=137, reason="OOMKilled"), "OOMKilled", False, 20),
        (a_pod(exit_code=128, reason="StartError"), "StartError", False, 20),
        (a_pod(exit_code=64), "InvalidConfiguration", False, 20),
        (a_pod(exit_code=75), "SavedAndStopped", True, 20),
        (a_pod(exit_code=73), "CheckpointVolumeFull", True, 20),
        (a_pod(exit_code=76), "Stalled", False, 20),
        (a_pod(deleted=10), "PodDeleted", True, 10),
        (a_pod(exit_code=75, deleted=10), "PodDeleted", True, 10),
        (a_pod(exit_code=1, deleted=25), "Error", False, 20),
        (a_pod(exit_code=143, disrupted=15), "EvictionByEvictionAPI", True, 15),
        (a_pod(disrupted=15, deleted=16), "EvictionByEvictionAPI", True, 15),
    ],
)
def test_the_first_cause_of_a_pod_is_the_earliest(
    pod: dict[str, Any], cause: str, disruption: bool, moment: int
) -> None:
    found = first_cause(pod, NOW, TRAINER)
    assert found is not None
    assert (found.cause, found.disruption, found.at) == (cause, disruption, at(moment))


@pytest.mark.parametrize("pod", [a_pod(), a_pod(phase="Succeeded", deleted=10), a_pod(exit_code=0)])
def test_a_pod_that_runs_or_has_succeeded_has_no_cause(pod: dict[str, Any]) -> None:
    if pod["status"]["phase"] == "Failed":
        pod["status"]["phase"] = "Succeeded"
    assert first_cause(pod, NOW, TRAINER) is None


@pytest.mark.parametrize("disturbed", [{"disrupted": 21}, {"deleted": 25}, {"disrupted": 21, "deleted": 22}])
@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Running"])
def test_what_had_ended_well_before_its_pod_was_evicted_is_no_disruption(disturbed: dict[str, int], phase: str) -> None:
    """A rank that is done earlier than its peers, whose pod a drain takes meanwhile; the kubelet may call it Failed."""
    pod = a_pod(exit_code=0, **disturbed)
    pod["status"]["phase"] = phase
    assert first_cause(pod, NOW, TRAINER) is None


@pytest.mark.parametrize("second", [15, 20])
def test_what_ends_with_0_once_it_is_evicted_is_a_disruption(second: int) -> None:
    """Programs of others end so when they are told to."""
    found = first_cause(a_pod(exit_code=0, disrupted=second), NOW, TRAINER)
    assert found is not None
    assert (found.cause, found.disruption) == ("EvictionByEvictionAPI", True)


def test_a_container_that_another_put_into_the_pod_is_not_asked() -> None:
    pod = a_pod(exit_code=64)
    injected = {"name": "istio-proxy", "state": {"terminated": {"exitCode": 0, "finishedAt": at(19)}}}
    (own,) = pod["status"]["containerStatuses"]
    pod["status"]["containerStatuses"] = [injected, {**own, "name": "trainer"}]
    found = first_cause(pod, NOW, TRAINER)
    assert found is not None
    assert (found.cause, found.exit_code) == ("InvalidConfiguration", 64)


def test_a_pod_that_the_kubelet_failed_without_a_container_is_a_disruption() -> None:
    pod = {"metadata": {"name": "p"}, "status": {"phase": "Failed", "reason": "UnexpectedAdmissionError"}}
    found = first_cause(pod, NOW, TRAINER)
    assert found is not None
    assert (found.cause, found.disruption) == ("UnexpectedAdmissionError", True)


def failed_before(code: int, message: str = "", **status: Any) -> dict[str, Any]:
    """A pod whose second init container ended with `code`: the trainer never began."""
    ended = [{"exitCode": 0}, {"exitCode": code, "message": message, "finishedAt": at(20)}]
    inits = [{"name": f"init-{i}", "state": {"terminated": state}} for i, state in enumerate(ended)]
    waiting = {"name": "trainer", "state": {"waiting": {"reason": "PodInitializing"}}}
    told = {"phase": "Failed", "initContainerStatuses": inits, "containerStatuses": [waiting]}
    return {"metadata": {"name": "p"}, "status": {**told, **status}}


@pytest.mark.parametrize("code", [1, 127, 137])
def test_an_init_container_that_fails_is_a_crash_and_named(code: int) -> None:
    found = first_cause(failed_before(code, "iptables: no rights"), NOW, TRAINER)
    assert found is not None
    assert (found.cause, found.disruption, found.exit_code) == ("InitContainerFailed", False, code)
    assert (found.message, found.at) == ("init container init-1: iptables: no rights", at(20))


def test_an_init_container_that_was_evicted_with_its_pod_is_a_disruption() -> None:
    found = first_cause(failed_before(137, reason="Evicted"), NOW, TRAINER)
    assert found is not None
    assert (found.cause, found.disruption) == ("Evicted", True)


def failure(cause: str, second: int, disruption: bool = False) -> PodFailure:
    return PodFailure(pod=f"p{second}", cause=cause, disruption=disruption, at=at(second))


def exited(pod: str, code: int, second: int) -> PodFailure:
    return PodFailure(pod=pod, cause="Error", exit_code=code, at=at(second))


def a_job(
    failed_at: int | None = 12, kind: str = "Failed", reason: str = "BackoffLimitExceeded", message: str = ""
) -> Any:
    if failed_at is None:
        return None
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {"status": {"conditions": [{**condition, "lastTransitionTime": at(failed_at)}]}}


def gang(job: Any) -> Gang:
    return Gang(job, (), TRAINER.container)


CRASH, EVICTED = failure("Error", 10), failure("EvictionByEvictionAPI", 30, True)


@pytest.mark.parametrize(
    ("failures", "job", "stopping", "expected"),
    [
        ([CRASH], a_job(), None, ("Crash", "Error")),
        ([CRASH, EVICTED], a_job(), None, ("Disruption", "EvictionByEvictionAPI")),
        ([CRASH, failure("PodDeleted", 13, True)], a_job(12), None, ("Crash", "Error")),
        ([failure("PodDeleted", 9, True), CRASH], a_job(12), None, ("Disruption", "PodDeleted")),
        ([failure("PodDeleted", 12, True)], a_job(12), None, ("Disruption", "PodDeleted")),
        ([CRASH, failure("PodDeleted", 13, True)], a_job(None), None, ("Crash", "Error")),
        ([failure("SavedAndStopped", 20, True), CRASH], a_job(), None, ("Disruption", "SavedAndStopped")),
        ([EVICTED, failure("InvalidConfiguration", 10)], a_job(), None, ("Invalid", "InvalidConfiguration")),
        ([], a_job(None), None, ("Disruption", "JobDeleted")),
        ([], a_job(), None, ("Crash", "BackoffLimitExceeded")),
        (
            [],
            a_job(12, "Failed", "PodFailurePolicy", "Pod a/b has condition DisruptionTarget matching FailJob rule"),
            None,
            ("Disruption", "DisruptionTarget"),
        ),
        ([CRASH], a_job(12, "Complete"), None, ("Complete", "Complete")),
        ([CRASH], a_job(None), "Suspended", ("Stopped", "Suspended")),
        ([], a_job(12, "Complete"), "Suspended", ("Complete", "Complete")),
        ([failure("StartTimeout", 10)], a_job(None), "StartTimeout", ("Crash", "StartTimeout")),
    ],
)
def test_the_verdict_follows_the_root_cause(
    failures: list[PodFailure], job: Any, stopping: str | None, expected: tuple[str, str]
) -> None:
    verdict, cause = outcome(gang(job), failures, stopping, TRAINER)
    assert (verdict, cause.cause) == expected


@pytest.mark.parametrize(
    ("failures", "pod"),
    [
        ([exited("p0", 1, 10), exited("p1", 137, 10)], "p1"),
        ([exited("p0", 1, 10), exited("p1", 139, 12)], "p1"),
        ([exited("p0", 1, 10), exited("p1", 137, 13)], "p0"),
        ([exited("p0", 1, 10), exited("p1", 134, 10)], "p0"),
        ([exited("p0", 137, 10), exited("p1", 137, 11)], "p0"),
        ([exited("p1", 137, 11), failure("PodDeleted", 10, True)], "p10"),
    ],
)
def test_of_crashes_at_one_moment_the_cause_is_the_one_that_no_peer_can_have_caused(
    failures: list[PodFailure], pod: str
) -> None:
    assert outcome(gang(a_job()), failures, None, TRAINER)[1].pod == pod


PEERS_END = "RuntimeError: [pair.cc:553] Connection closed by peer [10.0.0.2]:4321"


@pytest.mark.parametrize(
    ("p0", "p1", "pod"),
    [
        ((10, PEERS_END), (10, "ValueError: no such column"), "p1"),
        ((10, PEERS_END), (12, "ValueError: no such column"), "p1"),
        ((10, PEERS_END), (13, "ValueError: no such column"), "p0"),
        ((10, PEERS_END), (11, ""), "p1"),
        ((10, PEERS_END), (11, PEERS_END), "p0"),
        ((10, "ValueError: no such column"), (10, "KeyError: 'text'"), "p0"),
        ((10, "NCCL error: remote process exited"), (10, "KeyError: 'text'"), "p1"),
    ],
)
def test_of_crashes_at_one_moment_the_cause_is_one_that_does_not_speak_of_a_peer(
    p0: tuple[int, str], p1: tuple[int, str], pod: str
) -> None:
    failures = [
        exited(name, 1, second).model_copy(update={"message": said})
        for name, (second, said) in (("p0", p0), ("p1", p1))
    ]
    assert outcome(gang(a_job()), failures, None, TRAINER)[1].pod == pod


def test_launchers_and_operator_tell_causes_from_what_follows_by_the_same_marks() -> None:
    """Neither package imports the other."""
    assert verdict._OF_A_PEER == accord._OF_A_PEER
    assert set(verdict._OWN_DEATHS) == accord._OWN_DEATHS


DECISIVE = [
    (failure("EvictionByEvictionAPI", 12, True), "Disruption"),
    (failure("InvalidConfiguration", 12), "Invalid"),
    (PodFailure(pod="p12", cause="OOMKilled", exit_code=137, at=at(12)), "Crash"),
    (PodFailure(pod="p12", cause="Error", exit_code=1, at=at(12), message="ValueError: no such column"), "Crash"),
]


@pytest.mark.parametrize(("decisive", "verdict"), DECISIVE)
def test_in_a_large_gang_what_decides_is_kept_however_many_peers_follow(decisive: PodFailure, verdict: str) -> None:
    peers = [exited(f"a{number}", 1, 11).model_copy(update={"message": PEERS_END}) for number in range(1000)]
    kept = telling([*peers, decisive], TRAINER)
    assert len(kept) == MAX_FAILURES
    assert [f.at for f in kept] == sorted(f.at for f in kept)
    assert outcome(gang(a_job()), kept, None, TRAINER) == (verdict, decisive)
    left_out = [peer for peer in peers if peer not in kept]
    assert telling([*kept, *left_out], TRAINER) == kept, "or it would be recorded anew in every pass"


READER = Program("reader", {3: Exit("NoSuchRow", is_final=True), 4: Exit("PartDone", is_disruption=True)})
"""Another program than the trainer: its container and its codes are its own."""


@pytest.mark.parametrize(
    ("code", "cause", "verdict"),
    [(3, "NoSuchRow", "Invalid"), (4, "PartDone", "Disruption"), (64, "Error", "Crash"), (75, "Error", "Crash")],
)
def test_what_an_exit_means_is_the_programs_own_table(code: int, cause: str, verdict: str) -> None:
    pod = a_pod(exit_code=code)
    pod["status"]["containerStatuses"][0]["name"] = READER.container
    found = first_cause(pod, NOW, READER)
    assert found is not None
    assert found.cause == cause
    assert outcome(Gang(a_job(), (pod,), READER.container), [found], None, READER) == (verdict, found)


def test_the_document_that_a_container_leaves_says_which_cause_of_its_code_it_was() -> None:
    pod = a_pod(exit_code=64)
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    for said, cause in (
        ('{"result": "Diverged"}', "Diverged"),
        ('{"result": 7}', "InvalidConfiguration"),
        ("Diverged", "InvalidConfiguration"),
    ):
        state["message"] = said
        found = first_cause(pod, NOW, TRAINER)
        assert found is not None
        assert found.cause == cause
        assert outcome(gang(a_job()), [found], None, TRAINER) == ("Invalid", found)
