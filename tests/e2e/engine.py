"""An engine of somebody else, for tests: every request takes a while and no computation, so that six replicas fit.

    python3 engine.py PORT SECONDS

Health on every path that it does not know. /metrics has vLLM's names; after GET /lie the numbers are NaN, after
GET /truth they are right again. A request with "stream": true is answered by pieces, one each two seconds, over twelve;
"pieces" in it is another number of them. Answers say LOG_LEVEL as their fingerprint: which version gave them. SIGTERM: what runs is answered, then it leaves. Standard library only.

Versions that are worse than others, by variables: ENGINE_FAILS_EACH=20 answers each twentieth request with 500,
ENGINE_SECONDS=3 takes so long for each, ENGINE_ANSWER is what it says in place of OK. GET /die ends it at once.
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS = float(os.environ.get("ENGINE_SECONDS") or (sys.argv[2] if len(sys.argv) > 2 else 1))
FAILS_EACH = int(os.environ.get("ENGINE_FAILS_EACH") or 0)
BOUNDS_S = (0.25, 0.5, 1, 2, 4, 8, 16, float("inf"))
PIECES, PIECE_SECONDS = 6, 2
VERSION = os.environ.get("LOG_LEVEL", "")
ANSWER = os.environ.get("ENGINE_ANSWER", "OK")
STREAM = b'"stream": true'
"""As json.dumps writes it."""


class State:
    running = 0
    answered = {"2xx": 0, "5xx": 0}
    within = dict.fromkeys(BOUNDS_S, 0)
    lies = False
    changed = threading.Condition()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(1)
        if self.path in ("/lie", "/truth"):
            State.lies = self.path == "/lie"
        self.answer(metrics() if self.path == "/metrics" else VERSION, "text/plain")

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        streams = STREAM in asked
        with State.changed:
            State.running += 1
        began_s = time.monotonic()
        try:
            if streams:
                self.stream(int(json.loads(asked).get("pieces", PIECES)))
            else:
                time.sleep(SECONDS)
            fails = count(time.monotonic() - began_s)
            if not streams:
                usage = {"prompt_tokens": 3, "completion_tokens": 1}
                answer = {
                    "choices": [{"text": ANSWER, "finish_reason": "stop"}],
                    "usage": usage,
                    "system_fingerprint": VERSION,
                }
                self.answer(json.dumps(answer), "application/json", 500 if fails else 200)
        finally:  # A client that went away is in flight no longer either.
            with State.changed:
                State.running -= 1
                State.changed.notify()

    def stream(self, pieces: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(pieces):
            time.sleep(PIECE_SECONDS)
            self.wfile.write(chunk("data: " + json.dumps({"choices": [{"text": "OK"}]}) + "\n\n"))
        self.wfile.write(chunk("data: [DONE]\n\n") + chunk(""))

    def answer(self, text: str, kind: str, status: int = 200) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    """A thousand clients that come at once must not be turned away by five places in the kernel."""


def chunk(text: str) -> bytes:
    body = text.encode()
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


def count(taken_s: float) -> bool:
    """Counts an answer; whether it is one of those that fail."""
    with State.changed:
        fails = FAILS_EACH > 0 and sum(State.answered.values()) % FAILS_EACH == FAILS_EACH - 1
        State.answered["5xx" if fails else "2xx"] += 1
        for bound in BOUNDS_S:
            State.within[bound] += taken_s <= bound
    return fails


def metrics() -> str:
    """What vLLM would tell; a request's first token is taken to come with its last."""
    with State.changed:
        number = "NaN" if State.lies else str(State.running)
        answered, within = dict(State.answered), dict(State.within)
    told = [f'vllm:num_requests_running{{engine="0"}} {number}', 'vllm:num_requests_waiting{engine="0"} 0']
    for status, count in answered.items():
        labels = f'handler="/v1/completions",method="POST",status="{status}"'
        told.append(f"http_requests_total{{{labels}}} {'NaN' if State.lies else count}")
    for name in ("e2e_request_latency", "time_to_first_token"):
        for bound, at_most in within.items():
            told.append(f'vllm:{name}_seconds_bucket{{engine="0",le="{bound}"}} {at_most}'.replace('"inf"', '"+Inf"'))
    return "\n".join(told) + "\n"


def leave() -> None:
    with State.changed:
        State.changed.wait_for(lambda: State.running == 0)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=leave).start())
    Server(("", int(sys.argv[1])), Handler).serve_forever()
