"""API keys as the gate reads them, and the gate beside the operator, for the tests of this folder."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from tests.support import bed as beds
from tests.support.kubectl import Kubectl

"""Of the chart, with a gate and without."""
KEYS = "deepseek-keys"


def new_key() -> str:
    return f"sk-ds-{secrets.token_hex(24)}"


def bearer(key: str) -> dict[str, str]:
    """The header by which a client shows it."""
    return {"Authorization": f"Bearer {key}"}


def entry(key: str, *servings: str, **more: str) -> str:
    """What is stored of a key."""
    return json.dumps({"sha256": sha256(key.encode()).hexdigest(), "servings": list(servings), **more})


def config_map(name: str, role: str | None, data: dict[str, str]) -> str:
    labels = {"deepseek-operator.io/gate": role} if role is not None else {}
    metadata = {"name": name, "labels": labels}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def open_gate(bed: Kubectl, namespace: str) -> None:
    """Two gates that read this namespace, beside the operator."""
    gate = ("gate.enabled=true", f"gate.namespaces={{{namespace}}}", "gate.resources.requests.cpu=10m")
    beds.release(bed).install(*beds.VALUES, *gate)


def close_gate(bed: Kubectl) -> None:
    """The operator without a gate, as it was."""
    beds.release(bed).install(*beds.VALUES)


@contextmanager
def gate(bed: Kubectl, kubectl: Kubectl, **keys: str) -> Iterator[None]:
    """A gate that knows these keys, each for every serving of the namespace."""
    kubectl.apply(config_map(KEYS, "keys", {name: entry(key, "*") for name, key in keys.items()}))
    open_gate(bed, str(kubectl.namespace))
    try:
        yield
    finally:
        close_gate(bed)
        kubectl.run("delete", "configmap", KEYS, "--ignore-not-found")
