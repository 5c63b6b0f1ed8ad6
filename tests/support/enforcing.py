"""kube-network-policies of Kubernetes' own network group, at work on the one real node of the built-in cluster.

The program and its rights are those that its module publishes; it runs in an image of ours, without the connection to the
container runtime that this containerd does not offer, and is asked by the rules of examples/local_cluster/diversion.py.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from examples.local_cluster import debian, diversion
from examples.local_cluster.host import POD_RANGE
from tests.support import bed as beds
from tests.support.go_programs import MODULES, NETWORK_POLICIES, built
from tests.support.kubectl import Kubectl
from tests.support.ports import free_port

NAME, NAMESPACE = "kube-network-policies", "kube-system"
IMAGE = "deepseek-operator.io/network-policies:dev"
QUEUE = 98
PACKAGES: dict[str, tuple[str, str | None]] = {"iptables": ("/usr/sbin/iptables", None)}
START_S = 90.0


@contextmanager
def enforced(kubectl: Kubectl) -> Iterator[None]:
    """Policies hold until the end of the block."""
    debian.ensure(PACKAGES)
    beds.tests_cluster(
        "images", "--add", IMAGE, "--from", "operator", "--file", f"{built(NETWORK_POLICIES)}=/app/netpol"
    )
    system, manifests = kubectl.within(NAMESPACE), [*_manifests()]
    text = "\n---\n".join(json.dumps(one) for one in manifests)
    try:
        system.apply(text)
        system.run("rollout", "status", f"daemonset/{NAME}", f"--timeout={START_S:.0f}s", timeout_s=START_S + 10)
        diversion.divert(QUEUE, POD_RANGE)
        yield
    finally:
        diversion.remove()
        system.run("delete", "--ignore-not-found", "-f", "-", stdin=text)


def _manifests() -> Iterator[dict[str, Any]]:
    for found in yaml.safe_load_all((_folder() / "install.yaml").read_text()):
        if found is not None and found["kind"] == "DaemonSet":
            _settle(found["spec"]["template"]["spec"])
        if found is not None:
            yield found


def _settle(pod: dict[str, Any]) -> None:
    """What differs from a cluster that pulls images."""
    (container,) = pod["containers"]
    container |= {"image": IMAGE, "imagePullPolicy": "IfNotPresent"}
    container["command"] = [
        "/app/netpol",
        *container.pop("args")[1:],
        f"--metrics-bind-address=127.0.0.1:{free_port()}",
    ]
    container["securityContext"] = {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}}
    del pod["volumes"], container["volumeMounts"]
    pod["terminationGracePeriodSeconds"] = 1


def _folder() -> Path:
    command = ["go", "mod", "download", "-json", "sigs.k8s.io/kube-network-policies"]
    place = MODULES[NETWORK_POLICIES]
    told = subprocess.run(command, cwd=place, env={**os.environ, "GOWORK": "off"}, check=True, capture_output=True)
    return Path(json.loads(told.stdout)["Dir"])
