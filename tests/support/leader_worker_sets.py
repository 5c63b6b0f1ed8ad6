"""LeaderWorkerSet's own controller and webhooks beside a control plane, as its module publishes them.

The process runs on this machine as the administrator; the API server calls its webhooks at a loopback address, with a
certificate of the cluster's authority in place of those that it would issue for a Service.
"""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from examples.local_cluster import pki
from examples.local_cluster.control_plane import LOOPBACK, Cluster
from examples.local_cluster.pki import Identity
from tests.support.gateway_api import install, uninstall
from tests.support.go_programs import LEADER_WORKER_SET, MODULES, built
from tests.support.kubectl import until
from tests.support.ports import free_port

COLLECTION = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/{}/leaderworkersets"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_KINDS = {
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
}
_OWN = "leaderworkerset.sigs.k8s.io/name"
"""The label of its pods; webhooks are asked about no others, as in its manifests."""
START_S = 60.0


@cache
def folder() -> Path:
    """Where the source of the module lies, fetched first where it is not there."""
    command = ["go", "mod", "download", "-json", "sigs.k8s.io/lws"]
    place = MODULES[LEADER_WORKER_SET]
    told = subprocess.run(command, cwd=place, env={**os.environ, "GOWORK": "off"}, check=True, capture_output=True)
    return Path(json.loads(told.stdout)["Dir"])


def definitions() -> list[dict[str, Any]]:
    """Its CustomResourceDefinitions."""
    return [yaml.safe_load(path.read_text()) for path in sorted((folder() / "config/crd/bases").glob("*.yaml"))]


@contextmanager
def running(cluster: Cluster, place: Path) -> Iterator[None]:
    """The definitions, the webhooks and the controller, all of which go with the block; its log lies in `place`."""
    install(cluster.api, definitions())
    port, log = free_port(), place / "leader-worker-set.log"
    _certificate(cluster, place)
    settings = {
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "webhook": {"port": port, "host": LOOPBACK, "certDir": str(place)},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": "0"},
    }
    (place / "configuration.yaml").write_text(yaml.safe_dump(settings))
    command = [str(built(LEADER_WORKER_SET)), "--config", str(place / "configuration.yaml")]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--kubeconfig", str(cluster.kubeconfig)], stdout=out, stderr=subprocess.STDOUT
        )
    try:
        until("the webhooks answer", lambda: _serves(process, log), timeout_s=START_S)
        _ask(cluster, port)
        yield
    finally:
        for kind in _KINDS.values():
            cluster.api.delete(f"{_ADMISSION}/{kind}/lws-{kind}")
        uninstall(cluster.api, definitions())
        process.kill()
        process.wait(10)


def _certificate(cluster: Cluster, place: Path) -> None:
    pki.ensure_certificate(cluster.home.pki, Identity("lws-webhooks", "lws-webhooks", names=(LOOPBACK,)))
    for suffix in ("crt", "key"):
        (place / f"tls.{suffix}").write_bytes((cluster.home.pki / f"lws-webhooks.{suffix}").read_bytes())


def _serves(process: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    return "Serving webhook server" in log.read_text()


def _ask(cluster: Cluster, port: int) -> None:
    """Has the API server call the webhooks."""
    authority = base64.b64encode(cluster.ca.read_bytes()).decode()
    for found in yaml.safe_load_all((folder() / "config/webhook/manifests.yaml").read_text()):
        if found is None or found["kind"] not in _KINDS:
            continue
        name = f"lws-{_KINDS[found['kind']]}"
        for webhook in found["webhooks"]:
            path = webhook["clientConfig"]["service"]["path"]
            webhook["clientConfig"] = {"url": f"https://{LOOPBACK}:{port}{path}", "caBundle": authority}
            if path.endswith("-pod"):
                webhook["objectSelector"] = {"matchExpressions": [{"key": _OWN, "operator": "Exists"}]}
        made = {**found, "metadata": {"name": name}}
        cluster.api.apply(f"{_ADMISSION}/{_KINDS[found['kind']]}/{name}", made)
