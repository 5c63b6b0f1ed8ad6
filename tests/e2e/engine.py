"""An engine of somebody else, for tests: every request takes a while and no computation, so that six replicas fit.

    python3 engine.py PORT SECONDS

Health on every path that it does not know. /metrics has vLLM's names; after GET /lie the numbers are NaN, after
GET /truth they are right again. SIGTERM: what runs is answered, then it leaves. Standard library only.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class State:
    running = 0
    lies = False
    changed = threading.Condition()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path in ("/lie", "/truth"):
            State.lies = self.path == "/lie"
        number = "NaN" if State.lies else str(State.running)
        metrics = f'vllm:num_requests_running{{engine="0"}} {number}\nvllm:num_requests_waiting{{engine="0"}} 0\n'
        self.answer(metrics if self.path == "/metrics" else os.environ.get("LOG_LEVEL", ""), "text/plain")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with State.changed:
            State.running += 1
        try:
            time.sleep(float(sys.argv[2]))
            self.answer(json.dumps({"choices": [{"text": "OK"}]}), "application/json")
        finally:  # A client that went away is in flight no longer either.
            with State.changed:
                State.running -= 1
                State.changed.notify()

    def answer(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def leave() -> None:
    with State.changed:
        State.changed.wait_for(lambda: State.running == 0)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=leave).start())
    ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
