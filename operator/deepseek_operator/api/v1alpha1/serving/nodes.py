"""How many nodes one replica spans."""

from typing import Annotated

from pydantic import Field

from deepseek_operator.api.base import ApiModel


class ReplicaNodes(ApiModel):
    """Nodes of each replica, one pod on each; only the first pod answers requests, and a replica restarts as one."""

    count: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None,
        description="Pods that serve one replica together, all or none (1..64); more than one needs LeaderWorkerSet in the cluster. Absent: one where one node holds the model, else as many whole nodes as were found to fit under accelerator.profile. Example: 2.",
    )

    @property
    def number(self) -> int:
        """Pods of a replica: as written, else one."""
        return self.count or 1
