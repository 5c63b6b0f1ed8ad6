"""What a training pod shows over HTTP: /progress as JSON, /metrics for Prometheus, /healthz.

Everything comes from the run directory; the server asks nothing of the workers, so it answers while
they are busy, stalled or gone. Everybody may ask; it is read-only, and connections have a limit.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Progress = Mapping[str, object]
# The operator and a Prometheus or two ask; whoever else opens connections must not cost the trainer memory.
MOST_CONNECTIONS = 32

# Field of /progress, metric name, help text. Names carry their unit.
METRICS = (
    ("step", "deepseek_training_step", "Optimizer steps done."),
    ("maxSteps", "deepseek_training_max_steps", "Optimizer steps to do."),
    ("epoch", "deepseek_training_epoch", "Passes over the training data done."),
    ("loss", "deepseek_training_loss", "Training loss of the last step, nats per token."),
    ("gradientNorm", "deepseek_training_gradient_norm", "Norm of the last step's gradients before they were clipped."),
    ("learningRate", "deepseek_training_learning_rate", "Learning rate of the last step."),
    ("evalLoss", "deepseek_training_eval_loss", "Loss on held-out data, nats per token."),
    ("accuracy", "deepseek_training_accuracy_ratio", "Exact matches on held-out prompts, 0 to 1."),
    ("evaluationsSinceBest", "deepseek_training_evaluations_since_best", "Evaluations in a row that were no better."),
    ("tokensPerSecond", "deepseek_training_tokens_per_second", "Tokens trained on per second by the whole gang."),
    ("etaSeconds", "deepseek_training_eta_seconds", "Seconds to the last step at the present rate."),
)


class _Server(ThreadingHTTPServer):
    """A thread for each of at most MOST_CONNECTIONS; one more, and whoever has been there longest goes."""

    daemon_threads = True
    # Listening sockets keep more waiting than are served.
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: dict[int, socket.socket] = {}
        self._changing = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            if len(self._open) >= MOST_CONNECTIONS:
                oldest = self._open.pop(next(iter(self._open)))
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._open[id(request)] = request
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changing:
            self._open.pop(id(request), None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes, or is sent away, is no news."""


def serve(port: int, progress: Callable[[], Progress]) -> ThreadingHTTPServer:
    """Starts the server in a daemon thread; port 0 takes a free one. Raises OSError when the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            answer(self, progress)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = _Server(("", port), Handler)
    threading.Thread(target=server.serve_forever, name="progress", daemon=True).start()
    return server


def answer(request: BaseHTTPRequestHandler, progress: Callable[[], Progress]) -> None:
    match request.path.partition("?")[0]:
        case "/progress":
            _send(request, 200, "application/json", json.dumps(progress()))
        case "/metrics":
            _send(request, 200, "text/plain; version=0.0.4; charset=utf-8", exposition(progress()))
        case "/healthz":
            _send(request, 200, "text/plain", "ok\n")
        case _:
            _send(request, 404, "text/plain", "try /progress, /metrics or /healthz\n")


def exposition(progress: Progress) -> str:
    """Prometheus text format; a value that is not known is left out."""
    lines = []
    parts = {part: progress.get(part) for part in ("latest", "rollbacks")}
    inner = {f"{part}.{k}": v for part, held in parts.items() if isinstance(held, Mapping) for k, v in held.items()}
    flat = {**progress, **inner}
    more = (
        ("latest.step", "deepseek_training_checkpoint_step", "Step of the newest healthy checkpoint."),
        ("latest.seconds", "deepseek_training_checkpoint_seconds", "Seconds that the newest checkpoint took to save."),
        (
            "rollbacks.count",
            "deepseek_training_rollbacks",
            "Times that it went back because its numbers were not finite.",
        ),
    )
    for field, name, text in (*METRICS, *more):
        value = flat.get(field)
        if isinstance(value, int | float):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name} {value}"]
    return "\n".join(lines) + "\n"


def _send(request: BaseHTTPRequestHandler, status: int, content_type: str, text: str) -> None:
    body = text.encode()
    request.send_response(status)
    request.send_header("Content-Type", content_type)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
