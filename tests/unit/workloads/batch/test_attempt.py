"""What an attempt's record becomes from what is seen, and what attempts leave behind, whatever their pods run."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.common.attempts import AttemptStatus
from deepseek_operator.workloads.batch.attempt import (
    identified,
    is_over,
    is_replaced,
    next_number,
    observed,
    start_deadline,
    timed_out,
)
from deepseek_operator.workloads.batch.gang import COMPLETION_INDEX, Gang
from deepseek_operator.workloads.batch.job import LAST_NUMBER
from deepseek_operator.workloads.batch.leftover import loose, strays, superseded
from deepseek_operator.workloads.batch.program import Program

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AT = "2026-01-01T00:00:00Z"
READER = Program("reader")
ATTEMPT = AttemptStatus(number=1, job="x-1", digest="d", job_uid="j")


def a_pod(rank: int, state: dict[str, Any] | None = None, phase: str = "Running", **meta: Any) -> dict[str, Any]:
    containers = [{"name": "reader", "state": state}] if state is not None else []
    return {
        "metadata": {"name": f"p-{rank}", "uid": f"u{rank}", "annotations": {COMPLETION_INDEX: str(rank)}, **meta},
        "spec": {"nodeName": "n"},
        "status": {"phase": phase, "containerStatuses": containers},
    }


def a_job(number: int, *conditions: str) -> dict[str, Any]:
    told = [{"type": condition, "status": "True"} for condition in conditions]
    return {"metadata": {"name": f"x-{number}", "uid": f"j{number}"}, "spec": {}, "status": {"conditions": told}}


def gang(*pods: dict[str, Any], job: dict[str, Any] | None = None) -> Gang:
    return Gang(job, pods, READER.container)


@pytest.mark.parametrize(
    ("used", "following"),
    [((), 1), ((0,), 1), ((3, 1, 2), 4), ((0, 999), 1000), ((2**31, 2, -1), 3), ((LAST_NUMBER, 1), LAST_NUMBER - 1)],
)
def test_no_number_is_used_twice(used: Sequence[int], following: int) -> None:
    assert next_number(used) == following


def test_a_living_job_tells_the_settings_that_it_was_made_from() -> None:
    new = AttemptStatus(number=1, job="x-1", digest="edited")
    assert identified(new, gang(job=a_job(1)), "made") == new.model_copy(update={"job_uid": "j1", "digest": "made"})
    assert identified(new, gang(job=a_job(1)), "") == new.model_copy(update={"job_uid": "j1"})
    assert identified(new, gang(), "") is None


def test_a_job_that_is_gone_already_is_known_by_its_pods() -> None:
    controller = {"kind": "Job", "name": "x-1", "uid": "j9", "controller": True}
    new = AttemptStatus(number=1, job="x-1", digest="d")
    found = identified(new, gang(a_pod(0, ownerReferences=[controller])), "")
    assert found is not None
    assert (found.job_uid, found.digest) == ("j9", "d")


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ((), {}),
        ((a_pod(1),), {}),
        ((a_pod(0),), {"incarnation": "u0"}),
        ((a_pod(0), a_pod(1)), {"incarnation": "u0", "placed_at": AT, "running_at": AT}),
        ((a_pod(0), a_pod(1, phase="Pending")), {"incarnation": "u0", "placed_at": AT}),
    ],
)
def test_what_will_be_gone_is_written_down_while_it_is_seen(
    pods: tuple[dict[str, Any], ...], expected: dict[str, object]
) -> None:
    found = observed(ATTEMPT, gang(*pods), 2, NOW, READER)
    assert found == (ATTEMPT.model_copy(update=expected) if expected else None)


def test_what_pods_do_once_we_end_them_is_no_failure() -> None:
    crashed = a_pod(0, {"terminated": {"exitCode": 1, "finishedAt": AT}}, phase="Failed")
    known = ATTEMPT.model_copy(update={"incarnation": "u0"})
    found = observed(known, gang(crashed), 2, NOW, READER)
    assert found is not None
    assert [failure.cause for failure in found.failures] == ["Error"]
    assert observed(known.model_copy(update={"stopping": "Suspended"}), gang(crashed), 2, NOW, READER) is None


def test_a_start_is_timed_from_when_all_were_placed_until_all_ran() -> None:
    placed = ATTEMPT.model_copy(update={"placed_at": AT})
    assert start_deadline(ATTEMPT, 60) is None
    assert start_deadline(placed, 60) == NOW + timedelta(seconds=60)
    assert start_deadline(placed.model_copy(update={"running_at": AT}), 60) is None
    late = timed_out(placed, "x" * 2000, NOW, READER)
    assert (late.stopping, [(f.cause, len(f.message)) for f in late.failures]) == (
        "StartTimeout",
        [("StartTimeout", 1024)],
    )


def test_a_gang_is_over_with_its_job_or_when_all_of_its_pods_are_given_up() -> None:
    living = (a_pod(0), a_pod(1))
    assert is_over(gang(*living), lambda pod: False)
    assert is_over(gang(*living, job=a_job(1, "Failed")), lambda pod: False)
    assert is_over(gang(*living, job=a_job(1)), lambda pod: True)
    assert not is_over(gang(*living, job=a_job(1)), lambda pod: pod is living[0])
    assert not is_over(gang(job=a_job(1)), lambda pod: True), "its pods are not made yet"


def test_a_rank_0_that_was_made_anew_is_another_incarnation() -> None:
    known = ATTEMPT.model_copy(update={"incarnation": "u0"})
    assert not is_replaced(ATTEMPT, gang(a_pod(0)))
    assert not is_replaced(known, gang(a_pod(0)))
    assert not is_replaced(known, gang(a_pod(1)))
    assert is_replaced(known, gang({**a_pod(0), "metadata": {**a_pod(0)["metadata"], "uid": "other"}}))


def test_the_newest_failed_job_and_the_current_one_are_kept_for_their_logs() -> None:
    jobs = [a_job(1, "Failed"), a_job(2, "Complete"), a_job(3, "FailureTarget"), a_job(4)]
    assert superseded(jobs, 4) == jobs[:2]
    assert superseded(jobs, 0) == [jobs[0], jobs[1], jobs[3]]
    assert strays(jobs, 4) == []
    assert strays(jobs, 5) == [jobs[3]]


def test_only_pods_without_a_job_are_loose() -> None:
    held = a_pod(1, ownerReferences=[{"kind": "Job", "name": "x-1", "uid": "j", "controller": True}])
    assert loose([a_pod(0), held]) == [a_pod(0)]
