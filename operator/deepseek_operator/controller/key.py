"""What the queue holds: the identity of one custom resource."""

from dataclasses import dataclass

from deepseek_operator.core.resources import Resource


@dataclass(frozen=True, order=True, slots=True)
class Key:
    """One custom resource by name. A successor of the same name has the same key."""

    resource: Resource
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.namespace}/{self.name}"
