"""What the API server's refusals mean, and that the others pass by themselves."""

import pytest

from deepseek_operator.core.actions import Create, Failure, Reason
from deepseek_operator.workloads.refusal import Refusal, refusal


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("Quota", Refusal("WaitingForQuota", "words")),
        ("Forbidden", Refusal("Forbidden", "words")),
        ("Rejected", Refusal("Rejected", "words", is_final=True)),
        ("NotServed", Refusal("WaitingForAPI", "words")),
        ("Conflict", None),
        ("Throttled", None),
        ("Failed", None),
    ],
)
def test_only_what_somebody_must_answer_is_told(reason: Reason, expected: Refusal | None) -> None:
    assert refusal(Failure(Create({}), reason, "words")) == expected


def test_no_failure_is_no_refusal() -> None:
    assert refusal(None) is None
