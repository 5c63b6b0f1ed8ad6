"""What a CustomResourceDefinition needs beside the model: names, columns, and rules over the whole object.

Each kind says it in its own folder; `api.crd` makes the documents of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deepseek_operator.api.base import ApiModel, rule
from deepseek_operator.api.resource import OWNER_NAME_LENGTH, Resource


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`. `wide` columns need `-o wide`."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def manifest(self) -> dict[str, Any]:
        """The additionalPrinterColumn."""
        return {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "jsonPath": self.path,
            "priority": int(self.wide),
        }


@dataclass(frozen=True, eq=False)
class Definition:
    """One kind as the API server is told of it.

    Attributes:
        model: of the whole object; its spec and status are the schema.
        selectable: JSON paths by which `--field-selector` can ask.
        rules: CEL over the whole object, `oldSelf` included; beside that on its name, which every kind has.
        has_scale: `spec.replicas` can be written through the scale subresource.
        examples: the least that one writes of a block, by its path: told to whoever writes a word or a number in its place.
    """

    resource: Resource
    model: type[ApiModel]
    short_name: str
    columns: tuple[Column, ...]
    selectable: tuple[str, ...]
    rules: tuple[dict[str, str], ...] = ()
    has_scale: bool = False
    examples: Mapping[str, str] = field(default_factory=dict)


SOURCE = "{uri: pvc://models/deepseek-r1}"
SHARED_EXAMPLES: Mapping[str, str] = {
    "spec.model": f"{{name: deepseek-r1, source: {SOURCE}}}",
    "spec.model.source": SOURCE,
    "spec.model.fromTraining": "{name: first}",
    "spec.accelerator": "{profile: nvidia-h200-141}",
}
"""Of blocks that several kinds have."""

AGE = Column("AGE", ".metadata.creationTimestamp", "Time since creation.", "date")


def name_rule(kind: str) -> dict[str, str]:
    """The name leaves room for those of the children."""
    return rule(
        f"size(self.metadata.name) <= {OWNER_NAME_LENGTH} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        f"the name of a {kind} must be at most {OWNER_NAME_LENGTH} characters of a-z, 0-9 and '-', start with a letter and not "
        "end with '-': pods and Services are named after it",
    )
