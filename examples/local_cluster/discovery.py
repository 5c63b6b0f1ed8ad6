"""Targets for Prometheus: Debian's build knows no Kubernetes, so the pods are written to a file that it reads.

The labels are the ones that the scrape configuration of a real cluster makes by relabelling: `namespace`, `pod`,
`deepseek_serving` or `deepseek_training` with the name of the resource, and `deepseek_revision` of a serving's.

Run as `python -m examples.local_cluster.discovery HOME URL`.
"""

import sys
from json import dumps
from pathlib import Path

from examples.local_cluster import follow
from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.daemon import Daemon
from examples.local_cluster.home import REPOSITORY, Home, replace_text

PODS = "/api/v1/pods"
SERVING = "deepseek-operator.io/serving"
TRAINING = "deepseek-operator.io/training"
REVISION = "deepseek-operator.io/revision"
NAME = "app.kubernetes.io/name"
PROGRESS_PORT = 8090  # A trainer answers there whether its container names the port or not.


def daemon(home: Home, url: str) -> Daemon:
    """The discovery as a process of the cluster."""
    argv = (sys.executable, "-m", "examples.local_cluster.discovery", str(home.root), url)
    return Daemon("discovery", argv, cwd=REPOSITORY)


def file(home: Home) -> Path:
    """The file of targets that Prometheus watches."""
    return home.root / "targets" / "pods.json"


def targets(pods: list[Manifest]) -> list[Manifest]:
    """Groups of one target each, in the form of file_sd_config, by namespace and name."""
    running = (pod for pod in pods if pod["status"].get("phase") == "Running" and pod["status"].get("podIP"))
    ordered = sorted(running, key=lambda pod: (pod["metadata"]["namespace"], pod["metadata"]["name"]))
    return [group for pod in ordered if (group := _target(pod))]


def _target(pod: Manifest) -> Manifest | None:
    labels = pod["metadata"].get("labels", {})
    if serving := labels.get(SERVING):
        port, job, own = _port(pod, "http"), "deepseek-serving", {"deepseek_serving": serving}
        own |= {"deepseek_revision": labels[REVISION]} if REVISION in labels else {}
    elif training := labels.get(TRAINING):
        port, job, own = PROGRESS_PORT, "deepseek-training", {"deepseek_training": training}
    elif labels.get(NAME) == "deepseek-operator":
        port, job, own = _port(pod, "metrics"), "deepseek-operator", {}
    else:
        return None
    if port is None:
        return None
    where = {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]}
    return {"targets": [f"{pod['status']['podIP']}:{port}"], "labels": {"job": job, **where, **own}}


def _port(pod: Manifest, name: str) -> int | None:
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return next((port["containerPort"] for port in ports if port.get("name") == name), None)


def run(home: Home, url: str) -> None:
    """Keep the file equal to the pods, for ever."""
    api = Api(url, home.pki / "ca.crt", home.pki / "prometheus.crt", home.pki / "prometheus.key")

    def write() -> None:
        text = dumps(targets(api.get(PODS)["items"]), indent=2)
        if not file(home).exists() or file(home).read_text() != text:
            replace_text(file(home), text)

    follow.reconcile_for_ever(api, (PODS,), write)


if __name__ == "__main__":
    run(Home(Path(sys.argv[1])), sys.argv[2])
