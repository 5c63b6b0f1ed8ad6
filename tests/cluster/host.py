"""What a cluster changes on the machine itself, and how it is put back.

One bridge carries the node's address (the kubelet refuses loopback), one nft table lets pods reach the outside, a few
kernel settings are changed by the kubelet and kube-proxy. What was there before is written down before it is changed.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from json import dumps, loads
from pathlib import Path

from tests.cluster.control_plane import NODE_ADDRESS, SERVICE_RANGE
from tests.cluster.home import Home, replace_text

BRIDGE = "br-node"
POD_RANGE = "10.244.0.0/24"
NFT_TABLE = "deepseek-cluster"
PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))

# Kernel settings that the node needs, and those that the kubelet sets on its own.
FORWARD = "net/ipv4/ip_forward"
SETTINGS = (
    FORWARD,
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)

# Folders that kubelet, CNI and containerd make at fixed places, the deepest first.
LEFT_BEHIND = (
    *(
        "/var/log/containers",
        "/var/lib/kubelet/device-plugins",
        "/var/lib/kubelet",
        "/var/lib/cni/results",
        "/var/lib/cni",
    ),
    *("/run/containerd/runc/k8s.io", "/run/containerd/runc", "/run/containerd/s", "/run/containerd"),
)


def prepare(home: Home) -> None:
    """Make bridge, route, masquerading and forwarding; RuntimeError if another cluster owns the bridge."""
    if not _record(home).exists():
        if _exists(BRIDGE):
            raise RuntimeError(f"{BRIDGE} exists: another cluster runs on this machine (or was not taken down)")
        before = {name: (Path("/proc/sys") / name).read_text().strip() for name in SETTINGS if _setting(name).exists()}
        replace_text(_record(home), dumps({"settings": before}, indent=2))
    if not _exists(BRIDGE):
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "address", "replace", f"{NODE_ADDRESS}/24", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    # Service addresses need some route before kube-proxy rewrites them, on a machine without a default route too.
    _run("ip", "route", "replace", SERVICE_RANGE, "dev", BRIDGE, "src", NODE_ADDRESS)
    _setting(FORWARD).write_text("1")
    subprocess.run(["nft", "-f", "-"], input=masquerade(), text=True, check=True)


def masquerade() -> str:
    """Rules by which pods reach addresses outside the machine; replaced as a whole, so that applying twice is once."""
    return f"""
table ip {NFT_TABLE}
delete table ip {NFT_TABLE}
table ip {NFT_TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {POD_RANGE} ip daddr != {{ {POD_RANGE}, {SERVICE_RANGE}, {NODE_ADDRESS} }} masquerade
  }}
}}
"""


def restore(home: Home) -> None:
    """Undo `prepare` and what kube-proxy and the kubelet left; nothing if this home changed nothing."""
    if not _record(home).exists():
        return
    kill_cgroup("kubepods")
    unmount_below(home.root)
    for family, table in (("ip", NFT_TABLE), *PROXY_TABLES):
        subprocess.run(["nft", "delete", "table", family, table], capture_output=True)
    if _exists(BRIDGE):
        _run("ip", "link", "delete", BRIDGE)
    for name, value in loads(_record(home).read_text())["settings"].items():
        _setting(name).write_text(value)
    for link in Path("/var/log/containers").glob("*.log"):
        if str(os.readlink(link)).startswith(str(home.root)):
            link.unlink()
    for folder in LEFT_BEHIND:
        with suppress(OSError):
            Path(folder).rmdir()  # Only if it is empty.
    _record(home).unlink()


def unmount_below(folder: Path) -> None:
    """Unmount everything mounted below a folder, the deepest first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [point for point in points if point.startswith(f"{folder}/")]
    for point in sorted(below, key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point.encode().decode("unicode_escape")], capture_output=True)


def kill_cgroup(name: str) -> None:
    """End every process in the node's cgroup and remove it, in all hierarchies of cgroup v1 or the one of v2."""
    roots = [
        path for path in (Path("/sys/fs/cgroup") / name, *Path("/sys/fs/cgroup").glob(f"*/{name}")) if path.exists()
    ]
    for root in roots:
        for tasks in root.rglob("cgroup.procs"):
            for pid in tasks.read_text().split():
                os.kill(int(pid), signal.SIGKILL)
    for root in roots:
        _remove_cgroup(root)


def _remove_cgroup(root: Path) -> None:
    folders = sorted(
        (path for path in root.rglob("*") if path.is_dir()), key=lambda path: len(path.parts), reverse=True
    )
    for folder in [*folders, root]:
        for _ in range(50):
            try:
                folder.rmdir()
            except OSError:
                time.sleep(0.02)  # The kernel lets go of a cgroup a moment after its last process ended.
            else:
                break


def _record(home: Home) -> Path:
    return home.root / "host.json"


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name


def _exists(link: str) -> bool:
    return (Path("/sys/class/net") / link).exists()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
