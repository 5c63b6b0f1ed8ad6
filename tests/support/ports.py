"""TCP ports of this machine."""

import socket


def free_port() -> int:
    """A port that nobody uses now, at any address of this machine.

    Asked for one address alone, the kernel gives ports that another has connections on, where a server of all addresses
    is refused: seen beside a cluster, whose nodes and pods have addresses of their own.
    """
    is_dual = socket.has_dualstack_ipv6()
    with socket.socket(socket.AF_INET6 if is_dual else socket.AF_INET) as probe:
        if is_dual:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
