"""The program that trains."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, Image, rule, rules
from deepseek_operator.api.v1alpha1.common.env import EnvVar, words_rule
from deepseek_operator.api.v1alpha1.common.pod import PodSettings
from deepseek_operator.api.v1alpha1.common.resources import ComputeResources


class Trainer(ApiModel):
    """The program that trains, and its container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.type != 'custom' || has(self.command)",
                "trainer.type custom runs your program: write trainer.command, and trainer.image where it lies",
                fieldPath=".type",
            ),
            rule(
                "self.type == 'custom' || (!has(self.command) && (!has(self.args) || size(self.args) == 0))",
                "trainer.command and trainer.args are those of a program of your own: write trainer.type custom; the "
                "built-in trainer takes its settings from the spec",
                fieldPath=".type",
            ),
            words_rule("trainer"),
            rule(
                "!has(self.env) || self.env.all(e, !(e.name in ['MASTER_ADDR', 'MASTER_PORT', 'WORLD_SIZE', 'RANK', 'LOCAL_RANK']))",
                "MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK and LOCAL_RANK are set by the operator: remove them from trainer.env",
            ),
        )
    )

    type: Literal["builtin", "custom"] = Field(
        default="builtin",
        description="builtin: the trainer of the runtime image. custom: your command. Default builtin.",
    )
    image: Image | None = Field(
        default=None,
        description="Container image. Absent: the operator's runtime image. Example: registry.example.com/team/train:1.4.",
    )
    command: list[Annotated[str, StringConstraints(max_length=4096)]] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Entrypoint of a custom trainer, exec form, no shell.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    args: list[Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default_factory=list,
        max_length=256,
        description="Arguments of the command.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvVar] = Field(
        default_factory=list,
        max_length=128,
        description="Environment: a list of name and value, or name and secret. Example: [{name: LOG_LEVEL, value: INFO}].",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    resources: ComputeResources = Field(default_factory=ComputeResources, description="CPU and memory of each pod.")
    pod: PodSettings = Field(default_factory=PodSettings, description="Where and how the pods run.")
