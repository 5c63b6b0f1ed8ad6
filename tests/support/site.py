"""A web server on this machine with files, and what goes wrong with one: it is asked by HEAD and GET, with Range and If-Range."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.http_server import Counting, answering

_PIECE = 64 << 10


@dataclass
class Site(Counting):
    """What it has, what it does wrong, and what it was asked.

    Attributes:
        files: by path, without a slash before it; `redirects`: where a path sends its readers instead; `statuses`: with which
            one is answered.
        tokens: who may read; empty: everybody.
        flips: how often a file comes with one byte changed; `breaks`: how often it ends after a half; `troubles`: how often it
            is answered 503 first.
        knows_ranges, knows_head: whether it answers with 206, and to HEAD; `tells`: the headers that tell a version.
        pause_s: between two pieces of 64 KiB.
        address: of this machine, on which it answers.
        sent: bytes of each file that went out; `asked`: methods and paths, with the Range behind them; `got`: tokens that came.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    tokens: frozenset[str] = frozenset()
    flips: Counter[str] = field(default_factory=Counter)
    breaks: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    knows_ranges: bool = True
    knows_head: bool = True
    tells: frozenset[str] = frozenset({"ETag"})
    pause_s: float = 0.0
    address: str = "127.0.0.1"
    asked: list[str] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    url: str = ""
    port: int = 0
    _changed: threading.Event = field(default_factory=threading.Event)

    def put(self, folder: str, files: Mapping[str, bytes]) -> None:
        """Files below a folder, with what sha256sum prints of them."""
        self.files |= {f"{folder}/{name}": body for name, body in files.items()}
        self.files[f"{folder}/SHA256SUMS"] = sums(files)

    @contextmanager
    def serving(self) -> Iterator["Site"]:
        """Answers on a port of this machine meanwhile."""
        site = self

        class Handler(_Handler):
            told = site

        with answering(self.address, Handler, self.tls) as self.port:
            self.url = f"{self.scheme}://{self.address}:{self.port}"
            yield self

    def wait(self) -> None:
        if self.pause_s:
            self._changed.wait(self.pause_s)


def sums(files: Mapping[str, bytes]) -> bytes:
    """As `find . -type f -exec sha256sum {} +` prints them."""
    return "".join(f"{hashlib.sha256(body).hexdigest()}  ./{name}\n" for name, body in files.items()).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: Site

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # Readers are killed.
            super().handle()

    def do_HEAD(self) -> None:
        self._file() if self.told.knows_head else self._refuse(501)

    def do_GET(self) -> None:
        self._file()

    def _file(self) -> None:
        site, path, asked = self.told, self.path.removeprefix("/"), self.headers.get("Range", "")
        site.asked.append(f"{self.command} {path} {asked}".strip())
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        site.got += [token] if token else []
        if site.tokens and token not in site.tokens:
            return self._refuse(401)
        if path in site.redirects:
            return self._refuse(302, {"Location": site.redirects[path]})
        if path in site.statuses:
            return self._refuse(site.statuses[path])
        if path not in site.files:
            return self._refuse(404)
        if site.take(site.troubles, path):
            return self._refuse(503)
        content = site.files[path]
        if self.command == "GET" and content and site.take(site.flips, path):
            content = bytes([content[0] ^ 1]) + content[1:]
        return self._send(path, content, asked.removeprefix("bytes=").rstrip("-"))

    def _send(self, path: str, content: bytes, asked: str) -> None:
        site = self.told
        version = f'"{hashlib.md5(site.files[path]).hexdigest()}"'
        stale = self.headers.get("If-Range") not in (None, version)
        start = int(asked) if asked and site.knows_ranges and not stale else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for name in site.tells:
            self.send_header(name, version)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        end = (start + len(content)) // 2 if site.take(site.breaks, path) else len(content)
        for at in range(start, end, _PIECE):
            piece = content[at : min(at + _PIECE, end)]
            self.wfile.write(piece)
            site.count(path, len(piece))
            site.wait()
        self.close_connection = end < len(content)

    def _refuse(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
