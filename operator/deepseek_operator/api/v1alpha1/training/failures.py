"""What happens when pods fail."""

from typing import Annotated

from pydantic import Field

from deepseek_operator.api.base import ApiModel


class FailurePolicy(ApiModel):
    """What is tolerated. Disruptions (evictions, lost nodes, deleted pods) are never counted."""

    max_restarts: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=3, description="Crashes that are answered by another attempt. Default 3."
    )
    start_timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=1800,
        description="Seconds from when all pods are placed until all run, and again until the built-in trainer has loaded the model and is ready to train; longer counts as a crash. Default 1800. For the second part an edit counts from the next attempt on.",
    )
    stall_timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=1800,
        description="Seconds without a heartbeat after the first one before the attempt is ended as stalled, a crash. Default 1800. An edit counts from the next attempt on.",
    )
    node_lost_seconds: Annotated[int, Field(ge=30, le=86400)] = Field(
        default=300,
        description="Seconds that a pod on an unreachable node is waited for beyond its grace before the next attempt starts (shared volumes only). Default 300.",
    )
