"""What a training pod shows over HTTP: /progress as JSON, /metrics for Prometheus, /healthz.

Everything comes from the run directory; the server asks nothing of the workers, so it answers while
they are busy, stalled or gone. Everybody may ask; it is read-only, and connections have a limit.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from deepseek_runtime.evaluation import METRIC_NAME, MOST_METRICS

Progress = Mapping[str, object]
# The operator and a Prometheus or two ask; whoever else opens connections must not cost the trainer memory.
MOST_CONNECTIONS = 32


@dataclass(frozen=True)
class Metric:
    """A number of /progress by the path of its field, as Prometheus has it; names carry their unit."""

    field: str
    name: str
    text: str
    kind: Literal["gauge", "counter"] = "gauge"


_NAMES = (
    ("step", "step", "Optimizer steps done."),
    ("maxSteps", "max_steps", "Optimizer steps to do."),
    ("epoch", "epoch", "Passes over the training data done."),
    ("loss", "loss", "Training loss of the last step, nats per token."),
    ("gradientNorm", "gradient_norm", "Norm of the last step's gradients before they were clipped."),
    ("learningRate", "learning_rate", "Learning rate of the last step."),
    ("evalLoss", "eval_loss", "Loss on held-out data, nats per token."),
    ("accuracy", "accuracy_ratio", "Exact matches on held-out prompts, 0 to 1."),
    ("evaluationsSinceBest", "evaluations_since_best", "Evaluations in a row that were no better."),
    ("tokensPerSecond", "tokens_per_second", "Tokens trained on per second by the whole gang."),
    ("stepSeconds", "step_seconds", "Seconds per optimizer step, over the last twenty."),
    (
        "mfu",
        "model_flops_utilization_ratio",
        "Work of the model done, of what the devices could do at their peak, 0 to 1.",
    ),
    ("hostMemoryBytes", "host_memory_peak_bytes", "Most resident memory that one process of the gang has had."),
    ("deviceMemoryBytes", "device_memory_peak_bytes", "Most memory that one device's allocator has reserved."),
    ("etaSeconds", "eta_seconds", "Seconds to the last step at the present rate."),
    ("latest.step", "checkpoint_step", "Step of the newest healthy checkpoint."),
    ("latest.bytes", "checkpoint_bytes", "Bytes of that checkpoint."),
    ("latest.seconds", "checkpoint_seconds", "Seconds that the newest checkpoint took to save."),
    ("latest.blockedSeconds", "checkpoint_blocked_seconds", "Those of them in which no step was made."),
    ("latest.blockedShare", "checkpoint_blocked_step_ratio", "The same as a share of a step, over the last twenty."),
    ("rollbacks.count", "rollbacks", "Times that it went back because its numbers were not finite."),
    (
        "straggler.factor",
        "straggler_ratio",
        "Times as long as the others that the slowest process takes, while it does.",
    ),
    ("inPlaceRestarts.count", "in_place_restarts", "Crashes of this attempt after which its processes started again."),
)
_COUNTED = (
    ("tokensTotal", "tokens_total", "Tokens trained on in this attempt by the whole gang."),
    ("dataWaitSecondsTotal", "data_wait_seconds_total", "Seconds of this attempt in which steps waited for examples."),
)
PREFIX = "deepseek_training_"
METRICS = (
    *(Metric(path, f"{PREFIX}{name}", text) for path, name, text in _NAMES),
    *(Metric(path, f"{PREFIX}{name}", text, "counter") for path, name, text in _COUNTED),
)
OWN = Metric("metrics", f"{PREFIX}own_metric", "What evaluation.command printed at the last evaluation.")
EXPERT_IMBALANCE = Metric(
    "experts.imbalance",
    f"{PREFIX}expert_imbalance_ratio",
    "Tokens of the busiest expert of a layer, of the mean; 1 is even.",
)
EXPERT_SHARE = Metric("experts.shares", f"{PREFIX}expert_share_ratio", "Share of a layer's tokens that an expert got.")
MOST_EXPERTS = 2048


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
    for metric in METRICS:
        value = _at(progress, metric.field)
        if isinstance(value, int | float):
            lines += [*_head(metric), f"{metric.name} {value}"]
    return "\n".join([*lines, *_own(progress.get("metrics")), *_experts(progress.get("experts"))]) + "\n"


def _own(said: object) -> list[str]:
    """Metrics of a user's own, so many and so named as the trainer takes them."""
    known = said if isinstance(said, Mapping) else {}
    named = {
        name: value
        for name, value in known.items()
        if METRIC_NAME.fullmatch(str(name)) and isinstance(value, int | float)
    }
    lines = [f'{OWN.name}{{metric="{name}"}} {value}' for name, value in sorted(named.items())[:MOST_METRICS]]
    return [*_head(OWN), *lines] if lines else []


def _experts(said: object) -> list[str]:
    """How tokens are dealt out, by layer and, where the trainer tells of each, by expert."""
    known = said if isinstance(said, Mapping) else {}
    lines = []
    for metric, part in ((EXPERT_IMBALANCE, "imbalance"), (EXPERT_SHARE, "shares")):
        found = known.get(part)
        layers = found.items() if isinstance(found, Mapping) else ()
        told = [
            sample for layer, value in layers if str(layer).isdecimal() for sample in _samples(metric, layer, value)
        ]
        lines += [*_head(metric), *told[:MOST_EXPERTS]] if told else []
    return lines


def _samples(metric: Metric, layer: str, value: object) -> list[str]:
    if isinstance(value, list):
        shares = enumerate(value)
        return [f'{metric.name}{{layer="{layer}",expert="{n}"}} {v}' for n, v in shares if isinstance(v, int | float)]
    return [f'{metric.name}{{layer="{layer}"}} {value}'] if isinstance(value, int | float) else []


def _head(metric: Metric) -> list[str]:
    return [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}"]


def _at(progress: object, path: str) -> object:
    """What lies at a path of names; None where nothing does."""
    for name in path.split("."):
        progress = progress.get(name) if isinstance(progress, Mapping) else None
    return progress


def _send(request: BaseHTTPRequestHandler, status: int, content_type: str, text: str) -> None:
    body = text.encode()
    request.send_response(status)
    request.send_header("Content-Type", content_type)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
