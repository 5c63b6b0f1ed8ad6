"""Run in pods, which connect to each other. Standard library only.

python3 reach.py listen PORT…               takes connections at these, and answers datagrams at 53
python3 reach.py ask [ADDRESS, PORT, PROTOCOL]…   one JSON list: those of them that were reached, tried all at once
"""

import errno
import json
import selectors
import socket
import sys
import time

PATIENCE_S = 3.5
"""Long enough for the first packet to be sent twice more, 1 and 3 s after the first: a busy machine drops one."""
AGAIN_S = 0.3
NAMES_PORT = 53


def listen(address: str, ports: list[int]) -> None:
    """For ever."""
    chosen = selectors.DefaultSelector()
    for port in ports:
        chosen.register(socket.create_server((address, port), backlog=512), selectors.EVENT_READ, "TCP")
    if NAMES_PORT in ports:
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind((address, NAMES_PORT))
        chosen.register(names, selectors.EVENT_READ, "UDP")
    while True:
        for key, _ in chosen.select():
            assert isinstance(key.fileobj, socket.socket)
            if key.data == "TCP":
                key.fileobj.accept()[0].close()
            else:
                said, asker = key.fileobj.recvfrom(64)
                key.fileobj.sendto(said, asker)


def ask(targets: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """Those that a connection was made to, or that answered a datagram."""
    chosen, reached = selectors.DefaultSelector(), []
    for target in targets:
        address, port, protocol = target
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
        made.setblocking(False)
        begun = made.connect_ex((address, port))
        if begun not in (0, errno.EINPROGRESS):
            continue
        chosen.register(made, selectors.EVENT_WRITE if protocol == "TCP" else selectors.EVENT_READ, target)
    until = time.monotonic() + PATIENCE_S
    while chosen.get_map() and time.monotonic() < until:
        for key in list(chosen.get_map().values()):
            # The kernel sends what begins a connection again, but no datagram.
            if key.data[2] == "UDP":
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.send(b"?")
        for key, _ in chosen.select(AGAIN_S):
            assert isinstance(key.fileobj, socket.socket)
            if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                reached.append(key.data)
            chosen.unregister(key.fileobj)
            key.fileobj.close()
    return reached


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        listen("", [int(port) for port in sys.argv[2:]])
    print(json.dumps(ask([tuple(target) for target in json.loads(sys.argv[2])])))
