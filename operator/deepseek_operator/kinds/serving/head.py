"""What every child of a serving begins with."""

from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.names import owner_reference
from deepseek_operator.core.resources import Resource


def head(resource: Resource, owner: DeepSeekServing, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """apiVersion, kind and metadata of a child, to which its spec is added."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": name,
            "labels": dict(labels),
            "ownerReferences": [owner_reference(SERVING, owner.metadata.name, owner.metadata.uid)],
        },
    }
