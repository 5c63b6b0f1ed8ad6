"""What each command that a person types reaches, declared in one place and made ready before anything long starts.

A program that only another path happened to build is found missing on a new machine a quarter of an hour too late.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from examples.local_cluster import debian, leftover, programs
from examples.local_cluster.control_plane import NODE_ADDRESS, SERVICE_RANGE
from examples.local_cluster.home import CACHE, Home, is_free
from examples.local_cluster.host import BRIDGE, POD_RANGE

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
NODE = ("kubelet", "kube-proxy", "coredns")
NODE_NETWORK = f"{NODE_ADDRESS}/24"
NODE_PORTS = (6443, 9090, 10250, 53)
"""API server, Prometheus, kubelet and DNS on the node's address, which only a leftover can hold."""
LEAST_PYTHON, LEAST_GO = (3, 11), (1, 26)


@dataclass(frozen=True)
class Entry:
    """One command.

    Attributes:
        programs: of `programs.PACKAGES`, all that it may start.
        packages: Debian packages that it needs.
        has_node: it brings up the real node: root, ports and networks of its own.
        free_gb: what it writes on a machine with empty caches, in 10^9 bytes.
    """

    programs: tuple[str, ...]
    packages: Mapping[str, tuple[str, str | None]]
    has_node: bool
    free_gb: int


_WHOLE = Entry((*CONTROL_PLANE, *NODE, "helm"), {**debian.NODE, **debian.IMAGES}, True, 30)
ENTRIES: Mapping[str, Entry] = {
    "examples/run": _WHOLE,
    "up": Entry((*CONTROL_PLANE, *NODE), debian.NODE, True, 12),
    "up --only control-plane": Entry(CONTROL_PLANE, {}, False, 8),
    "images": Entry((), debian.IMAGES, False, 20),
    "api": Entry(("etcd", "kube-apiserver", "kube-controller-manager", "helm"), {}, False, 8),
    "e2e": _WHOLE,
    "benchmarks": Entry(("etcd", "kube-apiserver", "kube-controller-manager", "helm"), {}, False, 8),
}
GIVEN = Entry(("helm",), {}, False, 4)
"""What is needed to drive a cluster that somebody gave with KUBECONFIG."""


def ensure(name: str, home: Home) -> None:
    """Make ready all that the entry reaches.

    Raises:
        KeyError: there is no such entry.
        RuntimeError: the machine lacks something that can't be installed; every such thing in a line of its own.
    """
    entry = ENTRIES[name]
    if entry.has_node and is_given(home):
        entry = replace(GIVEN, programs=tuple(set(GIVEN.programs) & set(entry.programs)))
    if entry.has_node and os.geteuid() == 0:
        leftover.clear(home)
    problems = list(obstacles(entry, home))
    if problems:
        raise RuntimeError("\n".join([f"this machine can't run {name} yet:", *(f"  - {one}" for one in problems)]))
    debian.ensure(entry.packages)
    programs.ensure(*entry.programs)


def is_given(home: Home) -> bool:
    """True when KUBECONFIG names a cluster that is not of this home."""
    given = os.environ.get("KUBECONFIG", "")
    return given != "" and Path(given).expanduser().resolve() != home.kubeconfig


def obstacles(entry: Entry, home: Home) -> Iterator[str]:
    """What would stop the entry after minutes of work, each with what to do about it."""
    missing = [name for name in entry.programs if not Path(programs.path(name)).exists()]
    if sys.version_info < LEAST_PYTHON:
        yield f"Python {_dotted(LEAST_PYTHON)} is needed, this is {sys.version.split()[0]}"
    if missing and (wrong := _go()) is not None:
        yield wrong
    if missing or not (CACHE / "layers").exists():
        yield from _room(entry.free_gb if missing else entry.free_gb // 2)
    if not entry.has_node:
        return
    if os.geteuid() != 0:
        yield "a real node needs root (bridges, mounts, containers): run it as root, or examples/cluster up --only control-plane"
    if not (home.root / "host.json").exists():
        yield from _taken()


def _go() -> str | None:
    if shutil.which("go") is None:
        return f"Go {_dotted(LEAST_GO)} is needed to build Kubernetes, and `go` is not on the PATH"
    told = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
    parts = told.removeprefix("go").split(".")
    version = tuple(int(part) for part in parts[:2] if part.isdigit())
    return (
        f"Go {_dotted(LEAST_GO)} is needed to build Kubernetes, this is {told}"
        if version and version < LEAST_GO
        else None
    )


def _room(free_gb: int) -> Iterator[str]:
    folder = next(path for path in (CACHE, *CACHE.parents) if path.exists())
    free = shutil.disk_usage(folder).free / 1e9
    if free < free_gb:
        yield f"{folder} has {free:.0f} GB free, {free_gb} GB are needed: free some, or name another place as DEEPSEEK_CACHE"


def _taken() -> Iterator[str]:
    """Ports, bridge and networks that something else holds; asked only where this home's cluster is not up."""
    if Path("/sys/class/net", BRIDGE).exists():
        yield f"the bridge {BRIDGE} exists: another cluster runs here; take it down (examples/cluster down) in the clone that brought it up"
        return
    for port in NODE_PORTS[:3]:
        if not is_free(port):
            yield f"port {port} is in use: end what listens on it (ss -ltnp 'sport = :{port}')"
    for wanted in (NODE_NETWORK, POD_RANGE, SERVICE_RANGE):
        if (other := _route_into(ip_network(wanted, strict=False))) is not None:
            yield f"the network {wanted} is in use: there is a route to {other} (ip route)"


def _route_into(wanted: IPv4Network | IPv6Network) -> str | None:
    """A route of this machine, the default one aside, that overlaps the network."""
    if shutil.which("ip") is None:
        return None
    told = subprocess.run(["ip", "-4", "route", "show"], capture_output=True, text=True, check=False).stdout
    for line in told.splitlines():
        destination = line.split()[0]
        if destination not in ("default", "unreachable", "blackhole", "prohibit"):
            network = ip_network(destination, strict=False)
            if not network.is_loopback and network.overlaps(wanted):
                return destination
    return None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
