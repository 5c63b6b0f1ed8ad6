"""Which log tells why."""

from typing import Any

import pytest

from deepseek_operator.cli.shown.failing import Chosen, chosen, lost, named
from deepseek_operator.core.kinds import Failed

EARLY, LATE = "2026-01-01T00:00:01Z", "2026-01-01T00:00:09Z"


def pod(name: str, attempt: int = 1, *, rank: int = 0, **status: Any) -> dict[str, Any]:
    labels = {"deepseek-operator.io/attempt": str(attempt), "batch.kubernetes.io/job-completion-index": str(rank)}
    metadata = {"name": name, "labels": labels}
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "trainer"}]}, "status": status}


def ended(code: int, at: str, where: str = "state", container: str = "trainer") -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": at}}
    return {"containerStatuses": [{"name": container, where: state}]}


def test_the_earliest_end_is_the_cause() -> None:
    pods = [pod("a", **ended(1, LATE)), pod("b", rank=1, **ended(137, EARLY))]
    because = "it failed first of 2 that failed in attempt 1: Error, exit code 137"
    assert chosen(pods, ()) == Chosen("b", "trainer", False, because)


def test_what_the_operator_recorded_comes_before_the_clocks_of_nodes() -> None:
    pods = [pod("a", **ended(1, LATE)), pod("b", rank=1, **ended(137, EARLY))]
    assert chosen(pods, [Failed(1, "a", ""), Failed(1, "b", "")]).pod == "a"
    assert chosen(pods, [Failed(2, "a", "")]).pod == "b", "that of another attempt says nothing"


def test_a_worker_that_saved_because_it_was_told_to_is_no_cause() -> None:
    pods = [pod("a", **ended(75, EARLY)), pod("b", rank=1, **ended(1, LATE))]
    assert chosen(pods, ()).pod == "b"


def test_the_newest_attempt_that_has_a_failure_is_read_and_any_can_be_asked_for() -> None:
    pods = [pod("old", 1, **ended(1, EARLY)), pod("failed", 2, **ended(1, EARLY)), pod("runs", 3, phase="Running")]
    assert chosen(pods, ()).pod == "failed"
    assert chosen(pods, (), attempt=1).pod == "old"
    assert chosen(pods, (), attempt=3) == Chosen(
        "runs", "trainer", False, "no pod has failed in attempt 3; it is the first one"
    )


def test_without_a_failure_the_first_rank_of_the_newest_attempt_is_read() -> None:
    pods = [pod("c", 2, rank=10), pod("b", 2, rank=2), pod("z", 1)]
    assert chosen(pods, ()).pod == "b"


def test_a_container_that_was_started_again_has_its_failure_in_the_log_before() -> None:
    found = chosen([pod("a", **ended(1, EARLY, "lastState"))], ())
    assert found.previous


def test_the_container_that_ended_is_read_whatever_its_name() -> None:
    assert chosen([pod("a", **ended(1, EARLY, container="prepare"))], ()).container == "prepare"


def test_an_evicted_pod_says_so_itself() -> None:
    found = chosen([pod("a", phase="Failed", reason="Evicted")], ())
    assert (found.container, found.because) == ("trainer", "it failed first in attempt 1: Evicted")


def test_pods_that_are_gone_are_told_in_the_statuss_words() -> None:
    recorded = [Failed(2, "a", "NodeLost."), Failed(2, "b", "PodDeleted."), Failed(1, "", "OOMKilled. 8 Gi")]
    assert list(lost([pod("b", 2)], recorded)) == [
        "a failed first in attempt 2 and is gone: NodeLost.",
        "the pods of attempt 1 are gone: OOMKilled. 8 Gi",
    ]
    assert list(lost([pod("a", 2), pod("z", 1)], recorded)) == [], "that of b is what became of the first"


def test_an_attempt_without_pods_is_refused_with_those_that_are_kept() -> None:
    with pytest.raises(ValueError, match="no pod of attempt 1 is kept, those of 2 are; it ended so: OOMKilled"):
        chosen([pod("b", 2)], [Failed(1, "", "OOMKilled. 8 Gi")], attempt=1)
    with pytest.raises(ValueError, match="it has no pod"):
        chosen([], ())


def test_a_pod_can_be_named() -> None:
    assert named([pod("a")], "a").pod == "a"
    with pytest.raises(ValueError, match="it has no pod b; there are a"):
        named([pod("a")], "b")
