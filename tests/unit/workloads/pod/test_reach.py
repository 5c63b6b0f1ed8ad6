"""What a pod reaches of its node is found by what is rendered, in any container."""

import pytest

from deepseek_operator.workloads.pod.reach import asked
from tests.support.pod_escapes import ESCAPES, restricted_pod


@pytest.mark.parametrize("escape", ESCAPES)
def test_every_way_out_of_the_restricted_standard_is_found(escape: str) -> None:
    assert asked(restricted_pod(ESCAPES[escape])) != ()


def test_a_restricted_pod_asks_nothing_of_its_node() -> None:
    assert asked(restricted_pod({})) == ()
