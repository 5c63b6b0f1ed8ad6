"""The one real node: kubelet, kube-proxy and DNS, on the address of a bridge.

The programs run on the host itself, as root, beside containerd; their state lies in the cluster's home. A machine whose
disk is shared and nearly full must not make the kubelet delete images or evict pods, so both limits are at one percent.
"""

import socket
from json import dumps
from pathlib import Path

from examples.local_cluster import containers, daemon, pki, programs
from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.control_plane import (
    NODE_ADDRESS,
    NODE_NAME,
    Cluster,
    flags_of,
    identity_kubeconfig,
    wait_alive,
)
from examples.local_cluster.daemon import Daemon
from examples.local_cluster.home import Home
from examples.local_cluster.host import POD_RANGE
from examples.local_cluster.pki import Identity

PROGRAMS = ("kubelet", "kube-proxy", "coredns")
DOMAIN = "cluster.local"
KUBELET_PORT = 10250

IDENTITIES = (
    Identity("kubelet", f"system:node:{NODE_NAME}", ("system:nodes",), names=(NODE_NAME, NODE_ADDRESS)),
    Identity("kube-proxy", "system:kube-proxy"),
    Identity("coredns", "system:coredns"),
)

# The DNS server reads Services and their endpoints, nothing else.
DNS_RULES = [
    {"apiGroups": [""], "resources": ["services", "namespaces", "pods", "endpoints"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]


def start(cluster: Cluster) -> None:
    """Start the node's programs and return when the node is ready; containerd and the bridge are there already."""
    home = cluster.home
    for identity in IDENTITIES:
        pki.ensure_certificate(home.pki, identity)
    _publish_server(cluster)
    grant(cluster.api, "deepseek-local-dns", "system:coredns", DNS_RULES)
    for part in (kubelet(cluster), proxy(cluster), dns(cluster)):
        daemon.ensure(home, part)
    wait_alive(home, "kubelet", lambda: is_ready(cluster.api), timeout_s=120)
    wait_alive(home, "coredns", _dns_listens, timeout_s=30)


def is_ready(api: Api) -> bool:
    """Whether the node says so."""
    path = f"/api/v1/nodes/{NODE_NAME}"
    if not api.exists(path):
        return False
    conditions = api.get(path)["status"].get("conditions", [])
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def advertise(api: Api, resources: dict[str, str]) -> None:
    """Let the real node claim extended resources, such as `nvidia.com/gpu: 2`, that no device stands behind."""
    path = f"/api/v1/nodes/{NODE_NAME}/status"
    if resources:
        api.patch(path, {"status": {"capacity": resources, "allocatable": resources}})


def kubelet(cluster: Cluster) -> Daemon:
    home = cluster.home
    client = identity_kubeconfig(cluster, "kubelet")
    config = home.write("kubelet.json", dumps(kubelet_configuration(home), indent=2))
    flags = {
        "kubeconfig": str(client),
        "config": str(config),
        "hostname-override": NODE_NAME,
        "node-ip": NODE_ADDRESS,
        "root-dir": str(home.root / "kubelet"),
        "cert-dir": str(home.pki),
    }
    return Daemon("kubelet", (programs.path("kubelet"), *flags_of(flags)), inputs=(config, client))


def kubelet_configuration(home: Home) -> Manifest:
    """KubeletConfiguration. Every limit that would act on the shared machine is off or at its end."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "port": KUBELET_PORT,
        "healthzPort": 0,
        "tlsCertFile": str(home.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(home.pki / "kubelet.key"),
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(home.pki / "ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": DOMAIN,
        "resolvConf": "/etc/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{containers.socket(home)}",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "serializeImagePulls": False,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 500,
        "kubeAPIBurst": 1000,
        "podLogsDir": str(home.logs / "pods"),
        "volumePluginDir": str(home.root / "volume-plugins"),
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def proxy(cluster: Cluster) -> Daemon:
    home = cluster.home
    client = identity_kubeconfig(cluster, "kube-proxy")
    config = home.write("kube-proxy.json", dumps(proxy_configuration(home, client), indent=2))
    return Daemon("kube-proxy", (programs.path("kube-proxy"), f"--config={config}"), inputs=(config, client))


def proxy_configuration(home: Home, client: Path) -> Manifest:
    """KubeProxyConfiguration: nftables, and hands off the machine's connection tracking limits."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(client)},
        "hostnameOverride": NODE_NAME,
        "clusterCIDR": POD_RANGE,
        "detectLocalMode": "ClusterCIDR",
        "nodePortAddresses": ["primary"],
        "healthzBindAddress": f"127.0.0.1:{home.port('kube-proxy')}",
        "metricsBindAddress": f"127.0.0.1:{home.port('kube-proxy-metrics')}",
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "0.1s", "syncPeriod": "30s"},
    }


def dns(cluster: Cluster) -> Daemon:
    home = cluster.home
    client = identity_kubeconfig(cluster, "coredns")
    config = home.write("Corefile", corefile(client))
    return Daemon("coredns", (programs.path("coredns"), f"-conf={config}"), inputs=(config, client))


def corefile(client: Path) -> str:
    """DNS for pods. A name that does not exist yet is remembered for one second: a rendezvous asks for it again."""
    return f""".:53 {{
  bind {NODE_ADDRESS}
  errors
  kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
    kubeconfig {client}
    pods insecure
    ttl 2
    fallthrough in-addr.arpa ip6.arpa
  }}
  forward . /etc/resolv.conf
  cache 5 {{
    denial 1000 1 1
  }}
}}
"""


def grant(api: Api, name: str, user: str, rules: list[Manifest]) -> None:
    """Give a program of the cluster its rights."""
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    api.apply(f"/apis/{group}/v1/clusterroles/{name}", role)
    api.apply(f"/apis/{group}/v1/clusterrolebindings/{name}", binding)


def endpoints(namespace: str, service: str, port_name: str, port: int) -> Manifest:
    """The EndpointSlice by which a Service without selector leads to a program on the host."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-host",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [NODE_ADDRESS], "conditions": {"ready": True}}],
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
    }


def publish(api: Api, namespace: str, service: str, port_name: str, port: int) -> None:
    """Write the endpoints of a Service."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{service}-host"
    api.apply(path, endpoints(namespace, service, port_name, port))


def _publish_server(cluster: Cluster) -> None:
    """Make `kubernetes.default` lead to the API server; the server itself only keeps the Service."""
    publish(cluster.api, "default", "kubernetes", "https", cluster.home.port("apiserver"))


def _dns_listens() -> bool:
    try:
        socket.create_connection((NODE_ADDRESS, 53), timeout=1).close()
    except OSError:
        return False
    return True
