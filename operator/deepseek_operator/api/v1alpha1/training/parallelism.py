"""How the processes of a training divide the model, beyond sharing its states out."""

from pydantic import Field

from deepseek_operator.api.base import ApiModel
from deepseek_operator.api.v1alpha1.common.accelerator import Degree


class TrainingParallelism(ApiModel):
    """Degrees beside data parallelism; each re-uses its processes."""

    expert: Degree | None = Field(
        default=None,
        description="Processes over which the routed experts of each layer are dealt out (1..1024): tokens travel to their experts, and experts are not gathered. Divides the number of processes and that of the experts. In the built-in trainer not beside adapters of experts. Absent: 1 for the built-in trainer, for others as found by sizing. Example: 8.",
    )
