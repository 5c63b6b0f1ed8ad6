"""The smallest valid object of each kind, and changes to it, for tests of the API itself."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

Object = dict[str, Any]

API_VERSION = "deepseek-operator.io/v1alpha1"
UID = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"


def minimal_training(name: str = "tune") -> Object:
    """What a user must decide, and nothing else."""
    spec = {
        "model": {"custom": {"model_type": "deepseek_v3", "hidden_size": 64}},
        "datasets": [{"source": {"uri": "builtin://uppercase"}}],
        "hyperparameters": {"maxSteps": 100},
    }
    return {"apiVersion": API_VERSION, "kind": "DeepSeekTraining", "metadata": {"name": name}, "spec": spec}


def minimal_serving(name: str = "chat") -> Object:
    """What a user must decide, and nothing else."""
    spec = {"model": {"source": {"uri": "pvc://models/v2"}}}
    return {"apiVersion": API_VERSION, "kind": "DeepSeekServing", "metadata": {"name": name}, "spec": spec}


def changed(manifest: Object, changes: Mapping[str, Any]) -> Object:
    """A copy with the value at each dotted path replaced; None takes the field away."""
    result = deepcopy(manifest)
    for path, value in changes.items():
        *parents, last = path.split(".")
        part = result
        for key in parents:
            part = part.setdefault(key, {})
        if value is None:
            part.pop(last, None)
        else:
            part[last] = value
    return result


def collection(manifest: Object, namespace: str) -> str:
    """URL path of the collection that the object belongs to."""
    plural = {"DeepSeekTraining": "deepseektrainings", "DeepSeekServing": "deepseekservings"}[manifest["kind"]]
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{plural}"
