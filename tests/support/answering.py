"""An engine as far as a cache sees it: it counts what it is asked, and answers as it is told."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Backend:
    """At `port` of this machine. `asked` are the bodies, in order; `headers` those of the last request."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.status, self.content_type = 200, "application/json"
        self.is_chunked, self.go_on = True, threading.Event()
        self.on_request: Callable[[], None] = lambda: None
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """The number of the request, or two events of a stream, the second once the test goes on."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                backend.asked.append(body)
                backend.headers = {name.lower(): value for name, value in self.headers.items()}
                backend.on_request()
                if b'"stream": true' in body:
                    self._streams()
                else:
                    self._answers(json.dumps({"answer": len(backend.asked)}).encode())

            def do_GET(self) -> None:
                """As well."""
                backend.asked.append(b"")
                self._answers(b"{}")

            def _answers(self, content: bytes) -> None:
                self.send_response(backend.status)
                self.send_header("Content-Type", backend.content_type)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("X-DeepSeek-Cache", "HIT")
                self.send_header("X-Accel-Redirect", "@kept")
                self.end_headers()
                self.wfile.write(content)

            def _streams(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header(*(("Transfer-Encoding", "chunked") if backend.is_chunked else ("Connection", "close")))
                self.end_headers()
                self._event(b"data: first\n\n")
                backend.go_on.wait(60)
                self._event(b"data: second\n\n")
                self.wfile.write(b"0\r\n\r\n" if backend.is_chunked else b"")

            def _event(self, content: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content) if backend.is_chunked else content)
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Backend":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)
