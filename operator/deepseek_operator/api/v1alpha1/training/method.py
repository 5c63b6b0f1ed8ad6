"""Which parameters learn."""

from typing import Literal

from pydantic import Field

from deepseek_operator.api.base import ApiModel


class TrainingMethod(ApiModel):
    """Which parameters are trained."""

    type: Literal["Full"] = Field(default="Full", description="Full: every parameter. Default Full.")
