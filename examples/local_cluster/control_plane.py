"""The part of a cluster that needs no node: etcd, API server, controllers, scheduler, fake nodes, volumes.

Everything is decided by the home folder and the address to listen on: calling `start` twice changes nothing, and calling
it on a cluster that crashed half-way starts what is missing. What a test bed wants differs from production in three
ways: no fsync, no throttling, and an audit log of every request.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from json import dumps
from pathlib import Path

from examples.local_cluster import daemon, fake_nodes, kubeconfig, pki, programs, provisioner
from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.daemon import Daemon
from examples.local_cluster.home import Home, replace_text
from examples.local_cluster.pki import Identity
from examples.local_cluster.progress import step, wait_for

ALL = frozenset({"etcd", "apiserver", "controller-manager", "scheduler", "kwok", "provisioner"})
PROGRAMS = {
    "etcd": "etcd",
    "apiserver": "kube-apiserver",
    "controller-manager": "kube-controller-manager",
    "scheduler": "kube-scheduler",
    "kwok": "kwok",
}

LOOPBACK = "127.0.0.1"
NODE_NAME = "local"
NODE_ADDRESS = "10.200.0.1"
SERVICE_RANGE = "10.96.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"

AUDIT_POLICY: Manifest = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}

SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    LOOPBACK,
    NODE_ADDRESS,
    FIRST_SERVICE_ADDRESS,
)

IDENTITIES = (
    Identity("apiserver", "kube-apiserver", names=SERVER_NAMES),
    Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",)),
    Identity("admin", "kubernetes-admin", ("system:masters",)),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("kwok", "kwok", ("system:masters",)),
    Identity("provisioner", "volume-provisioner", ("system:masters",)),
    Identity("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
)


@dataclass(frozen=True)
class Cluster:
    """A running cluster, as its administrator sees it."""

    home: Home
    url: str

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self.home.kubeconfig

    @property
    def ca(self) -> Path:
        return self.home.pki / "ca.crt"

    @property
    def admin_certificate(self) -> Path:
        return self.home.pki / "admin.crt"

    @property
    def admin_key(self) -> Path:
        return self.home.pki / "admin.key"

    @property
    def audit_log(self) -> Path:
        """JSON lines, one per request, level Metadata unless another policy was asked for."""
        return self.home.audit_log

    @property
    def api(self) -> Api:
        """A client with the administrator's certificate."""
        return Api(self.url, self.ca, self.admin_certificate, self.admin_key)

    def service_account_kubeconfig(self, namespace: str, name: str, path: Path, seconds: int = 3600) -> Path:
        """Write a kubeconfig with a fresh token of an existing ServiceAccount; `seconds` is at least 600."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        answer = self.api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", request)
        return kubeconfig.with_token(path, self.url, self.ca, answer["status"]["token"], namespace)

    def user_kubeconfig(self, user: str, groups: tuple[str, ...], path: Path) -> Path:
        """Write a kubeconfig with a client certificate of any user and groups, for tests of RBAC."""
        file = f"user-{path.name}"
        pki.ensure_certificate(self.home.pki, Identity(file, user, groups))
        folder = self.home.pki
        return kubeconfig.with_certificate(path, self.url, self.ca, folder / f"{file}.crt", folder / f"{file}.key")

    def add_fake_nodes(self, count: int) -> None:
        """Make the cluster hold at least `count` fake accelerator nodes."""
        fake_nodes.apply(self.api, count)

    def pause(self, part: str) -> None:
        """Stop a part without ending it (SIGSTOP): its clients hang."""
        daemon.send(self.home, part, signal.SIGSTOP)

    def resume(self, part: str) -> None:
        """Let a paused part go on."""
        daemon.send(self.home, part, signal.SIGCONT)

    def kill(self, part: str) -> None:
        """End a part at once (SIGKILL) and return when it is gone; `restart` brings it back."""
        daemon.send(self.home, part, signal.SIGKILL)

    def restart(self, part: str) -> None:
        """Start a part again with the command line that it had, and wait until the API server is ready."""
        daemon.restart(self.home, part)
        wait_for("API server", self.api.is_ready, timeout_s=60)


def start(
    home: Path | Home,
    *,
    parts: frozenset[str] = ALL,
    address: str = LOOPBACK,
    admission: tuple[str, ...] = (),
    audit: Manifest = AUDIT_POLICY,
) -> Cluster:
    """Bring the control plane up and return when it answers; `parts` beside etcd and apiserver are optional.

    `admission` names admission plug-ins of the API server beside its usual ones; `audit` is its audit policy.
    """
    home = home if isinstance(home, Home) else Home(home.resolve())
    unknown = parts - ALL
    if unknown:
        raise ValueError(f"unknown parts: {', '.join(sorted(unknown))}; known: {', '.join(sorted(ALL))}")
    parts = parts | {"etcd", "apiserver"}
    programs.ensure(*(PROGRAMS[part] for part in parts if part in PROGRAMS))
    with home.lock():
        # The well-known port only on the node's own address: control planes that start together do not compete for it.
        port = home.port("apiserver", preferred=6443 if address == NODE_ADDRESS else None)
        cluster = Cluster(home, f"https://{address}:{port}")
        with step("certificates"):
            issue_certificates(home)
        with step("etcd and API server"):
            _start_server(cluster, address, admission, audit)
        with step(", ".join(sorted(parts - {"etcd", "apiserver"})) or "no other parts"):
            _start_clients(cluster, parts)
    return cluster


def stop(home: Path | Home) -> None:
    """End every process of the home; its files stay. Right for a crashed or half-started cluster too."""
    home = home if isinstance(home, Home) else Home(home.resolve())
    with home.lock():
        # Clients before the server, the server before its store: nothing logs errors about the other's absence.
        order = ["kwok", "provisioner", "scheduler", "controller-manager", "apiserver", "etcd"]
        for name in order:
            # Short, since an API server waits for its watches to end, and nothing is lost by ending it.
            daemon.stop(home, name, grace_s=3)
        daemon.sweep(home)


def find(home: Path | Home) -> Cluster:
    """The cluster of a home that was started before; FileNotFoundError if there is none."""
    home = home if isinstance(home, Home) else Home(home.resolve())
    url = (home.root / "url").read_text().strip()
    return Cluster(home, url)


def issue_certificates(home: Home) -> None:
    """Two authorities, the token key, and a certificate per identity; what exists is kept."""
    pki.ensure_authority(home.pki, "ca", "deepseek-local-ca")
    pki.ensure_authority(home.pki, "front-proxy-ca", "deepseek-local-front-proxy-ca")
    pki.ensure_key_pair(home.pki, "service-account")
    for identity in IDENTITIES:
        pki.ensure_certificate(home.pki, identity)


def identity_kubeconfig(cluster: Cluster, name: str) -> Path:
    """The kubeconfig of a part, by the name of its certificate."""
    folder = cluster.home.pki
    path = cluster.home.config / f"{name}.kubeconfig"
    return kubeconfig.with_certificate(path, cluster.url, cluster.ca, folder / f"{name}.crt", folder / f"{name}.key")


def etcd(home: Home) -> Daemon:
    """The store. Without fsync: a test bed may lose its last second, a laptop's disk should not be the limit."""
    client = f"http://{LOOPBACK}:{home.port('etcd')}"
    peer = f"http://{LOOPBACK}:{home.port('etcd-peer')}"
    flags = {
        "name": "local",
        "data-dir": str(home.etcd),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"local={peer}",
        "unsafe-no-fsync": "true",
        "quota-backend-bytes": str(4 * 1024**3),
        "auto-compaction-retention": "5m",
        "log-level": "warn",
    }
    return Daemon("etcd", (programs.path("etcd"), *flags_of(flags)))


