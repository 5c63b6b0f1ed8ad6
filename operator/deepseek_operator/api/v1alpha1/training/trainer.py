"""The program that trains."""

from functools import cache
from typing import Annotated

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, Image, OneOf, rule, rules
from deepseek_operator.api.v1alpha1.common.env import Arguments, Command, Environment, words_rule
from deepseek_operator.api.v1alpha1.common.pod import PodSettings
from deepseek_operator.api.v1alpha1.common.programs import is_none, is_one, joined
from deepseek_operator.api.v1alpha1.common.resources import ComputeResources
from deepseek_operator.api.v1alpha1.training.trainers import (
    BUILT_OR,
    COMMANDED,
    COMMANDED_OR,
    OURS_OR,
    TYPES,
    WITHOUT_ARGS,
    WRITTEN_OR,
)
from deepseek_operator.domain.programs.trainers.contract import RENDEZVOUS
from deepseek_operator.domain.programs.trainers.table import USUAL


class Trainer(ApiModel):
    """The program that trains, and its container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"{is_none('self.type', COMMANDED)} || has(self.command)",
                f"trainer.type {COMMANDED_OR} runs your program: write trainer.command, and trainer.image where it lies",
                fieldPath=".type",
            ),
            rule(
                f"{is_one('self.type', COMMANDED)} || !has(self.command)",
                f"trainer.command is a program of your own: write trainer.type {COMMANDED_OR}; the command of the others follows "
                "from the spec",
                fieldPath=".type",
            ),
            rule(
                f"{is_none('self.type', WITHOUT_ARGS)} || !has(self.args) || size(self.args) == 0",
                f"trainer.args are not read by {joined(WITHOUT_ARGS, 'and')}, which take their settings from the spec: leave them out",
                fieldPath=".type",
            ),
            words_rule("trainer"),
            rule(
                f"!has(self.env) || self.env.all(e, {is_none('e.name', RENDEZVOUS)})",
                f"{joined(RENDEZVOUS, 'and')} are set by the operator: remove them from trainer.env",
            ),
        )
    )

    type: Annotated[str, OneOf(TYPES)] = Field(
        default=USUAL.type,
        description=f"{OURS_OR}: the trainer of the runtime image. {BUILT_OR}: those, with a command made from the spec, and their checkpoints kept as the built-in ones are. {WRITTEN_OR}: your command. Default {USUAL.type}.",
    )
    image: Image | None = Field(
        default=None,
        description="Container image. Absent: the operator's runtime image, or the profile's for that trainer; one that the operator makes a command for needs Python 3.11. Example: registry.example.com/team/train:1.4.",
    )
    command: Command = Field(
        default=None,
        description=f"Entrypoint of a {WRITTEN_OR} trainer, exec form, no shell. Of a library's trainer: your program and its arguments, which its launcher starts.",
    )
    args: Arguments = Field(
        default_factory=list,
        description="Arguments of the command, after those that the operator writes.",
    )
    env: Environment = Field(default_factory=list)
    resources: ComputeResources = Field(
        default_factory=cache(ComputeResources), description="CPU and memory of each pod."
    )
    pod: PodSettings = Field(default_factory=cache(PodSettings), description="Where and how the pods run.")
