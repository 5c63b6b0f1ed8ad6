"""How a new version replaces the old one."""

from typing import Literal

from pydantic import Field

from deepseek_operator.api.base import ApiModel


class Rollout(ApiModel):
    """How a new version replaces the old one."""

    strategy: Literal["Surge", "Replace"] = Field(
        default="Surge",
        description="Surge: one new replica more, then one old one less; needs free accelerators for one. Replace: all old ones stop first. Default Surge.",
    )
