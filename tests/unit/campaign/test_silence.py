"""When everything that disturbs has ended, nothing is silent by a fault that is over."""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.fault_proxy import FaultProxy, NoAnswer

EVENT = b'{"type":"ADDED"}\n'
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """In front of a server that answers everything with an endless stream: an event for each line that a test feeds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_stream, args=(server,), daemon=True).start()
        made = FaultProxy(f"http://127.0.0.1:{server.getsockname()[1]}", ssl.create_default_context(), lambda: None)
        yield made.start()
        made.stop()


def _stream(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        connection.recv(65536)
        connection.sendall(HEAD + b"%x\r\n%s\r\n" % (len(EVENT), EVENT))


def asked(proxy: FaultProxy, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(str(urlsplit(proxy.url).hostname), urlsplit(proxy.url).port, timeout=5)
    connection.request("GET", path)
    return connection.getresponse()


def test_a_stream_that_is_half_open_is_cut_and_one_that_is_well_goes_on(proxy: FaultProxy) -> None:
    deaf, well = asked(proxy, "/api/v1/pods?watch=true"), asked(proxy, "/api/v1/services?watch=true")
    assert (deaf.readline(), well.readline()) == (EVENT, EVENT)
    proxy.deaf_to.add("pods")
    proxy.tell("pods", b"unheard\n")
    proxy.wake()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        deaf.read()
    proxy.tell("services", b"heard\n")
    assert (well.readline(), proxy.deaf_to) == (b"heard\n", set())


def test_a_request_that_waits_in_vain_is_cut(proxy: FaultProxy) -> None:
    proxy.answer = lambda _: NoAnswer.SILENCE
    waits: list[BaseException] = []

    def ask() -> None:
        try:
            asked(proxy, "/api/v1/pods")
        except (http.client.HTTPException, OSError) as error:
            waits.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not proxy.asked:
        thread.join(0.01)
    proxy.wake()
    thread.join(5)
    assert not isinstance(waits[0], TimeoutError)


def test_nobody_listens_twice_is_once(proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        asked(proxy, "/api/v1/pods?watch=true")
    proxy.listen()
    proxy.listen()
    assert asked(proxy, "/api/v1/pods?watch=true").readline() == EVENT


def test_what_is_stopped_has_nothing_that_could_wake(proxy: FaultProxy) -> None:
    proxy.stop()
    proxy.wake()
