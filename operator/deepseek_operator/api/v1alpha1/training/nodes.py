"""How many pods form the gang."""

from typing import Annotated

from pydantic import Field

from deepseek_operator.api.base import ApiModel


class Nodes(ApiModel):
    """Size of the gang."""

    count: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="Pods that train together, all or none (1..1024). Absent: as many as were found to fit under accelerator.profile, else 1.",
    )

    @property
    def number(self) -> int:
        """Pods of the gang: as written, else one."""
        return self.count or 1
