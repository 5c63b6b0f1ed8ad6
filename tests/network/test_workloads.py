"""Pods with the labels and ports of trainings and servings, on a network that enforces: real connections between all of them.

What the chart's policies and a gang's own let through is held to tests/support/flows.py twice: to the table of
docs/security.md, and to its judge, by which tests/api_server/test_workload_policies.py looks at them without a network.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from examples.local_cluster.api import Manifest
from tests.network.peers import PODS, Reached, moved, namespace, settled, standing
from tests.support.flows import ENDS, FLOWS, Flow, is_let_through
from tests.support.kubectl import Kubectl
from tests.support.workload_policies import GANG, policies

pytestmark = pytest.mark.timeout(600)
TRIED = (22, 53, 443, 5000, 8000, 8001, 8002, 8080, 8081, 8090, 29500, 29501)

GANGS = ("another rank of its gang", "fetch")
"""Pods of the rank's own training."""

Addresses = Mapping[str, str]


@pytest.fixture(scope="module")
def addresses(kubectl: Kubectl) -> Iterator[Addresses]:
    with standing(kubectl, TRIED) as found:
        yield found


def _pairs() -> Iterator[Reached]:
    for sender in PODS:
        for receiver in ENDS:
            if sender != receiver:
                yield from ((sender, receiver, port, "TCP") for port in TRIED)
        if sender != "DNS":
            yield sender, "DNS", 53, "UDP"


def test_without_policies_everybody_reaches_everybody(kubectl: Kubectl, addresses: Addresses) -> None:
    """What is refused below is refused by a policy, and not by a port at which nobody listens."""
    assert settled(kubectl, addresses, TRIED, set(_pairs())) == set(_pairs())


def _holds(kubectl: Kubectl, addresses: Addresses, made: Sequence[Manifest]) -> set[Reached]:
    """What is reached under these policies alone, once the network does as the judge says, or would have had to."""
    team = kubectl.within(namespace("team-a"))
    team.run("delete", "networkpolicies", "--all")
    team.apply("\n---\n".join(json.dumps(one) for one in moved(made)))
    wanted = {pair for pair in _pairs() if is_let_through(made, Flow(*pair[:3], "", pair[3]))}
    found = settled(kubectl, addresses, TRIED, wanted)
    assert sorted(found - wanted) == [], "made against the policies"
    assert sorted(wanted - found) == [], "refused against the policies"
    return found


def test_the_network_lets_through_what_the_table_lists_and_the_judge_allows(
    kubectl: Kubectl, addresses: Addresses, say: Callable[[str], None]
) -> None:
    found = _holds(kubectl, addresses, policies())
    say(f"under all policies {len(found)} of {len(set(_pairs()))} connections were made")
    listed = {(one.sender, one.receiver, one.port, one.protocol) for one in FLOWS}
    assert listed - found == set()


def test_a_gang_is_closed_where_its_own_policy_is_the_only_one(
    kubectl: Kubectl, addresses: Addresses, say: Callable[[str], None]
) -> None:
    own = [one for one in policies() if one["metadata"]["name"] == GANG]
    found = _holds(kubectl, addresses, own)
    say(f"under a gang's own policy {len(found)} of {len(set(_pairs()))} connections were made")
    to_rank = {(sender, port) for sender, receiver, port, _ in found if receiver == "rank"}
    assert {port for sender, port in to_rank if sender not in GANGS} == {8090}
    assert ("another rank of its gang", 29500) in to_rank
    assert ("another rank of its gang", 29501) in to_rank
