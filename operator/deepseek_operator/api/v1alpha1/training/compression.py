"""How gradients are made smaller before processes add them up."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, rule, rules
from deepseek_operator.api.v1alpha1.common.programs import joined
from deepseek_operator.api.v1alpha1.training.trainers import COMPRESSING

POWER_SGD, ONE_BIT_ADAM = "PowerSGD", "OneBitAdam"
ONE_BIT_ADAM_OR = joined(COMPRESSING[ONE_BIT_ADAM], "or")
"""The trainers that have it."""


class GradientCompression(ApiModel):
    """What travels in place of whole gradients; what it leaves out is added to the next ones."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"self.type == '{POWER_SGD}' || !has(self.rank)",
                f"gradientCompression.rank is of type {POWER_SGD}: write that, or leave it out",
                fieldPath=".rank",
            ),
            rule(
                f"(self.type == '{ONE_BIT_ADAM}') == has(self.freezeSteps)",
                f"gradientCompression.freezeSteps is of type {ONE_BIT_ADAM}, which needs it: write there after how many steps of "
                "plain Adam, 15 to 25 % of all, gradients are compressed",
                fieldPath=".freezeSteps",
            ),
        )
    )

    type: Literal["PowerSGD", "OneBitAdam"] = Field(
        description=f"PowerSGD: each matrix's gradient travels as two narrow ones, of the built-in trainer with method LoRA, from the third step on; every process then holds the whole adapter. OneBitAdam: momenta travel as signs, of trainer.type {ONE_BIT_ADAM_OR} with precision fp32 and no ZeRO, so every device holds all states."
    )
    rank: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None,
        description="Columns of PowerSGD's narrow matrices, less than half of method.lora.rank. Absent: 1. Example: 2.",
    )
    freeze_steps: Annotated[int, Field(ge=1, le=10000000)] | None = Field(
        default=None,
        description="Steps of plain Adam before OneBitAdam keeps its variance and compresses; 15 to 25 % of all are usual. Example: 2000.",
    )

    @property
    def columns(self) -> int:
        """rank, as it is when it is absent too."""
        return self.rank or 1
