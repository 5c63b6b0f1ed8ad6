"""What a cluster that enforced policies leaves of its table: nothing where it was alone in it, and everything of others."""

from json import dumps

import pytest

from examples.local_cluster.diversion import is_bare

TABLE = {"table": {"family": "ip", "name": "mangle"}}
CHAIN = {"chain": {"name": "INPUT", "hook": "input", "policy": "accept"}}


@pytest.mark.parametrize(
    ("parts", "bare"),
    [
        ([TABLE, CHAIN], True),
        ([TABLE, CHAIN, {"rule": {"chain": "INPUT"}}], False),
        ([TABLE, {"chain": {**CHAIN["chain"], "policy": "drop"}}], False),
        ([TABLE, {"chain": {"name": "of-somebody-else"}}], False),
    ],
)
def test_a_table_goes_that_holds_nothing_of_others(parts: list[object], bare: bool) -> None:
    assert is_bare(dumps({"nftables": parts})) is bare
