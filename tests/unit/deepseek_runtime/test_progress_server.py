"""Whoever reaches a training pod's port may read numbers from it, and do nothing else to it."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from deepseek_runtime.launcher.server import MOST_CONNECTIONS, serve


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = serve(0, lambda: {"step": 7})
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def asked(port: int, path: str = "/progress", **request: object) -> bytes:
    wanted = urllib.request.Request(f"http://127.0.0.1:{port}{path}", **request)  # type: ignore[arg-type]
    with urllib.request.urlopen(wanted, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def test_idle_connections_keep_nobody_from_reading_progress(port: int) -> None:
    """Those that say nothing give way to those that ask."""
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(4 * MOST_CONNECTIONS)]
    assert asked(port) == b'{"step": 7}'
    assert threading.active_count() - before <= 2 * MOST_CONNECTIONS
    for one in idle:
        one.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /progress HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /progress HTTP/1.1\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
        b"POST /progress HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n",
    ],
)
def test_what_is_no_question_is_answered_with_an_error(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(sent)
        answer = client.recv(4000)
    assert b"step" not in answer
    assert b" 200 " not in answer
    assert asked(port) == b'{"step": 7}'


@pytest.mark.parametrize("path", ["/", "/progress/../../etc/passwd", "/%2e%2e/"])
def test_there_is_nothing_else_to_read(port: int, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        asked(port, path)
