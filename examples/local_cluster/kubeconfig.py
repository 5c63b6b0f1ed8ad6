"""Kubeconfigs: JSON is YAML, so every client reads these files and no YAML library is needed to write them."""

from base64 import b64encode
from json import dumps
from pathlib import Path

from examples.local_cluster.home import replace_text


def with_certificate(path: Path, url: str, ca: Path, certificate: Path, key: Path, namespace: str = "default") -> Path:
    """Write a kubeconfig that authenticates by client certificate, all files embedded."""
    user = {"client-certificate-data": _embedded(certificate), "client-key-data": _embedded(key)}
    return _write(path, url, ca, user, namespace)


def with_token(path: Path, url: str, ca: Path, token: str, namespace: str = "default") -> Path:
    """Write a kubeconfig that authenticates by bearer token."""
    return _write(path, url, ca, {"token": token}, namespace)


def _write(path: Path, url: str, ca: Path, user: dict[str, str], namespace: str) -> Path:
    name = "deepseek-local"
    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority-data": _embedded(ca)}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    replace_text(path, dumps(value, indent=2) + "\n")
    return path


def _embedded(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()
