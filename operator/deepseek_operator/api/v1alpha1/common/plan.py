"""What was planned for the devices, as the status tells it."""

from pydantic import Field

from deepseek_operator.api.base import StatusModel
from deepseek_operator.api.record import RECORD


class DegreesStatus(StatusModel):
    """Degrees of parallelism; 1 means unused."""

    tensor: int = Field(default=1, description="Ranks that share every layer.")
    pipeline: int = Field(default=1, description="Stages of consecutive layers.")
    data: int = Field(default=1, description="Ranks that see other data.")
    expert: int = Field(default=1, description="Ranks over which experts are spread.")


class MemoryStatus(StatusModel):
    """Memory of the fullest device."""

    needed: str = Field(default="", description="What it must hold. Example: 94.3 GiB.")
    available: str = Field(default="", description="What may be used of it. Example: 129.2 GiB.")


class PlanStatus(StatusModel):
    """What was decided about devices and layout, recorded before it is used and kept until its input changes."""

    reference: str = Field(
        default="",
        description="Digest of what was asked for; something else is planned anew.",
        json_schema_extra=RECORD,
    )
    refused: str = Field(default="", description="Why it can't work, in one word; empty: it can.")
    profile: str = Field(default="", description="Full name of the accelerator profile.")
    nodes: int | None = Field(default=None, description="Pods of the training, or of one replica.")
    per_node: int | None = Field(default=None, description="Devices of each pod.")
    gpus: int | None = Field(default=None, description="Devices in all, or of one replica.")
    layout: str = Field(default="", description="Degrees of parallelism in use. Example: TP 8 × PP 2.")
    degrees: DegreesStatus | None = Field(
        default=None,
        description="The same as numbers.",
        json_schema_extra=RECORD,
    )
    format: str = Field(default="", description="Storage format of the weights, or precision of the training.")
    memory: MemoryStatus | None = Field(default=None, description="Memory of the fullest device.")
    reason: str = Field(default="", description="Why so, or why not, with the numbers.")
    warnings: list[str] = Field(
        default_factory=list,
        max_length=16,
        description="What a person should know although it fits.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
