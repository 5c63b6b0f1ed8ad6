"""TCP ports of this machine."""

import errno
import random
import socket

PORTS = range(10000, 20000)
"""Below the range from which Linux takes the ports of outgoing connections (32768-60999, ip_local_port_range), and beside
what the local cluster takes (20000-29999) and node ports (30000-32767)."""

_claims: list[socket.socket] = []
"""Held until the process ends, so that no other process of tests is given the same port."""


def free_port() -> int:
    """A port that nobody uses, at any address of this machine, and that nobody else is given before its server binds it.

    The kernel's own choice (port 0) is free only at that moment: until the server that it is meant for has started, it may
    become the near end of any outgoing connection. Seen: an Envoy refused, one second after its port had been chosen.

    Raises:
        RuntimeError: none of 200 drawn ports is free.
    """
    for port in random.SystemRandom().sample(PORTS, min(200, len(PORTS))):
        if _is_claimed(port) and _is_free(port):
            return port
    raise RuntimeError(f"no free TCP port in {PORTS.start}-{PORTS.stop - 1}")


def _is_claimed(port: int) -> bool:
    """True when the port is ours from now on among all processes of tests: a name in the abstract namespace is bound once."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0deepseek-operator-tests-port-{port}")
    except OSError as error:
        claim.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    _claims.append(claim)
    return True


def _is_free(port: int) -> bool:
    """True when a server of all addresses may bind the port.

    Asked for one address alone, the kernel gives ports that another has connections on, where a server of all addresses
    is refused: seen beside a cluster, whose nodes and pods have addresses of their own.
    """
    is_dual = socket.has_dualstack_ipv6()
    with socket.socket(socket.AF_INET6 if is_dual else socket.AF_INET) as probe:
        if is_dual:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True
