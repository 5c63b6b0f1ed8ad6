"""`plot` of what Prometheus remembers, and completion by kubectl itself, on a real API server."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.bench import SERVING, TRAINING, Bench
from tests.support.kubectl import until
from tests.support.plugin import Plugin


@pytest.fixture
def prometheus() -> Iterator[str]:
    """What answers range queries: replicas go from one to three, and of signals there is nothing."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            now = time.time()
            values = [[now - 120, "1"], [now - 60, "1"], [now, "3"]]
            result = [{"metric": {}, "values": values}] if "replicas_ready" in self.path else []
            body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_replicas_are_drawn_as_prometheus_remembers_them(bench: Bench, plugin: Plugin, prometheus: str) -> None:
    bench.claim("models")
    bench.create("DeepSeekServing", SERVING)
    bench.reaches("DeepSeekServing", "Available")
    refused = plugin("plot", "x")
    assert (refused.code, refused.out) == (1, "")
    assert "--prometheus NAMESPACE/SERVICE:PORT" in refused.err
    drawn = plugin.said("plot", "x", "--prometheus", prometheus)
    assert "serving/x: replicas" in drawn
    assert "replicas, ready: 1 to 3, last 3 at " in drawn
    assert "no data of replicas: wanted, replicas: autoscaler wants" in drawn
    assert "there is no service p:9090 in default" in plugin("plot", "x", "--prometheus", "default/p:9090").err
    assert "no time 'x'" in plugin("plot", "x", "--prometheus", prometheus, "--since", "x").err


def test_names_are_completed_by_kubectl(bench: Bench, plugin: Plugin) -> None:
    bench.create("DeepSeekTraining", TRAINING, "uppercase")
    bench.create("DeepSeekTraining", TRAINING, "both")
    bench.create("DeepSeekServing", SERVING, "both")
    # Nothing is offered of a server that takes more than three seconds: a busy machine is asked again.
    until("a name is completed", lambda: plugin.completed("status", "upp") == ["uppercase"], timeout_s=60)
    both = ["serving/both", "training/both", "uppercase"]
    until("all", lambda: plugin.completed("logs", "-n", bench.namespace, "") == both, timeout_s=60)
    assert "status" in plugin.completed("")
