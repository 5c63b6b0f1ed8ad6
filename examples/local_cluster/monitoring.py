"""Prometheus on the host, reachable by pods as http://prometheus.monitoring:9090.

It scrapes every two seconds, so that a test of autoscaling takes seconds.
"""

from json import dumps
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from examples.local_cluster import daemon, discovery, node, pki
from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.control_plane import NODE_ADDRESS, Cluster, wait_alive
from examples.local_cluster.daemon import Daemon
from examples.local_cluster.pki import Identity

NAMESPACE = "monitoring"
PORT = 9090
URL = f"http://{NODE_ADDRESS}:{PORT}"

IDENTITY = Identity("prometheus", "system:prometheus")
RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]


def start(cluster: Cluster) -> None:
    """Start Prometheus, its targets and its Service, and return when it answers."""
    pki.ensure_certificate(cluster.home.pki, IDENTITY)
    node.grant(cluster.api, "deepseek-local-prometheus", IDENTITY.user, RULES)
    _publish(cluster.api)
    discovery.file(cluster.home).parent.mkdir(exist_ok=True)  # Prometheus watches the folder from its start.
    daemon.ensure(cluster.home, discovery.daemon(cluster.home, cluster.url))
    daemon.ensure(cluster.home, prometheus(cluster))
    wait_alive(cluster.home, "prometheus", is_ready, timeout_s=60)


def is_ready() -> bool:
    """Whether it answers queries."""
    try:
        with urlopen(f"{URL}/-/ready", timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def prometheus(cluster: Cluster) -> Daemon:
    home = cluster.home
    config = home.write("prometheus.yml", dumps(configuration(discovery.file(home)), indent=2))
    flags = (
        f"--config.file={config}",
        f"--storage.tsdb.path={home.root}/prometheus",
        "--storage.tsdb.retention.time=6h",
        f"--web.listen-address={NODE_ADDRESS}:{PORT}",
    )
    return Daemon("prometheus", ("/usr/bin/prometheus", *flags), inputs=(config,))


def configuration(targets: Path) -> Manifest:
    """Scrape whatever the discovery writes; its labels name the job. The operator alone may say whose a series is."""
    files = [{"files": [str(targets)]}]
    of_the_operator = {"source_labels": ["job"], "regex": "deepseek-operator"}
    jobs = [
        {"job_name": "pods", "file_sd_configs": files, "relabel_configs": [{**of_the_operator, "action": "drop"}]},
        {
            "job_name": "operator",
            "honor_labels": True,
            "file_sd_configs": files,
            "relabel_configs": [{**of_the_operator, "action": "keep"}],
        },
    ]
    interval = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"}
    return {"global": interval, "scrape_configs": jobs}


def _publish(api: Api) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "prometheus", "namespace": NAMESPACE},
        "spec": {"ports": [{"name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP"}]},
    }
    api.apply(f"/api/v1/namespaces/{NAMESPACE}", namespace)
    api.apply(f"/api/v1/namespaces/{NAMESPACE}/services/prometheus", service)
    node.publish(api, NAMESPACE, "prometheus", "http", PORT)
