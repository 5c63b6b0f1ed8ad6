"""How far a fetch is: bytes, rate, and how long it still takes, for its log and for whoever asks its pod."""

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_WINDOW_S = 30.0
"""Of the rate: long enough that one slow file does not make it jump, short enough to tell what a person sees now."""
_LOG_S = 10.0


def amount(size: float) -> str:
    """Bytes for a person: 14.2 GiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


@dataclass
class Progress:
    """Counts. `clock`: seconds that only grow.

    Attributes:
        total: bytes of all files; 0 before they are known.
        done: bytes that are on the claim.
        fetched: bytes that came in this process.
        evicted: what went from the claim for it to have room, for a person.
    """

    clock: Callable[[], float] = time.monotonic
    total: int = 0
    done: int = 0
    fetched: int = 0
    evicted: list[str] = field(default_factory=list)
    _marks: deque[tuple[float, int]] = field(default_factory=deque)
    _logged: float = float("-inf")

    def begin(self, total: int) -> None:
        """So many bytes are to come."""
        self.total = total

    def add(self, size: int, came: bool = True) -> None:
        """So many bytes more are there; fewer where some are thrown away. `came`: now, not in an earlier process."""
        self.done += size
        if came and size > 0:
            self.fetched += size
            self._marks.append((self.clock(), size))
            while self.clock() - self._marks[0][0] > _WINDOW_S:
                self._marks.popleft()
        if self.clock() - self._logged >= _LOG_S:
            self._logged = self.clock()
            self.say(self.told)

    @property
    def bytes_per_second(self) -> float:
        """Over the last half minute; 0 before anything came."""
        now = self.clock()
        marks = [mark for mark in tuple(self._marks) if now - mark[0] <= _WINDOW_S]
        return sum(size for _, size in marks) / max(now - marks[0][0], 1.0) if marks else 0.0

    @property
    def told(self) -> str:
        """For a person: 3.2 GiB of 14.2 GiB, 210.0 MiB/s, 52 s left."""
        rate = self.bytes_per_second
        speed = f", {amount(rate)}/s, {(self.total - self.done) / rate:.0f} s left" if rate > 0 else ""
        return f"{amount(self.done)} of {amount(self.total)}{speed}"

    def document(self) -> dict[str, object]:
        """For whoever asks the pod."""
        rate = self.bytes_per_second
        eta = (self.total - self.done) / rate if rate > 0 and self.total else None
        fetch = {"done": max(self.done, 0), "total": self.total, "bytesPerSecond": rate, "etaSeconds": eta}
        return {"formatVersion": 1, "fetch": fetch}

    def say(self, words: str) -> None:
        """A line of the log."""
        print(f"fetcher: {words}", file=sys.stderr, flush=True)


@contextmanager
def told_on(port: int, progress: Progress) -> Iterator[int]:
    """Answers `/progress` on that port meanwhile, 0 for any; yields it. Without one that is free a fetch goes on untold."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            body = json.dumps(progress.document()).encode()
            self.send_response(200 if self.path == "/progress" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    try:
        server = ThreadingHTTPServer(("", port), Handler)
    except OSError as error:
        progress.say(f"nobody is told of the progress: port {port}: {error}")
        yield 0
        return
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
