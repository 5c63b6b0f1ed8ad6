"""The operator, its gate, and gangs that train, as the chart installs and the operator makes them, on a network that enforces."""

import json
from collections.abc import Callable, Iterator, Sequence

import pytest

from examples.local_cluster.control_plane import NODE_ADDRESS
from tests.e2e.written import hyperparameters, tiny
from tests.network.peers import asked, pod
from tests.support import bed as beds
from tests.support.kubectl import Kubectl, until
from tests.support.release import NAME, NAMESPACE
from tests.support.watched import Watched

pytestmark = pytest.mark.timeout(600)
TEAM, PLAIN, OTHERS = "network-team", "network-plain", "network-others"
GATEWAYS, METRICS = "network-gateways", "network-metrics"
CALLER = "caller"
PORTS = (8080, 8081, 6443)
Say = Callable[[str], None]


def _of(name: str) -> str:
    return f"namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name={name}"


VALUES = (
    *beds.VALUES,
    "networkPolicy.enabled=true",
    f"networkPolicy.metricsFrom[0].{_of(METRICS)}",
    # `helm test` asks from there.
    f"networkPolicy.metricsFrom[1].{_of(NAMESPACE)}",
    f"networkPolicy.workloads.namespaces={{{TEAM}}}",
    f"networkPolicy.workloads.scrapedFrom[0].{_of(METRICS)}",
    f"networkPolicy.workloads.clientsFrom[0].{_of(GATEWAYS)}",
    # DNS of the built-in cluster is a process of its node, as a cache on each node is.
    f"networkPolicy.workloads.dnsAt[0].ipBlock.cidr={NODE_ADDRESS}/32",
    "gate.enabled=true",
    "gate.referenceGrant=false",
    f"gate.namespaces={{{TEAM}}}",
    f"gate.askedFrom[0].{_of(GATEWAYS)}",
)


@pytest.fixture(scope="module")
def installed(kubectl: Kubectl) -> Iterator[Kubectl]:
    """The operator and the gate with every policy, and a pod to call from in each namespace."""
    spaces = (TEAM, PLAIN, OTHERS, GATEWAYS, METRICS)
    for name in spaces:
        beds.fresh_namespace(kubectl, name)
    beds.tests_cluster("images", "operator", "gate", "runtime")
    beds.release(kubectl).install(*VALUES)
    try:
        beds.restart_operator(kubectl)
        for name in spaces:
            kubectl.within(name).apply(json.dumps(pod(CALLER, {"app": CALLER}, {}, (9999,))))
            kubectl.within(name).run("wait", f"pod/{CALLER}", "--for=condition=Ready", "--timeout=90s", timeout_s=100)
        yield kubectl
    finally:
        kubectl.run("delete", "namespace", *spaces, "--ignore-not-found", "--wait=true", timeout_s=180)
        beds.release(kubectl).install(*beds.VALUES)


def _address(kubectl: Kubectl, selector: str) -> str:
    return str(kubectl.list("pods", selector)[0]["status"]["podIP"])


def _asks(kubectl: Kubectl, space: str, address: str, ports: Sequence[int]) -> set[int]:
    """Which ports of the address a caller in that namespace reaches."""
    return {port for _, port, _ in asked(kubectl.within(space), CALLER, [(address, port, "TCP") for port in ports])}


def test_the_operator_is_asked_for_metrics_by_those_named_and_for_health_by_the_kubelet_alone(
    installed: Kubectl,
) -> None:
    address = _address(installed.within(NAMESPACE), f"app.kubernetes.io/name={NAME}")
    # External metrics are for whoever calls as the API server does: it is no pod, and the certificate decides.
    assert _asks(installed, METRICS, address, PORTS) == {8081, 6443}
    for space in (TEAM, OTHERS, GATEWAYS):
        assert _asks(installed, space, address, PORTS) == {6443}
    (found,) = installed.within(NAMESPACE).list("pods", f"app.kubernetes.io/name={NAME}")
    assert [one["restartCount"] for one in found["status"]["containerStatuses"]] == [0], "its probes arrive"


def test_the_api_server_reads_external_metrics_and_helm_test_passes(installed: Kubectl) -> None:
    path = "/apis/external.metrics.k8s.io/v1beta1"
    until("external metrics are served", lambda: installed.run("get", "--raw", path), timeout_s=60)
    beds.release(installed).tested()


def test_the_gate_is_asked_by_gateways_and_its_metrics_by_those_named(installed: Kubectl) -> None:
    gate = installed.within(NAMESPACE)
    gate.run("rollout", "status", f"deployment/{NAME}-gate", "--timeout=60s", timeout_s=70)
    address = _address(gate, f"app.kubernetes.io/name={NAME}-gate")
    assert _asks(installed, GATEWAYS, address, (9001, 8080)) == {9001}
    assert _asks(installed, METRICS, address, (9001, 8080)) == {8080}
    assert _asks(installed, OTHERS, address, (9001, 8080)) == set()


@pytest.mark.parametrize("space", [TEAM, PLAIN])
def test_two_workers_meet_and_train_while_nobody_else_joins_them(installed: Kubectl, space: str, say: Say) -> None:
    """With the chart's policies, and with the gang's own alone, which leaves what it tells of its steps to everybody."""
    team = installed.within(space)
    team.apply(json.dumps(tiny("gang", nodes={"count": 2}, hyperparameters=hyperparameters(steps=600))))
    gang = Watched(team, "gang")
    try:
        gang.until_step(1, 5, timeout_s=180)
        first, second = gang.pods(1)
        address = str(team.json("get", "pod", first)["status"]["podIP"])
        ports = (29500, 8090)
        own = {port for _, port, _ in asked(team, second, [(address, port, "TCP") for port in ports])}
        seen = {name: _asks(installed, name, address, ports) for name in (TEAM, PLAIN, OTHERS, GATEWAYS, METRICS)}
        say(f"rank 0 in {space} is reached by its gang at {sorted(own)}, by others {seen}")
        assert own == {29500, 8090}
        assert set(map(frozenset, seen.values())) == {frozenset({8090})}
        gang.until("the operator reads its progress", lambda status: status.get("progress"))
        gang.until_result("Complete", timeout_s=240)
    finally:
        gang.close()
        team.run("delete", "deepseektraining", "gang", "--ignore-not-found", "--wait=false")
