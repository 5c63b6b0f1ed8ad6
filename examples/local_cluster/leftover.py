"""What a cluster leaves whose processes ended without `down`: a killed terminal, a killed machine, a deleted cache.

The bridge tells of one: it says in its alias whose it is. Nothing of it lives when nobody listens on the node's
address, where API server and kubelet would.
"""

from ipaddress import IPv4Address
from pathlib import Path

from examples.local_cluster import builtin, host
from examples.local_cluster.control_plane import NODE_ADDRESS
from examples.local_cluster.home import Home
from examples.local_cluster.progress import say, wait_for

START_S = 10
"""A cluster that is coming up has its bridge for some seconds before its API server listens."""
LISTENING = "0A"
"""The state of a socket in /proc/net/tcp (Linux, include/net/tcp_states.h: TCP_LISTEN)."""


def clear(home: Home, wait_s: float = START_S) -> None:
    """Take a dead cluster of another home down; nothing where none is, or where one lives."""
    if (home.root / "host.json").exists() or not host.has_bridge() or not _stays_silent(wait_s):
        return
    owner = host.owner()
    say(f"a cluster was killed here and left its networks ({owner or 'its folder is unknown'}): taking it down")
    if owner is not None and (owner / "host.json").exists():
        builtin.down(Home(owner), purge=False)
    else:
        host.kill_pods()
        host.remove_networks()


def _stays_silent(wait_s: float) -> bool:
    try:
        wait_for("a cluster that is coming up", lambda: _listens(NODE_ADDRESS), wait_s)
    except TimeoutError:
        return True
    return False


def _listens(address: str) -> bool:
    """True when a socket of this machine listens on the address, for whatever port."""
    wanted = f"{int.from_bytes(IPv4Address(address).packed, 'little'):08X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].split(":")[0] == wanted and row[3] == LISTENING for row in rows)
