"""Servings on the cluster, for the tests of this folder: how one is written, and what is told of it."""

import json
from pathlib import Path
from typing import Any

from tests.support.kubectl import Kubectl, until

ENGINE = Path(__file__).parents[1] / "e2e/engine.py"
ENGINE_IMAGE = "deepseek-operator.io/gateway-engine:dev"
"""An engine of the tests that starts in a second."""
LIMIT_S = 240.0
TINY = {"cpu": "10m", "memory": "128Mi"}
PARENT = {"name": "public", "namespace": "gateways", "sectionName": "http"}


def serving(name: str, model: dict[str, Any], **spec: Any) -> str:
    head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "metadata": {"name": name}}
    return json.dumps({**head, "spec": {"model": model, **spec}})


def writer(image: str, program: str) -> dict[str, Any]:
    """A pod that writes to claim models, at /data, by a program for Python."""
    secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "writer", "image": image, "command": ["python3", "-c", program], "securityContext": secure,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }  # fmt: skip
    spec = {
        "restartPolicy": "Never", "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "models"}}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer"}, "spec": spec}


def status(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """What is told of the serving as it is written now; empty while that was not looked at."""
    found: dict[str, Any] = kubectl.json("get", "deepseekserving", name)
    return (
        dict(found.get("status", {}))
        if found["metadata"]["generation"] == found.get("status", {}).get("observedGeneration")
        else {}
    )


def available(kubectl: Kubectl, name: str) -> None:
    until(f"{name} is available", lambda: status(kubectl, name).get("phase") == "Available", timeout_s=LIMIT_S)


def condition(kubectl: Kubectl, name: str, type_: str) -> tuple[str, str]:
    """Status and reason of a condition; empty while there is none of the serving as it is written now."""
    said = (one for one in status(kubectl, name).get("conditions", ()) if one["type"] == type_)
    found: dict[str, str] = next(said, {})
    return found.get("status", ""), found.get("reason", "")


def events(kubectl: Kubectl, name: str) -> dict[str, str]:
    """What the serving's events say last, by reason."""
    told = kubectl.json("get", "events", f"--field-selector=involvedObject.name={name}")["items"]
    return {one["reason"]: str(one.get("note") or one.get("message", "")) for one in told}
