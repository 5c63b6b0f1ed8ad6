"""A server of pages on this machine's loopback, for what a test has read by a real program."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

METRICS = "text/plain; version=0.0.4"
"""What Prometheus reads."""


@contextmanager
def serving(page: Callable[[str], bytes], content_type: str) -> Iterator[int]:
    """Its port. `page`: what is answered at a path, which is given without its strokes at both ends; asked once at a time."""
    one = Lock()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with one:
                body = page(self.path.strip("/"))
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_address[1]
        listening.shutdown()
