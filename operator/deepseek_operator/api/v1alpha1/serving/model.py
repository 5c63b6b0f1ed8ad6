"""What is served, and under which name."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from deepseek_operator.api.base import ApiModel, DnsLabel, Says
from deepseek_operator.api.v1alpha1.common.checkpoint import Checkpoint
from deepseek_operator.api.v1alpha1.common.source import ModelSource
from deepseek_operator.api.v1alpha1.serving.engines import BUILT_AND

ServedName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=128),
    Says("write a name of letters, digits, '.', '_', '/' and '-', for example deepseek-ai/DeepSeek-V3"),
]


class FromTraining(ApiModel):
    """An export of a DeepSeekTraining of the same namespace."""

    name: DnsLabel = Field(description="The DeepSeekTraining. Example: uppercase.")
    checkpoint: Checkpoint = Field(
        default="Best",
        description="Best (the latest where nothing was evaluated), Latest, or a step that was exported. Default Best.",
    )
    update: Literal["Pinned", "OnNewBest"] = Field(
        default="Pinned",
        description="Pinned: resolved once and kept until this reference changes. OnNewBest: resolved anew whenever the training, ended, has another such export, and rolled out as any version. Default Pinned.",
    )


class ServingModel(ApiModel):
    """What is served."""

    name: ServedName | None = Field(
        default=None,
        description="Model name that clients send; under a profile, a name of the catalogue gives the model's size and dialect. Default: this resource's name. Example: deepseek-r1.",
    )
    source: ModelSource | None = Field(
        default=None,
        description="A model folder (config.json, safetensors, tokenizer) on a claim, or one that is fetched to a claim.",
    )
    from_training: FromTraining | None = Field(default=None, description="The result of a training.")
    custom: dict[str, Any] | None = Field(
        default=None,
        description="config.json fields of a private model, from which it is sized under accelerator.profile. Absent: sized where name is in the catalogue.",
        max_length=128,
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    quantization: Literal["bf16", "fp16", "fp8", "int8", "awq", "gptq", "w4a8", "nvfp4", "mxfp4"] | None = Field(
        default=None,
        description=f"Storage format of the weights in the folder, for engine.type {BUILT_AND}. Absent: as the model was published. Example: awq.",
    )
