"""Weights that a training begins with in place of its model's own."""

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, DnsLabel, rule, rules
from deepseek_operator.api.v1alpha1.common.checkpoint import Checkpoint
from deepseek_operator.api.v1alpha1.common.source import ClaimSource


class InitFrom(ApiModel):
    """The weights of another training's checkpoint, exported or not. Steps count from 0, with a fresh optimizer and data of
    its own; checkpoints.resume.from goes on with both instead."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.training) != has(self.source)",
                "write initFrom.training (a DeepSeekTraining of this namespace), or initFrom.source with the folder of one that "
                "was deleted: pvc://<claim>/<its uid>",
            )
        )
    )

    training: DnsLabel | None = Field(
        default=None,
        description="A DeepSeekTraining of this namespace that has ended or is suspended; its claim is read. Example: first.",
    )
    source: ClaimSource | None = Field(
        default=None,
        description="Folder of a training on a claim, its uid, where the resource is gone. Example: {uri: pvc://checkpoints/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f}.",
    )
    checkpoint: Checkpoint = Field(
        default="Latest",
        description="Latest, Best (the latest where nothing was evaluated), or a step. Default Latest.",
    )
