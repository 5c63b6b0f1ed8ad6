"""The weights that a training starts from."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from deepseek_operator.api.base import ApiModel, DnsLabel, Says
from deepseek_operator.api.v1alpha1.common.checkpoint import Checkpoint
from deepseek_operator.api.v1alpha1.common.source import ModelSource

ModelName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128),
    Says("write a name of letters, digits, '.', '_' and '-', for example deepseek-v2-lite"),
]


TrainingUid = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", max_length=36),
    Says("write the uid of a training, for example 0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"),
]


class ModelFromTraining(ApiModel):
    """The weights that a training of the same namespace exported, to learn other data from: steps count from 0."""

    name: DnsLabel = Field(description="The DeepSeekTraining. Example: uppercase.")
    checkpoint: Checkpoint = Field(
        default="Best", description="Best, Latest, or a step that was exported. Default Best."
    )


class TrainingModel(ApiModel):
    """The model that is trained: weights from a volume or another training, or a fresh one from a configuration."""

    name: ModelName | None = Field(
        default=None,
        description="What the model is called, in `kubectl get -o wide` too; under accelerator.profile a name of the catalogue gives its size. Example: deepseek-v2-lite.",
    )
    source: ModelSource | None = Field(
        default=None,
        description="Weights in Hugging Face form (config.json, safetensors, tokenizer) to start from: a folder on a claim, or one that is fetched to a claim.",
    )
    from_training: ModelFromTraining | None = Field(
        default=None,
        description="Weights of another training's export to start from, as for more data; checkpoints.resume.from goes on with its optimizer and steps instead.",
    )
    custom: dict[str, Any] | None = Field(
        default=None,
        description="config.json fields of a private model, trained from random weights. Example: {model_type: deepseek_v3, hidden_size: 64, …}.",
        max_length=128,
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
