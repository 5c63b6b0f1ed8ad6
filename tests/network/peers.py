"""Pods and addresses that stand for the ends of tests/support/flows.py, and what reaches what between them.

Each pod bears its end's labels and named ports, and takes connections at every port that is tried. Addresses outside of
the cluster are the machine's own meanwhile, at its bridge.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from examples.local_cluster.api import Manifest
from examples.local_cluster.host import BRIDGE
from tests.support import bed as beds
from tests.support.flows import ENDS, End
from tests.support.kubectl import Kubectl, until

SCRIPT = Path(__file__).with_name("reach.py")
ADDRESSES = {"169.254.169.254": "169.254.99.99"}
"""Another one of the same range for what this machine may itself have to reach."""
Reached = tuple[str, str, int, str]
"""Sender, receiver, port and protocol."""


def namespace(name: str) -> str:
    """Of this layer alone."""
    return f"network-{name}"


def name_of(end: str) -> str:
    """Of its pod."""
    return "".join(letter for letter in end.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


PODS: Mapping[str, End] = {name: end for name, end in ENDS.items() if not end.address}
PLACES: Mapping[str, str] = {name: ADDRESSES.get(end.address, end.address) for name, end in ENDS.items() if end.address}


def moved(policies: Sequence[Manifest]) -> list[Manifest]:
    """The policies, for the namespaces of this layer."""
    text = json.dumps(list(policies))
    for name in {end.namespace for end in PODS.values()}:
        text = text.replace(f'"{name}"', f'"{namespace(name)}"')
    return list(json.loads(text))


def pod(name: str, labels: Mapping[str, str], ports: Mapping[str, int], tried: Sequence[int]) -> Manifest:
    """One that passes the restricted standard, and takes connections at `tried`."""
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "peer",
        "image": beds.OPERATOR_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", SCRIPT.read_text(), "listen", *map(str, tried)],
        "ports": [{"name": key, "containerPort": number} for key, number in ports.items()],
        "readinessProbe": {"tcpSocket": {"port": tried[-1]}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}},
        "securityContext": confined,
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(labels)}, "spec": spec}


@contextmanager
def standing(kubectl: Kubectl, tried: Sequence[int]) -> Iterator[Mapping[str, str]]:
    """Every end, in namespaces of its own; yields their addresses."""
    spaces = sorted({namespace(end.namespace) for end in PODS.values()})
    for name in spaces:
        beds.fresh_namespace(kubectl, name)
    try:
        for name, end in PODS.items():
            made = pod(name_of(name), end.labels, end.ports, tried)
            kubectl.within(namespace(end.namespace)).apply(json.dumps(made))
        with outside(tried):
            for name in spaces:
                waited = ("wait", "pod", "--all", "--for=condition=Ready", "--timeout=90s")
                kubectl.within(name).run(*waited, timeout_s=100)
            yield {**PLACES, **{name: _address(kubectl, name) for name in PODS}}
    finally:
        kubectl.run("delete", "namespace", *spaces, "--ignore-not-found", "--wait=false")


@contextmanager
def outside(tried: Sequence[int]) -> Iterator[None]:
    """The addresses that are no pods', each listened at by a process of this machine."""
    listeners = []
    try:
        for address in PLACES.values():
            subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", BRIDGE], check=True)
            code = f"from tests.network.reach import listen; listen({address!r}, {list(tried)!r})"
            listeners.append(subprocess.Popen([sys.executable, "-c", code], cwd=SCRIPT.parents[2]))
        yield
        assert all(one.poll() is None for one in listeners), "one of them could not listen"
    finally:
        for one in listeners:
            one.kill()
            one.wait(10)
        for address in PLACES.values():
            subprocess.run(["ip", "address", "delete", f"{address}/32", "dev", BRIDGE], capture_output=True)


def _address(kubectl: Kubectl, name: str) -> str:
    found = kubectl.within(namespace(PODS[name].namespace)).json("get", "pod", name_of(name))
    return str(found["status"]["podIP"])


def asked(kubectl: Kubectl, pod_name: str, targets: Sequence[tuple[str, int, str]]) -> set[tuple[str, int, str]]:
    """Which of the targets (address, port, protocol) a pod of kubectl's namespace reaches."""
    command = ("exec", pod_name, "--", "python3", "-c", SCRIPT.read_text(), "ask", json.dumps(targets))
    told: list[Any] = json.loads(kubectl.run(*command))
    return {(address, port, protocol) for address, port, protocol in told}


def reached(kubectl: Kubectl, addresses: Mapping[str, str], tried: Sequence[int]) -> set[Reached]:
    """Who reaches whom, each pair at each port and DNS by a datagram as well."""
    names = {address: name for name, address in addresses.items()}
    targets = [(address, port, "TCP") for address in names for port in tried]
    targets.append((addresses["DNS"], 53, "UDP"))

    def of(sender: str) -> set[Reached]:
        others = [one for one in targets if one[0] != addresses[sender]]
        found = asked(kubectl.within(namespace(PODS[sender].namespace)), name_of(sender), others)
        return {(sender, names[address], port, protocol) for address, port, protocol in found}

    with ThreadPoolExecutor(4) as pool:
        return set().union(*pool.map(of, PODS))


def settled(kubectl: Kubectl, addresses: Mapping[str, str], tried: Sequence[int], wanted: set[Reached]) -> set[Reached]:
    """What is reached, once it is as wanted: a network hears of policies a moment after the API server."""
    last: set[Reached] = set()

    def look() -> bool:
        nonlocal last
        last = reached(kubectl, addresses, tried)
        return last == wanted

    with suppress(AssertionError):
        until("the network does as wanted", look, timeout_s=30)
    return last
