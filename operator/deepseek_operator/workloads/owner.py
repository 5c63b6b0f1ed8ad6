"""Whose the children are, as far as a child tells it: labels by which it is found, and the reference that takes it along."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.core.names import owner_labels, owner_reference
from deepseek_operator.core.resources import Manifest, Resource


@dataclass(frozen=True)
class Owner:
    """A custom resource without its spec: what it is, its name, its namespace, its uid."""

    resource: Resource
    name: str
    namespace: str
    uid: str

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every child."""
        return owner_labels(self.resource, self.name, self.uid)

    @property
    def reference(self) -> dict[str, Any]:
        """The controlling ownerReference."""
        return owner_reference(self.resource, self.name, self.uid)

    def child(
        self,
        resource: Resource,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        goes_along: bool = True,
    ) -> Manifest:
        """apiVersion, kind and metadata of a child, to which its spec is added.

        `labels` in place of those of every child; `goes_along`: the garbage collector removes it with its owner.
        """
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": dict(labels if labels is not None else self.labels),
        }
        if annotations is not None:
            metadata["annotations"] = dict(annotations)
        if goes_along:
            metadata["ownerReferences"] = [self.reference]
        return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}
