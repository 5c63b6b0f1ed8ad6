"""What the operator and the gate tell each other: ConfigMaps as each end has them, and the gate as a real process.

`MODELS` is what an operator of today writes for two servings; the gate must read it, and whoever renders it must make it.
"""

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from examples.local_cluster.progress import wait_for
from tests.support.ports import free_port

OPERATOR = Path(__file__).parents[2] / "operator"
KEY = "sk-ds-alice"
MODELS: Mapping[str, Any] = {
    "models": {
        "chat": {"serving": "chat", "revisions": {"chat-1": {}, "chat-2": {}}},
        "deepseek-chat": {"serving": "chat", "revisions": {"chat-1": {}, "chat-2": {}}},
        "reasoner": {"serving": "r1", "revisions": {}},
    }
}


def entry(key: str, *servings: str, **more: object) -> str:
    """An entry of a ConfigMap of keys."""
    return json.dumps({"sha256": sha256(key.encode()).hexdigest(), "servings": list(servings), **more})


def token(subject: object, scope: object = None) -> str:
    """A token of these claims, as nobody has signed it."""
    claims = {"sub": subject} | ({"scope": scope} if scope is not None else {})
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims))
    return f"{head}.{body}.c2ln"


def config_map(role: str, data: Mapping[str, str], name: str = "", namespace: str = "team") -> dict[str, Any]:
    """A ConfigMap as the API server tells it."""
    metadata = {
        "name": name or f"deepseek-{role}",
        "namespace": namespace,
        "uid": f"uid-of-{name or role}",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"deepseek-operator.io/gate": role},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def models_map(models: Mapping[str, Any] = MODELS, **more: str) -> dict[str, Any]:
    """A ConfigMap of models."""
    return config_map("models", {"models.json": json.dumps(models)}, **more)


def told(
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = {},
    method: str | None = None,
    timeout_s: float = 30,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in small letters, and body of an answer, whatever its status."""
    request = urllib.request.Request(url, body, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            found, content = response, response.read()
    except urllib.error.HTTPError as error:
        found, content = error, error.read()
    return found.status, {name.lower(): value for name, value in found.headers.items()}, content


class GateProcess:
    """`python -m deepseek_gate`, started on entry and ended by SIGTERM on exit. `log` is what it wrote."""

    def __init__(self, folder: Path, server: str, token: Path, authority: Path, namespaces: Sequence[str]) -> None:
        self.log = folder / "gate.log"
        self.port, self.health_port = free_port(), free_port()
        own = {
            "API_SERVER": server,
            "TOKEN_FILE": str(token),
            "CA_FILE": str(authority),
            "NAMESPACES": ",".join(namespaces),
            "PORT": str(self.port),
            "HEALTH_PORT": str(self.health_port),
            "BIND_HOST": "127.0.0.1",
            "LOG_LEVEL": "debug",
        }
        self._environment = {**os.environ, **{f"DEEPSEEK_GATE_{name}": value for name, value in own.items()}}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "GateProcess":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deepseek_gate"], cwd=OPERATOR, env=self._environment, stdout=log, stderr=log
            )
        wait_for("the gate listens", lambda: "health at" in self.log.read_text(), timeout_s=60)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(30) == 0

    def url(self, path: str, namespace: str, way: str = "keys") -> str:
        """As Envoy asks for a client's path."""
        return f"http://127.0.0.1:{self.port}/authorize/{namespace}/{way}{path}"

    def health(self, path: str) -> tuple[int, str]:
        """Status and text of /healthz, /readyz or /metrics."""
        status, _, content = told(f"http://127.0.0.1:{self.health_port}{path}")
        return status, content.decode()
