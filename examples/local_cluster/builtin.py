"""The whole cluster of a home folder, in the order in which its parts need each other.

`up` may be interrupted and repeated: every step looks at what is there. `down` needs nothing to be in order: it reads the
records of what was started and changed, so that a half-started or crashed cluster goes away too.
"""

import os
import shutil
from pathlib import Path

from examples.local_cluster import containers, control_plane, daemon, debian, host, images, monitoring, node, programs
from examples.local_cluster.control_plane import NODE_ADDRESS, Cluster
from examples.local_cluster.home import Home
from examples.local_cluster.oci import Image
from examples.local_cluster.progress import say, step

NODE_PARTS = ("prometheus", "discovery", "kubelet", "kube-proxy", "coredns")

# What a cluster keeps in its home; containerd's store is not among them, since it outlives the cluster.
OWNED = frozenset(
    [
        "addresses",
        "audit",
        "config",
        "containerd-state",
        "containerd.sock",
        "containerd.sock.ttrpc",
        "etcd",
        "kubeconfig",
        "kubelet",
        "logs",
        "pki",
        "ports.json",
        "prometheus",
        "run",
        "targets",
        "url",
        "volume-plugins",
        "volumes",
    ]
)


def up_control_plane(home: Home, fake_nodes: int) -> Cluster:
    """The part without a real node; needs no root."""
    cluster = control_plane.start(home)
    cluster.add_fake_nodes(fake_nodes)
    return cluster


def up(home: Home, fake_nodes: int, advertise: dict[str, str]) -> Cluster:
    """The whole cluster. PermissionError without root: bridges, mounts and containers need it."""
    if os.geteuid() != 0:
        raise PermissionError("a real node needs root; without it: up --only control-plane")
    debian.ensure(debian.NODE)
    programs.ensure(*control_plane.PROGRAMS.values(), *node.PROGRAMS)
    with home.lock(), step("bridge, routes and kernel settings"):
        host.prepare(home)
    cluster = control_plane.start(home, address=NODE_ADDRESS)
    with home.lock():
        with step("containerd"):
            containers.ensure(home)
        load(home, images.pause(), unless_present=True)
        with step("kubelet, kube-proxy, DNS"):
            node.start(cluster)
        with step("Prometheus"):
            monitoring.start(cluster)
        node.advertise(cluster.api, advertise)
        cluster.add_fake_nodes(fake_nodes)
    return cluster


def down(home: Home, purge: bool) -> None:
    """End every process, put the machine back, delete the cluster's files; `purge` deletes the images too."""
    with home.lock():
        if (home.root / "host.json").exists():
            with step("pods"):
                _end_pods(home)
        for name in NODE_PARTS:
            daemon.stop(home, name)
    with step("control plane"):
        control_plane.stop(home)
    with home.lock():
        with step("network, mounts, kernel settings"):
            host.restore(home)
        for name in OWNED | ({"containerd"} if purge else set()):
            _remove(home.root / name)


def status(home: Home) -> list[str]:
    """One line per process, then what API server, node and Prometheus say."""
    lines = []
    for record in daemon.records(home):
        lines.append(f"{record.name:<20} {'running' if record.is_alive() else 'DEAD':<8} pid {record.pid}")
    if not lines:
        return [f"no cluster in {home.root}"]
    cluster = control_plane.find(home)
    lines.append(f"{'API server':<20} {'ready' if cluster.api.is_ready() else 'NOT READY':<8} {cluster.url}")
    if daemon.read_record(home, "kubelet") and cluster.api.is_ready():
        lines.append(f"{'node':<20} {'ready' if node.is_ready(cluster.api) else 'NOT READY'}")
        lines.append(f"{'Prometheus':<20} {'ready' if monitoring.is_ready() else 'NOT READY':<8} {monitoring.URL}")
        lines += [f"{'image':<20} {name}" for name in containers.images(home) if not name.startswith("sha256:")]
    return lines


def load(home: Home, image: Image, unless_present: bool = False) -> None:
    """Make an image available to pods; containerd must run."""
    if unless_present and image.name in containers.images(home):
        return
    if not containers.socket(home).exists():
        raise RuntimeError("no containerd runs here: bring the whole cluster up first")
    images.load(home, image)


def _end_pods(home: Home) -> None:
    """The kubelet first, or it would start the containers again; containerd is needed to remove them."""
    daemon.stop(home, "kubelet")
    host.kill_pods()
    try:
        containers.ensure(home)
        containers.clear(home)
    except (RuntimeError, TimeoutError, OSError) as error:
        say(f"containerd does not help to remove the containers: {error}")
    daemon.stop(home, "containerd")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
