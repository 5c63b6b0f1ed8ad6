"""How a new version replaces the old one."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from deepseek_operator.api.base import ApiModel

_FORMER = {"Surge": "RollingUpdate", "Replace": "Recreate"}
"""What stored objects say that were written before the strategies had the names of a Deployment's."""


def _renamed(value: Any) -> Any:
    return _FORMER.get(value, value) if isinstance(value, str) else value


class Rollout(ApiModel):
    """How a new version replaces the old one."""

    strategy: Annotated[Literal["RollingUpdate", "Recreate"], BeforeValidator(_renamed)] = Field(
        default="RollingUpdate",
        description="RollingUpdate: one new replica more, then one old one less; needs free accelerators for one. Recreate: all old ones stop first. Default RollingUpdate.",
    )
    keep_revisions: Annotated[int, Field(ge=3, le=10)] = Field(
        default=5,
        description="Newest revisions that are kept to go back to by name (3..10), besides those in use. Default 5.",
    )
