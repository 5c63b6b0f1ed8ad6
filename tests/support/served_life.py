"""An API server over HTTP that has what a memory cluster has, and logs by pod: for whole commands, without a cluster."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.cli.kubectl import main
from deepseek_operator.core.resources import CLAIM, JOB, POD, SERVICE
from tests.support.trainings import NAME, NAMESPACE, Life

INDEX = "batch.kubernetes.io/job-completion-index"


class Served:
    """Answers about one training's life; commands reach it by `kubeconfig`."""

    def __init__(self, life: Life, kubeconfig: Path) -> None:
        self.life = life
        self.kubeconfig = kubeconfig
        self.logs: dict[str, str] = {}

    def asked(self, *arguments: str) -> int:
        """The exit status of a command about it."""
        return main([*arguments, "--kubeconfig", str(self.kubeconfig)])

    def answer(self, path: str) -> Any:
        """JSON of a path, the text of a log, or None for 404."""
        *_, plural, last = ("", *path.split("/"))
        if last == "log":
            return self.logs.get(plural, "")
        if last == NAME and plural == TRAINING.plural:
            return self.life.cluster.read(TRAINING, NAMESPACE, NAME)
        for resource in (TRAINING, JOB, POD, SERVICE, CLAIM):
            if last == resource.plural:
                return {"metadata": {"resourceVersion": "1"}, "items": list(self.life.cluster.all(resource))}
        if last in ("version", "apis"):
            return {"gitVersion": "v1.36.1", "groups": [{"name": "batch"}]}
        if plural == TRAINING.plural or last == NAME:
            return None
        return {"metadata": {"resourceVersion": "1"}, "items": []}

    def rank_0(self, attempt: int) -> str:
        """Name of the pod of an attempt's rank 0."""
        for pod in self.life.cluster.all(POD):
            labels = pod["metadata"]["labels"]
            if (labels.get("deepseek-operator.io/attempt"), labels.get(INDEX)) == (str(attempt), "0"):
                return str(pod["metadata"]["name"])
        raise AssertionError(f"attempt {attempt} has no pod")


@contextmanager
def serving(life: Life, kubeconfig: Path) -> Iterator[Served]:
    """Serves that life on a loopback port, which `kubeconfig` then names."""
    served = Served(life, kubeconfig)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = served.answer(urlsplit(self.path).path)
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write((found if isinstance(found, str) else json.dumps(found)).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "current-context": "c",
        }
        kubeconfig.write_text(json.dumps(config))
        yield served
        server.shutdown()


def lines(first: int, last: int) -> str:
    """A trainer's log of these steps, with what it also prints."""
    steps = (json.dumps({"event": "step", "step": step, "loss": 500 / step}) for step in range(first, last + 1))
    sample = json.dumps({"event": "sample", "step": last, "prompt": "a secret prompt"})
    return "\n".join((*steps, sample, "Traceback: out of memory with hf_abcdefghijklmnop", ""))
