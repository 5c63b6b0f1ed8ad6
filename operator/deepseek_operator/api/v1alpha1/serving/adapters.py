"""The adapters that answer beside the model, each under a name of its own."""

from typing import Annotated

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, rule, rules
from deepseek_operator.api.v1alpha1.common.source import ModelSource
from deepseek_operator.api.v1alpha1.serving.engines import ASKED_BESIDE
from deepseek_operator.api.v1alpha1.serving.model import FromTraining, ServedName

USUAL_RANK = 16


class ServedAdapter(ApiModel):
    """A LoRA adapter in peft's form, and the model name by which clients ask for it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.source) != has(self.fromTraining)",
                "write exactly one of source (an adapter's folder) and fromTraining (a training of method LoRA "
                "with export Adapter)",
            ),
            rule(
                "!has(self.rank) || has(self.source)",
                "rank is of an adapter in source: that of a training is read off its method.lora",
                fieldPath=".rank",
            ),
        )
    )

    name: ServedName = Field(
        description=f"Model name that clients send for this adapter{ASKED_BESIDE}. Example: legal."
    )
    source: ModelSource | None = Field(
        default=None,
        description="A folder (adapter_config.json, adapter_model.safetensors) on a claim, or one that is fetched to a claim.",
    )
    from_training: FromTraining | None = Field(
        default=None, description="The adapter that a training of method LoRA exported (method.lora.export Adapter)."
    )
    rank: Annotated[int, Field(ge=1, le=512)] | None = Field(
        default=None,
        description=f"Rank of an adapter in source, r of its adapter_config.json: engines keep room for the widest. Absent: {USUAL_RANK}.",
    )
