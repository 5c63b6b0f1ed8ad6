"""containerd: the node's container runtime, with its whole state in the cluster's home.

Its content store outlives `down`, so that images of some gigabytes need not be imported again.
"""

import subprocess
from json import dumps, loads
from pathlib import Path

from examples.local_cluster import daemon
from examples.local_cluster.daemon import Daemon
from examples.local_cluster.home import Home
from examples.local_cluster.host import POD_RANGE
from examples.local_cluster.progress import wait_for

NAMESPACE = "k8s.io"
PAUSE_IMAGE = "deepseek-operator.io/pause:dev"
PLUGINS = "/usr/lib/cni"


def socket(home: Home) -> Path:
    return home.root / "containerd.sock"


def ensure(home: Home) -> None:
    """Start containerd and return when it answers."""
    daemon.ensure(home, containerd(home))
    wait_for("containerd", lambda: _ctr(home, "version", check=False).returncode == 0, timeout_s=30)


def containerd(home: Home) -> Daemon:
    config = home.write("containerd.toml", configuration(home))
    network(home)
    return Daemon("containerd", ("/usr/bin/containerd", f"--config={config}"), inputs=(config,))


def configuration(home: Home) -> str:
    """containerd 1.6 and later read this version of the file."""
    return f"""version = 2
root = "{home.containerd}/root"
state = "{home.root}/containerd-state"
# Plugins that look for file systems and services of other set-ups, and log their absence.
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", \
"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = "{socket(home)}"

[plugins."io.containerd.internal.v1.opt"]
path = "{home.containerd}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Without the capability for negative OOM scores (a container, a small virtual machine) every sandbox would fail.
restrict_oom_score_adj = true
max_concurrent_downloads = 3
# Elsewhere, /run/netns, the first `ip netns add` on the machine mounts over the pods' namespaces: none could be ended, even by `down`.
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{home.config}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def network(home: Home) -> Path:
    """The pod network: a routed pair of interfaces per pod, so that Services work without bridge netfilter."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(home.root / "addresses"),
    }
    plugin = {"type": "ptp", "ipMasq": False, "mtu": 1400, "ipam": ipam}
    value = {"cniVersion": "1.0.0", "name": "deepseek-local", "plugins": [plugin]}
    return home.write("cni/10-deepseek-local.conflist", dumps(value, indent=2))


def clear(home: Home) -> None:
    """Remove every container, its snapshot and its network namespace; images stay. containerd must run."""
    for identifier in _ctr(home, "tasks", "list", "--quiet").stdout.split():
        _ctr(home, "tasks", "delete", "--force", identifier, check=False)
    for identifier in _ctr(home, "containers", "list", "--quiet").stdout.split():
        namespace = _network_namespace(home, identifier)
        _ctr(home, "containers", "delete", identifier, check=False)
        if namespace:
            subprocess.run(["umount", str(namespace)], capture_output=True)
            namespace.unlink(missing_ok=True)


def images(home: Home) -> list[str]:
    """Names of the images that are in the store."""
    return sorted(_ctr(home, "images", "list", "--quiet").stdout.split())


def import_image(home: Home, archive: Path) -> None:
    """Load an OCI archive and unpack it; layers that the store has already need not be in it."""
    _ctr(home, "images", "import", str(archive))


def pin(home: Home, image: str) -> None:
    """Keep the kubelet from deleting an image that no registry could give back."""
    _ctr(home, "images", "label", image, "io.cri-containerd.pinned=pinned", "io.cri-containerd.image=managed")


def blob(home: Home, digest: str) -> Path:
    """Where the content store keeps a blob, present or not."""
    algorithm, _, value = digest.partition(":")
    return home.containerd / "root" / "io.containerd.content.v1.content" / "blobs" / algorithm / value


def _network_namespace(home: Home, identifier: str) -> Path | None:
    """The named network namespace that containerd made for a sandbox."""
    info = loads(_ctr(home, "containers", "info", identifier).stdout)
    namespaces = info.get("Spec", {}).get("linux", {}).get("namespaces", [])
    paths = [Path(entry["path"]) for entry in namespaces if entry["type"] == "network" and entry.get("path")]
    return next((path for path in paths if path.name.startswith("cni-")), None)


def _ctr(home: Home, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    command = ["ctr", f"--address={socket(home)}", f"--namespace={NAMESPACE}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"ctr {' '.join(arguments)}: {done.stderr.strip()[-1000:]}")
    return done