def apiserver(home: Home, address: str, admission: tuple[str, ...] = (), audit: Manifest = AUDIT_POLICY) -> Daemon:
    """The API server: own certificates, RBAC, audit log, aggregation, no inflight limits that a test would meet."""
    pki_file = {path.name: str(path) for path in sorted(home.pki.glob("*"))}
    policy = home.write("audit-policy.json", dumps(audit, indent=2))
    flags = {
        "etcd-servers": f"http://{LOOPBACK}:{home.port('etcd')}",
        "bind-address": address,
        "advertise-address": NODE_ADDRESS,
        "secure-port": str(home.port("apiserver")),
        "cert-dir": str(home.pki),
        "tls-cert-file": pki_file["apiserver.crt"],
        "tls-private-key-file": pki_file["apiserver.key"],
        "client-ca-file": pki_file["ca.crt"],
        "authorization-mode": "Node,RBAC",
        "allow-privileged": "true",
        "service-cluster-ip-range": SERVICE_RANGE,
        # The one endpoint of the Service `kubernetes` is written by `up`, for the address that pods reach.
        "endpoint-reconciler-type": "none",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki_file["service-account.pub"],
        "service-account-signing-key-file": pki_file["service-account.key"],
        "requestheader-client-ca-file": pki_file["front-proxy-ca.crt"],
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": pki_file["front-proxy-client.crt"],
        "proxy-client-key-file": pki_file["front-proxy-client.key"],
        # An aggregated API is reached at the pod itself: it works with and without kube-proxy.
        "enable-aggregator-routing": "true",
        "kubelet-client-certificate": pki_file["apiserver-kubelet-client.crt"],
        "kubelet-client-key": pki_file["apiserver-kubelet-client.key"],
        "kubelet-preferred-address-types": "InternalIP",
        "audit-policy-file": str(policy),
        "audit-log-path": str(home.audit_log),
        "audit-log-format": "json",
        "audit-log-maxsize": "200",
        "audit-log-maxbackup": "2",
        "max-requests-inflight": "3000",
        "max-mutating-requests-inflight": "1500",
        "watch-cache": "true",
        **({"enable-admission-plugins": ",".join(admission)} if admission else {}),
    }
    home.audit_log.parent.mkdir(parents=True, exist_ok=True)
    return Daemon("apiserver", (programs.path("kube-apiserver"), *flags_of(flags)), inputs=(policy,))


