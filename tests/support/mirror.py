"""A mirror of the Hugging Face Hub on this machine: its API of repositories and files, and what goes wrong with one.

`/api/models/<name>/revision/<revision>?blobs=true` and `/<name>/resolve/<commit>/<path>`, with Range, of datasets the same
below `datasets/`, by which they are called here too; files in LFS lie elsewhere, where `resolve` sends their readers, as the
hub does.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.http_server import Counting, answering

LFS = (".safetensors", ".parquet")
DATASETS = "datasets/"
_PIECE = 64 << 10


@dataclass
class Mirror(Counting):
    """What it has, what it does wrong, and what it was asked.

    Attributes:
        commits: files by repository and commit; `names`: the commits of its branches and tags.
        tokens: who may read; empty: everybody. `gated`: repositories whose conditions nobody accepted.
        flips: how often a file by its path comes with one byte changed; `breaks`: how often it ends after a half.
        troubles: how often any file is answered 503 first.
        knows_ranges: whether it answers with 206.
        pause_s: between two pieces of 64 KiB.
        address: of this machine, on which it answers; `elsewhere`: another name of it, under which large files lie.
        sent: bytes of each file that went out; `asked`: paths, with the Range behind them.
    """

    commits: dict[str, dict[str, Mapping[str, bytes]]] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: frozenset[str] = frozenset()
    gated: frozenset[str] = frozenset()
    flips: Counter[str] = field(default_factory=Counter)
    breaks: Counter[str] = field(default_factory=Counter)
    troubles: int = 0
    knows_ranges: bool = True
    pause_s: float = 0.0
    address: str = "127.0.0.1"
    elsewhere: str = "localhost"
    asked: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    url: str = ""
    port: int = 0
    changed: threading.Event = field(default_factory=threading.Event)

    def push(self, repository: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """A commit, which the branch then names."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits.setdefault(repository, {})[commit] = files
        self.names.setdefault(repository, {})[branch] = commit
        return commit

    @contextmanager
    def serving(self) -> Iterator["Mirror"]:
        """Answers on a port of this machine meanwhile."""
        mirror = self

        class Handler(_Handler):
            told = mirror

        with answering(self.address, Handler, self.tls) as self.port:
            self.url = f"{self.scheme}://{self.address}:{self.port}"
            yield self


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: Mirror

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # Readers are killed.
            super().handle()

    def do_GET(self) -> None:
        mirror, path = self.told, unquote(urlsplit(self.path).path)
        asked_range = self.headers.get("Range", "")
        mirror.asked.append(f"{path} {asked_range}".strip())
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if path.startswith("/lfs/"):
            if token:
                mirror.leaked.append(path)
            return self._lfs(path.removeprefix("/lfs/"))
        if mirror.tokens and token not in mirror.tokens:
            return self._refuse(401, "RepoNotFound", "Invalid username or password.")
        if path.startswith("/api/models/"):
            return self._revision(path.removeprefix("/api/models/"))
        if path.startswith(f"/api/{DATASETS}"):
            return self._revision(path.removeprefix("/api/"))
        return self._resolve(path.strip("/"))

    def _revision(self, path: str) -> None:
        mirror = self.told
        repository, _, revision = path.partition("/revision/")
        if repository not in mirror.commits:
            return self._refuse(404, "RepoNotFound", "Repository not found")
        if repository in mirror.gated:
            return self._refuse(403, "GatedRepo", f"Access to model {repository} is restricted")
        commit = mirror.names[repository].get(revision, revision)
        files = mirror.commits[repository].get(commit)
        if files is None:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        listed = [_sibling(name, content) for name, content in files.items()]
        told = {"id": repository.removeprefix(DATASETS), "sha": commit, "siblings": listed}
        return self._answer(json.dumps(told).encode())

    def _resolve(self, path: str) -> None:
        mirror = self.told
        repository, _, rest = path.partition("/resolve/")
        commit, _, name = rest.partition("/")
        content = mirror.commits.get(repository, {}).get(commit, {}).get(name)
        if content is None:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        if name.endswith(LFS):
            # Another origin, which the token is not for.
            place = f"{mirror.scheme}://{mirror.elsewhere}:{mirror.port}"
            self.send_response(302)
            self.send_header("Location", f"{place}/lfs/{repository}/resolve/{commit}/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        return self._file(name, content)

    def _lfs(self, path: str) -> None:
        repository, _, rest = path.partition("/resolve/")
        commit, _, name = rest.partition("/")
        self._file(name, self.told.commits[repository][commit][name])

    def _file(self, name: str, content: bytes) -> None:
        mirror = self.told
        if mirror.troubles > 0:
            mirror.troubles -= 1
            return self._answer(b"", 503)
        if content and mirror.take(mirror.flips, name):
            content = bytes([content[0] ^ 1]) + content[1:]
        asked = self.headers.get("Range", "").removeprefix("bytes=").rstrip("-")
        start = int(asked) if asked and mirror.knows_ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = (start + len(content)) // 2 if mirror.take(mirror.breaks, name) else len(content)
        for at in range(start, end, _PIECE):
            piece = content[at : min(at + _PIECE, end)]
            self.wfile.write(piece)
            mirror.count(name, len(piece))
            if mirror.pause_s:
                mirror.changed.wait(mirror.pause_s)
        if end < len(content):
            self.close_connection = True
        return None

    def _refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    told: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
    if name.endswith(LFS):
        told["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return told


__all__ = ["Mirror"]
