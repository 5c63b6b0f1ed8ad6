"""KEDA itself beside a control plane: its operator and its server of external.metrics.k8s.io, as its module publishes them.

Both run as processes of this machine, as the administrator. The API server reaches the second as any aggregated API, at an
endpoint of its Service.
"""

import base64
import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from examples.local_cluster import pki
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.pki import Identity
from tests.support.gateway_api import install
from tests.support.go_programs import KEDA_METRICS, KEDA_OPERATOR, built
from tests.support.keda_api import definitions
from tests.support.kubectl import until
from tests.support.ports import free_port

SYSTEM = "keda"
METRICS = "keda-metrics-apiserver"
EXTERNAL_METRICS = "/apis/external.metrics.k8s.io/v1beta1"
START_S = 120.0


@contextmanager
def running(cluster: Cluster, place: Path) -> Iterator[None]:
    """KEDA's definitions and both processes, which end with the block; their logs lie in `place`."""
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
    install(cluster.api, list(definitions()))
    _certificates(cluster, place)
    service, metrics = free_port(), free_port()
    config = str(cluster.kubeconfig)
    operator = {
        "metrics-bind-address": "0",
        "health-probe-bind-address": "0",
        "metrics-service-bind-address": f"127.0.0.1:{service}",
        "cert-dir": str(place),
    }
    adapter = {
        "port": str(free_port()),
        "secure-port": str(metrics),
        "metrics-service-address": f"localhost:{service}",
        "cert-dir": str(place),
        "tls-cert-file": str(place / "tls.crt"),
        "tls-private-key-file": str(place / "tls.key"),
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        "lister-kubeconfig": config,
    }
    settings = {
        "KUBECONFIG": config,
        "WATCH_NAMESPACE": "",
        "POD_NAMESPACE": SYSTEM,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": SYSTEM,
    }
    with ExitStack() as stack:
        parts = [
            stack.enter_context(_process(built(program), flags, settings, place))
            for program, flags in ((KEDA_OPERATOR, operator), (KEDA_METRICS, adapter))
        ]
        _register(cluster, metrics)
        until("external metrics are served", partial(_is_served, cluster, parts), timeout_s=START_S)
        yield


@contextmanager
def _process(
    program: Path, flags: Mapping[str, str], settings: Mapping[str, str], place: Path
) -> Iterator[Callable[[], None]]:
    """Yields what fails, with the log, once the process has ended."""
    log = place / f"{program.name}.log"
    argv = [str(program), *(f"--{name}={value}" for name, value in flags.items())]
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, env={**os.environ, **settings})

    def check() -> None:
        assert process.poll() is None, log.read_text()

    try:
        yield check
    finally:
        process.kill()
        process.wait(10)


def _is_served(cluster: Cluster, parts: list[Callable[[], None]]) -> bool:
    for check in parts:
        check()
    return cluster.api.is_served(EXTERNAL_METRICS)


def _register(cluster: Cluster, port: int) -> None:
    address = _own_address()
    ports = [{"name": "https", "port": 443, "targetPort": port}]
    cluster.api.create(
        f"/api/v1/namespaces/{SYSTEM}/services", {"metadata": {"name": METRICS}, "spec": {"ports": ports}}
    )
    endpoints = {
        "metadata": {"name": METRICS, "labels": {"kubernetes.io/service-name": METRICS}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port}],
    }
    cluster.api.create(f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM}/endpointslices", endpoints)
    spec = {
        "group": "external.metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "caBundle": base64.b64encode(cluster.ca.read_bytes()).decode(),
        "service": {"name": METRICS, "namespace": SYSTEM},
    }
    name = "v1beta1.external.metrics.k8s.io"
    cluster.api.create("/apis/apiregistration.k8s.io/v1/apiservices", {"metadata": {"name": name}, "spec": spec})


def _own_address() -> str:
    """One of this machine, for an endpoint may be no loopback address. Nothing is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def _certificates(cluster: Cluster, place: Path) -> None:
    """By which both believe each other, and the API server the second."""
    names = ("localhost", f"{METRICS}.{SYSTEM}.svc")
    pki.ensure_certificate(cluster.home.pki, Identity("keda", "keda", names=names))
    (place / "ca.crt").write_bytes(cluster.ca.read_bytes())
    for suffix in ("crt", "key"):
        (place / f"tls.{suffix}").write_bytes((cluster.home.pki / f"keda.{suffix}").read_bytes())
