"""What a refusal of the API server means is read from its code and its words."""

import pytest

from deepseek_operator.adapters.answers import refusal
from deepseek_operator.ports.cluster import ClusterError, Fenced, Forbidden, QuotaExceeded, Rejected

WORDS = 'jobs.batch "j" is forbidden: '
POLICY = "ValidatingAdmissionPolicy 'a.b' with binding 'a.b' denied request: "


@pytest.mark.parametrize(
    ("status", "words", "meaning"),
    [
        (403, 'User "x" cannot create resource "jobs"', Forbidden),
        (403, "exceeded quota: gpus", QuotaExceeded),
        (403, f'{POLICY}fenced: the Lease a/b names "one", and this is "two"', Fenced),
        (403, f"{POLICY}fenced off", Forbidden),
        (403, "no such thing as fenced: here", Forbidden),
        (422, f"{POLICY}fenced: by somebody else, as something that can never be stored", Rejected),
    ],
)
def test_a_refusal_by_the_fence_is_told_from_one_by_rights_quotas_and_other_policies(
    status: int, words: str, meaning: type[ClusterError]
) -> None:
    assert type(refusal(status, WORDS + words, None)) is meaning
