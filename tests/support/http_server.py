"""What the servers of tests that files are fetched from have in common: how they answer, and what went out of each file."""

import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Counting:
    """`sent`: bytes of each file that went out. Requests are answered by threads of their own, over `tls` where it has one."""

    sent: Counter[str] = field(default_factory=Counter)
    tls: ssl.SSLContext | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def scheme(self) -> str:
        """Of its addresses."""
        return "http" if self.tls is None else "https"

    def take(self, counts: Counter[str], path: str) -> bool:
        """Whether it goes wrong this time: as often as is counted."""
        with self._lock:
            if counts[path] <= 0:
                return False
            counts[path] -= 1
            return True

    def count(self, path: str, size: int) -> None:
        """So much of a file has gone out."""
        with self._lock:
            self.sent[path] += size


@contextmanager
def answering(address: str, handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Requests are answered by the handler on the port that is given, until the end of the block."""
    server = ThreadingHTTPServer((address, 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
