"""Policies around pods of trainings and servings: what docs/security.md lists is let through, and nothing else.

Which labels and ports the pods have is asked of what the operator renders; tests/network has a network judge them.
"""

import json
from itertools import product

import pytest

from deepseek_operator.core.names import ATTEMPT_LABEL, ROLE_LABEL
from deepseek_operator.kinds.serving.cache import CACHE_LABEL
from examples.local_cluster.control_plane import Cluster
from tests.support.flows import ENDS, FLOWS, Flow, is_let_through
from tests.support.gitops_states import Canary
from tests.support.trainings import Life
from tests.support.workload_policies import VALUES, policies, rendered

NAMES = {"caches", "exams", "fetches", "ranks", "replicas"}


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: f"{flow.sender} to {flow.receiver} {flow.port}")
def test_what_the_table_lists_is_let_through(flow: Flow) -> None:
    assert is_let_through(policies(), flow)


TRIED = (22, 53, 443, 5000, 8000, 8001, 8002, 8080, 8081, 8090, 29500)
OURS = ("rank", "fetch", "engine", "worker of its replica", "answer cache", "exam")
BESIDES = {
    # A gang's own policy opens it, over all pods of its training: numbers and names of steps alone.
    *((sender, receiver, 8090) for sender in ENDS for receiver in ("rank", "another rank of its gang", "fetch")),
    # What any pod of the namespace may.
    *((sender, "engine", port) for sender in (*OURS, "another rank of its gang") for port in (8000, 8001)),
    *((sender, "answer cache", 8080) for sender in ("client of the namespace",)),
    ("gateway's proxy", "engine", 8001),
    ("Prometheus", "engine", 8000),
    # Anywhere is everywhere, pods included, where `sourcesAt` is empty.
    *(("fetch", receiver, 443) for receiver in ENDS),
}
"""What is let through beside the table, each for a reason that docs/security.md names."""


def test_nothing_else_is_let_through() -> None:
    """Every pair that has one of our pods at an end, over ports that are used for anything."""
    made, listed = policies(), {(one.sender, one.receiver, one.port) for one in FLOWS}
    alike = {"another rank of its gang": "rank"}
    found = set()
    for sender, receiver, port in product(ENDS, ENDS, TRIED):
        if not {sender, receiver} & {*OURS, *alike}:
            continue
        pair = (alike.get(sender, sender), receiver)
        is_listed = (*pair, port) in listed or (alike.get(receiver) and (sender, "rank", port) in listed)
        is_peers = {*pair} <= {"rank", "another rank of its gang"} or {*pair} <= {"engine", "worker of its replica"}
        for protocol in ("TCP", "UDP"):
            if is_let_through(made, Flow(sender, receiver, port, "", protocol)) and not is_listed and not is_peers:
                found.add((sender, receiver, port))
    assert {one for one in found - BESIDES if one[1] != "DNS"} == set()


@pytest.mark.parametrize("sender", OURS)
def test_no_pod_reaches_the_metadata_service_and_only_fetches_the_internet(sender: str) -> None:
    made = policies()
    for port, receiver in product(TRIED, ("the cloud's metadata service", "any address of the internet")):
        is_let = is_let_through(made, Flow(sender, receiver, port, ""))
        assert is_let == ((sender, receiver, port) == ("fetch", "any address of the internet", 443))


def test_who_asks_and_where_sources_are_is_the_administrator_s_to_say() -> None:
    proxy, hub = Flow("gateway's proxy", "engine", 8000, ""), Flow("fetch", "hub, S3 or web server", 443, "")
    assert not is_let_through(policies(clientsFrom=[]), proxy)
    near = [{"ipBlock": {"cidr": "203.0.113.0/24"}}]
    assert is_let_through(policies(sourcesAt=near), hub)
    assert not is_let_through(policies(sourcesAt=near), Flow("fetch", "any address of the internet", 443, ""))
    assert is_let_through(policies(sourcePorts=[9000]), Flow("fetch", "hub, S3 or web server", 9000, ""))
    assert not is_let_through(policies(sourcePorts=[9000]), hub)
    assert not is_let_through(policies(scrapedFrom=[]), Flow("Prometheus", "engine", 8000, ""))


def test_without_a_namespace_there_is_none_and_other_namespaces_are_not_touched() -> None:
    assert rendered(json.dumps({"namespaces": []})) == ()
    made = rendered(json.dumps(VALUES))
    assert {one["metadata"]["namespace"] for one in made} == {"team-a"}
    assert {one["metadata"]["name"].rpartition("-")[2] for one in made} == NAMES


def test_the_pods_of_the_operator_bear_the_labels_and_ports_that_policies_select_by() -> None:
    ranks, replicas = Life().begin().pods(), Canary().pods()
    assert ranks
    for pod in ranks:
        assert ATTEMPT_LABEL in pod["metadata"]["labels"]
        assert ROLE_LABEL not in pod["metadata"]["labels"]
    assert {pod["metadata"]["labels"][ROLE_LABEL] for pod in replicas} == {"engine"}
    (port, *_) = replicas[0]["spec"]["containers"][0]["ports"]
    assert (port["name"], port["containerPort"]) == ("http", ENDS["engine"].ports["http"])
    (progress,) = ranks[0]["spec"]["containers"][0]["ports"]
    assert (progress["name"], progress["containerPort"]) == ("progress", ENDS["rank"].ports["progress"])
    assert CACHE_LABEL in ENDS["answer cache"].labels


def test_the_server_takes_them(api_server: Cluster) -> None:
    for policy in rendered(json.dumps(VALUES)):
        policy = {**policy, "metadata": {**policy["metadata"], "namespace": "default"}}
        path = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
        api_server.api.create(path, policy, dryRun="All", fieldValidation="Strict")
