"""A proxy on this machine, by which others are asked: it knows names that nobody else does."""

import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.support.http_server import answering

_PIECE = 64 << 10


@dataclass
class ForwardProxy:
    """`names`: ports of this machine by the name of a host; `asked`: what it was asked for, with the way behind it."""

    names: Mapping[str, int]
    asked: list[str] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def serving(self) -> Iterator["ForwardProxy"]:
        """Answers on a port of this machine meanwhile."""
        proxy = self

        class Handler(_Handler):
            told = proxy

        with answering("127.0.0.1", Handler) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield self


class _Handler(BaseHTTPRequestHandler):
    """A tunnel for CONNECT, and one request a connection for what names a whole address."""

    told: ForwardProxy

    def log_message(self, *_: Any) -> None:
        pass

    def do_CONNECT(self) -> None:
        with self._reached(self.path.partition(":")[0]) as there:
            if there is not None:
                self.send_response(200)
                self.end_headers()
                self._tunnel(there)

    def do_GET(self) -> None:
        self._answered()

    def do_HEAD(self) -> None:
        self._answered()

    def _answered(self) -> None:
        with self._reached(urlsplit(self.path).hostname or "") as there:
            if there is None:
                return
            there.sendall(self._request().encode())
            with there.makefile("rb") as answer:
                while (line := answer.readline()).strip():
                    self.wfile.write(line)
                # Else the next request may be on its way here while the server hangs up.
                self.wfile.write(b"Connection: close\r\n\r\n")
                while piece := answer.read1(_PIECE):
                    self.wfile.write(piece)

    def _request(self) -> str:
        url = urlsplit(self.path)
        headers = "".join(
            f"{name}: {value}\r\n" for name, value in self.headers.items() if name.lower() != "connection"
        )
        query = f"?{url.query}" if url.query else ""
        return f"{self.command} {url.path}{query} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"

    @contextmanager
    def _reached(self, host: str) -> Iterator[socket.socket | None]:
        """A connection to who has that name; None where nobody has."""
        self.close_connection = True
        self.told.asked.append(f"{host} {self.command}")
        if host not in self.told.names:
            self.send_error(502)
            yield None
            return
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.told.names[host])) as there:
            yield there

    def _tunnel(self, there: socket.socket) -> None:
        other = {there: self.connection, self.connection: there}
        while True:
            for one in select.select(list(other), [], [])[0]:
                piece = one.recv(_PIECE)
                if not piece:
                    return
                other[one].sendall(piece)
