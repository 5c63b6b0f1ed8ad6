"""What measures the model beside its loss and accuracy on held-out data."""

from typing import Annotated

from pydantic import Field, StringConstraints

from deepseek_operator.api.base import ApiModel


class Evaluation(ApiModel):
    """A program of your own, run by the built-in trainer at each evaluation; it waits for it."""

    command: list[Annotated[str, StringConstraints(max_length=512)]] = Field(
        min_length=1,
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="Runs in the first pod's container, beside the trainer: on trainer.image, or from a claim of a dataset (/datasets/<its index>/…). It finds the model in the form of an export in the folder DEEPSEEK_MODEL, the Heldout datasets' files in DEEPSEEK_HELDOUT (a JSON list), the step in DEEPSEEK_STEP. The last line that it prints is a JSON object of at most 16 numbers; checkpoints carry them, and checkpoints.best may name one. What else it does is told and leaves the evaluation without them. Example: [python3, /datasets/1/bleu.py].",
    )
    timeout_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(
        default=600, description="Seconds that it may take each time. Default 600."
    )
