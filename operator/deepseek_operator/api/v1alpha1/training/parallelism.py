"""How the processes of a training divide the model."""

from typing import Literal

from pydantic import Field

from deepseek_operator.api.base import ApiModel
from deepseek_operator.api.v1alpha1.common.accelerator import Degree


class TrainingParallelism(ApiModel):
    """Degrees beside data parallelism, which re-use its processes, and over how many of them states are shared out."""

    expert: Degree | None = Field(
        default=None,
        description="Processes over which the routed experts of each layer are dealt out (1..1024): tokens travel to their experts, and experts are not gathered. Divides the number of processes and that of the experts. In the built-in trainer not beside adapters of experts. Absent: 1 for the built-in trainer, for others as found by sizing. Example: 8.",
    )
    sharding: Literal["Full", "Hybrid"] | None = Field(
        default=None,
        description="Over which processes the built-in trainer shares parameters, gradients and optimizer out. Full: over all of them, which takes least memory. Hybrid: over those of a node, with a copy on each node (HSDP), so that parameters are gathered within a node and only gradients cross the network; needs two nodes or more with two processes or more each. Losses are the same but for rounding. Absent: Full.",
    )