def controller_manager(cluster: Cluster) -> Daemon:
    """The controllers, unthrottled, with an HPA that looks every two seconds."""
    home = cluster.home
    config = str(identity_kubeconfig(cluster, "controller-manager"))
    flags = {
        "kubeconfig": config,
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        "bind-address": LOOPBACK,
        "secure-port": str(home.port("controller-manager")),
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": str(home.pki / "service-account.key"),
        "root-ca-file": str(home.pki / "ca.crt"),
        "cluster-signing-cert-file": str(home.pki / "ca.crt"),
        "cluster-signing-key-file": str(home.pki / "ca.key"),
        "controllers": "*,-node-ipam-controller,-cloud-node-lifecycle-controller,-node-route-controller",
        "horizontal-pod-autoscaler-sync-period": "2s",
        "kube-api-qps": "2000",
        "kube-api-burst": "4000",
        # Made at start, by default outside the home.
        "flex-volume-plugin-dir": str(home.root / "volume-plugins"),
        "concurrent-job-syncs": "20",
        "concurrent-gc-syncs": "40",
    }
    return Daemon(
        "controller-manager", (programs.path("kube-controller-manager"), *flags_of(flags)), inputs=(Path(config),)
    )


def scheduler(cluster: Cluster) -> Daemon:
    """The scheduler, unthrottled. Pods that did not fit are tried again soon: a test should not wait for a back-off."""
    home = cluster.home
    client = identity_kubeconfig(cluster, "scheduler")
    config = home.write("scheduler.json", dumps(scheduler_configuration(client), indent=2))
    flags = {
        "config": str(config),
        "authentication-kubeconfig": str(client),
        "authorization-kubeconfig": str(client),
        "bind-address": LOOPBACK,
        "secure-port": str(home.port("scheduler")),
    }
    return Daemon("scheduler", (programs.path("kube-scheduler"), *flags_of(flags)), inputs=(config, client))


def scheduler_configuration(client: Path) -> Manifest:
    """KubeSchedulerConfiguration; the back-off is a tenth of the default 1 to 10 s."""
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": str(client), "qps": 2000, "burst": 4000},
        "leaderElection": {"leaderElect": False},
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 2,
    }


def _start_server(cluster: Cluster, address: str, admission: tuple[str, ...], audit: Manifest) -> None:
    home = cluster.home
    daemon.ensure(home, etcd(home))
    daemon.ensure(home, apiserver(home, address, admission, audit))
    wait_alive(home, "apiserver", cluster.api.is_ready, timeout_s=120)
    admin = (cluster.admin_certificate, cluster.admin_key)
    kubeconfig.with_certificate(home.kubeconfig, cluster.url, cluster.ca, *admin)
    replace_text(home.root / "url", cluster.url + "\n")


def _start_clients(cluster: Cluster, parts: frozenset[str]) -> None:
    home = cluster.home
    if "controller-manager" in parts:
        daemon.ensure(home, controller_manager(cluster))
    if "scheduler" in parts:
        daemon.ensure(home, scheduler(cluster))
    if "provisioner" in parts:
        provisioner.install(cluster.api)
        daemon.ensure(home, provisioner.daemon(home, cluster.url))
    if "kwok" in parts:
        fake_nodes.install(cluster.api)
        daemon.ensure(home, fake_nodes.daemon(home, identity_kubeconfig(cluster, "kwok")))
    if "controller-manager" in parts:
        # Pods are refused until their namespace has its ServiceAccount: it is the sign that the controllers work.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_alive(home, "controller-manager", lambda: cluster.api.exists(account), timeout_s=60)


def wait_alive(home: Home, name: str, is_true: Callable[[], bool], timeout_s: float) -> None:
    """Wait for a condition that a part brings about; a part that ended is told with the end of its log."""

    def holds() -> bool:
        record = daemon.read_record(home, name)
        if record is None or not record.is_alive():
            log = (home.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:]
            raise RuntimeError("\n".join([f"{name} ended at start:", *log]))
        return is_true()

    wait_for(name, holds, timeout_s)


def flags_of(flags: dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]
