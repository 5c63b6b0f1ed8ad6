"""When a training has learnt enough before its last step."""

from typing import Annotated

from pydantic import Field

from deepseek_operator.api.base import ApiModel, Decimal


class EarlyStopping(ApiModel):
    """The training is complete once evaluations stop getting better; the best checkpoint alone is exported then."""

    patience: Annotated[int, Field(ge=1, le=100000)] = Field(
        description="Evaluations in a row without a better one after which it stops, those of earlier attempts counted. Example: 3.",
    )
    min_delta: Decimal = Field(
        default="0",
        description='By more than this of what ranks checkpoints (checkpoints.best) an evaluation must be better to count as such, a decimal, in quotes where it has a fraction. Example: "0.001". Default "0".',
    )
