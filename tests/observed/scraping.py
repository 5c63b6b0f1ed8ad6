"""A Prometheus with the chart's rules as they are installed and the jobs that its notes show, word for word.

Debian's knows no Kubernetes: in place of its discovery it asks `Pods`, which tells the same labels of each pod. What keeps,
drops and names a target is the jobs' own. Beside them it reads the kubelet, through the API server, and `exporter.py`.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from examples.local_cluster.api import Api, Manifest
from tests.support import bed as beds
from tests.support.kubectl import Kubectl
from tests.support.pages import serving
from tests.support.release import NAME, NAMESPACE

EACH = "2s"
RULES = "deepseek-operator.rules.yaml"
JOBS = ("deepseek-operator", "deepseek-training", "deepseek-serving", "deepseek-cache", "deepseek-gate")
"""What the notes show where the gate runs."""


def configuration(bed: Kubectl, exporter_port: int, pods_port: int, folder: Path) -> dict[str, Any]:
    """Of Prometheus; the rules are written to `folder`."""
    rules = bed.within(NAMESPACE).json("get", "configmap", f"{NAME}-alerts")["data"][RULES]
    (folder / RULES).write_text(rules)
    return {
        "global": {"scrape_interval": EACH, "scrape_timeout": EACH, "evaluation_interval": EACH},
        "rule_files": [str(folder / RULES)],
        "scrape_configs": [*shown(bed, pods_port), kubelet(bed, access(bed, folder)), devices(exporter_port)],
    }


def shown(bed: Kubectl, pods_port: int) -> list[dict[str, Any]]:
    """The jobs of the notes, but for where targets are asked for."""
    notes = beds.release(bed).notes()
    text = re.search(r"(?ms)^  - job_name.*?(?=^\S)", notes)
    assert text, notes
    jobs: list[dict[str, Any]] = yaml.safe_load(text[0])
    for job in jobs:
        (found,) = job.pop("kubernetes_sd_configs")
        assert found["role"] == "pod"
        namespaces = ",".join(found.get("namespaces", {}).get("names", ()))
        url = f"http://127.0.0.1:{pods_port}/{namespaces}"
        job["http_sd_configs"] = [{"url": url, "refresh_interval": EACH}]
    return jobs


def access(bed: Kubectl, folder: Path) -> Api:
    """The administrator's, by files in `folder`."""
    config = yaml.safe_load(bed.kubeconfig.read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    files = {
        "ca.crt": server["certificate-authority-data"],
        "client.crt": user["client-certificate-data"],
        "client.key": user["client-key-data"],
    }
    for name, encoded in files.items():
        (folder / name).write_bytes(b64decode(encoded))
    return Api(server["server"], *(folder / name for name in files))


def kubelet(bed: Kubectl, api: Api) -> dict[str, Any]:
    """What the one real node's kubelet tells."""
    return {
        "job_name": "kubelet",
        "scheme": "https",
        "metrics_path": f"/api/v1/nodes/{real_node(bed)}/proxy/metrics",
        "static_configs": [{"targets": [api.url.removeprefix("https://")]}],
        "tls_config": {"ca_file": str(api.ca), "cert_file": str(api.certificate), "key_file": str(api.key)},
    }


def devices(port: int) -> dict[str, Any]:
    """The exporter, whose series are about pods."""
    return {
        "job_name": "exporter",
        "honor_labels": True,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": "node-1"}}],
    }


def real_node(bed: Kubectl) -> str:
    """The node on which pods really run."""
    return str(bed.json("get", "nodes", "--selector=type!=kwok")["items"][0]["metadata"]["name"])


@dataclass(frozen=True)
class Pods:
    """Targets as Prometheus' discovery of role pod has them: one for each port of a container, with what it tells of the pod."""

    api: Api

    def told(self, namespaces: list[str]) -> list[Manifest]:
        """Of these namespaces; none named: of all."""
        found = self.api.get("/api/v1/pods")["items"]
        return [
            group
            for pod in found
            if not namespaces or pod["metadata"]["namespace"] in namespaces
            for group in _targets(pod)
        ]


def _targets(pod: Manifest) -> Iterator[Manifest]:
    meta, status = pod["metadata"], pod["status"]
    prefix = "__meta_kubernetes_pod_"
    told = {"__meta_kubernetes_namespace": meta["namespace"], f"{prefix}name": meta["name"]}
    told[f"{prefix}phase"] = status.get("phase", "")
    for kind in ("label", "annotation"):
        for name, value in (meta.get(f"{kind}s") or {}).items():
            told[f"{prefix}{kind}_{re.sub('[^a-zA-Z0-9_]', '_', name)}"] = value
    if not status.get("podIP"):
        return
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            named = {f"{prefix}container_name": container["name"], f"{prefix}container_port_name": port.get("name", "")}
            yield {"targets": [f"{status['podIP']}:{port['containerPort']}"], "labels": {**told, **named}}


@contextmanager
def discovering(api: Api) -> Iterator[int]:
    """The port of this machine's loopback at which a Prometheus asks for targets: of /NAMESPACE,…, or of / for all."""
    pods = Pods(api)

    def told(path: str) -> bytes:
        return json.dumps(pods.told([name for name in path.split(",") if name])).encode()

    with serving(told, "application/json") as port:
        yield port
