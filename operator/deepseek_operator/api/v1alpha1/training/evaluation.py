"""What measures the model beside its loss and accuracy on held-out data."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, Image, rule, rules
from deepseek_operator.api.v1alpha1.common.resources import ContainerResources


class Evaluation(ApiModel):
    """A program of your own, run for the built-in trainer at each evaluation; it waits for it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.resources) || has(self.image)",
                "evaluation.resources are those of a container with evaluation.image: write it too, or count the program "
                "into trainer.resources",
            )
        )
    )

    command: list[Annotated[str, StringConstraints(max_length=512)]] = Field(
        min_length=1,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="Runs in the first pod's container, beside the trainer: from evaluation.image where that is written, else on trainer.image; or from a claim of a dataset (/datasets/<its index>/…). It finds the model in the form of an export in the folder DEEPSEEK_MODEL, the Heldout datasets' files in DEEPSEEK_HELDOUT (a JSON list), the step in DEEPSEEK_STEP. The last line that it prints is a JSON object of at most 16 numbers; checkpoints carry them, and checkpoints.best may name one. What else it does is told and leaves the evaluation without them. Example: [python3, /datasets/1/bleu.py].",
    )
    image: Image | None = Field(
        default=None,
        description="Image of a container of its own for the program, which needs /bin/sh: it sees the model and the datasets, and no devices. Each node of the training pulls it. Absent: the program runs in the trainer's container, with its devices. Example: registry.example.com/bleu:1.2.",
    )
    resources: ContainerResources | None = Field(
        default=None,
        description="CPU and memory of the container with evaluation.image, on every node beside the trainer's. Absent: none are asked for.",
    )
    timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        default=600, description="Seconds that it may take each time. Default 600."
    )
