"""What a cluster changes on the machine itself, and how it is put back.

One bridge carries the node's address (the kubelet refuses loopback), one nft table lets pods reach the outside, a few
kernel settings are changed by the kubelet and kube-proxy. What was there before is written down before it is changed.
"""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from json import dumps, loads
from pathlib import Path

from examples.local_cluster import diversion
from examples.local_cluster.control_plane import NODE_ADDRESS, SERVICE_RANGE
from examples.local_cluster.home import Home, replace_text

BRIDGE = "br-node"
ALIAS_LENGTH = 255
"""Characters that the kernel keeps of a link's alias (Linux, include/uapi/linux/if.h: IFALIASZ less one)."""
POD_RANGE = "10.244.0.0/24"
NFT_TABLE = "deepseek-cluster"
PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))

PODS = "kubepods"  # The kubelet's cgroup of all pods.

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

# Where kubelet, CNI and containerd keep things whatever their settings say; removed if they were not there before.
FIXED_FOLDERS = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/run/containerd")


def prepare(home: Home) -> None:
    """Make bridge, route, masquerading and forwarding; RuntimeError if another cluster owns the bridge."""
    if not _record(home).exists():
        if has_bridge():
            raise RuntimeError(f"{BRIDGE} exists: another cluster runs on this machine (or was not taken down)")
        if _cgroups(PODS):
            raise RuntimeError("another kubelet runs pods on this machine")
        replace_text(_record(home), dumps(_before(), indent=2))
    if not has_bridge():
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "link", "set", BRIDGE, "alias", f"{home.root}"[:ALIAS_LENGTH])
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
    kill_pods()
    unmount_below(home.root)
    remove_networks()
    before = loads(_record(home).read_text())
    for name, value in before["settings"].items():
        _setting(name).write_text(value)
    for folder in before["absent"]:
        shutil.rmtree(folder, ignore_errors=True)
    _record(home).unlink()


def owner() -> Path | None:
    """The home of the cluster whose bridge is here, as the bridge tells; None if it tells nothing."""
    alias = Path("/sys/class/net", BRIDGE, "ifalias")
    told = alias.read_text().strip() if alias.exists() else ""
    return Path(told) if told else None


def remove_networks() -> None:
    """Delete the rules, the bridge and the pods' links, whoever made them."""
    diversion.remove()
    for family, table in (("ip", NFT_TABLE), *PROXY_TABLES):
        subprocess.run(["nft", "delete", "table", family, table], capture_output=True)
    # A pod's end stays as long as its network's namespace is mounted somewhere, maybe where this process can't look.
    for link in _pod_links():
        subprocess.run(["ip", "link", "delete", link], capture_output=True)
    if has_bridge():
        _run("ip", "link", "delete", BRIDGE)


def unmount_below(folder: Path) -> None:
    """Unmount everything mounted below a folder, the deepest first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [point for point in points if point.startswith(f"{folder}/")]
    for point in sorted(below, key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point.encode().decode("unicode_escape")], capture_output=True)


def kill_pods() -> None:
    """End every process in the kubelet's cgroup, and remove it."""
    roots = _cgroups(PODS)
    for root in roots:
        for pid in _members(root):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for root in roots:
        _remove_cgroup(root)


def _members(root: Path) -> set[int]:
    """Processes of a cgroup and those below it; containers that end meanwhile take theirs away."""
    pids = set()
    for folder, _, _ in os.walk(root):
        with suppress(OSError):
            pids |= {int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split()}
    return pids


def _remove_cgroup(root: Path) -> None:
    """Remove the folders, the deepest first; the kernel lets go of one a moment after its last process ended."""
    for folder in [Path(path) for path, _, _ in os.walk(root, topdown=False)]:
        for _ in range(50):
            try:
                folder.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)
            else:
                break


def _cgroups(name: str) -> list[Path]:
    """Where a cgroup lies: in each hierarchy of version 1, or in the one of version 2."""
    root = Path("/sys/fs/cgroup")
    return sorted(path for path in (root / name, *root.glob(f"*/{name}")) if path.exists())


def _before() -> dict[str, object]:
    """What the machine is like before the first change."""
    settings = {name: _setting(name).read_text().strip() for name in SETTINGS if _setting(name).exists()}
    return {"settings": settings, "absent": [folder for folder in FIXED_FOLDERS if not Path(folder).exists()]}


def _record(home: Home) -> Path:
    return home.root / "host.json"


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name


def has_bridge() -> bool:
    """True when this machine has a cluster's bridge, of whatever home."""
    return Path("/sys/class/net", BRIDGE).exists()


def _pod_links() -> list[str]:
    """The machine's ends of the pods' networks: what its routes into the pods' range go through."""
    if shutil.which("ip") is None:
        return []
    told = subprocess.run(["ip", "-4", "route", "show", "to", "root", POD_RANGE], capture_output=True, text=True)
    words = [line.split() for line in told.stdout.splitlines()]
    links = {line[line.index("dev") + 1] for line in words if "dev" in line}
    return sorted(link for link in links if link.startswith("veth"))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
