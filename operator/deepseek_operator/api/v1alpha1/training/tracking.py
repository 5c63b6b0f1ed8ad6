"""Where the built-in trainer records its runs."""

from typing import Annotated

from pydantic import Field, StringConstraints

from deepseek_operator.api.base import ApiModel, ClaimName, Says

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[^/:\x00-\x1f]+$", max_length=250),
    Says("write a name of at most 250 characters without '/' and ':', for example r1-distill"),
]


class MLflow(ApiModel):
    """A server, and what it is told under which name."""

    uri: Annotated[
        str,
        StringConstraints(pattern=r"^https?://[^\s@/]+(/\S*)?$", max_length=1024),
        Says("write the server's http or https address without a user, for example http://mlflow.mlops:5000"),
    ] = Field(description="The server's address. Example: http://mlflow.mlops:5000.")
    experiment: Name | None = Field(
        default=None,
        description="The experiment, made where it is missing. Absent: the training's namespace.",
    )
    registered_model: Name | None = Field(
        default=None,
        description="A registered model of which every export becomes a version, with the sha256 of its manifest as a tag; the best one has the alias best. Absent: nothing is registered. Example: support-bot.",
    )
    credentials: ClaimName | None = Field(
        default=None,
        description="A Secret of this namespace with the entries username and password, or token; the kubelet reads it. Absent: none are sent.",
    )


class Tensorboard(ApiModel):
    """Event files beside the checkpoints."""

    run: Name | None = Field(
        default=None,
        description="The run's name. Absent: the training's. Example: warm-up-100.",
    )


class Tracking(ApiModel):
    """Who is told of the training's numbers; a training never waits for one, nor fails with it."""

    mlflow: MLflow | None = Field(
        default=None,
        description="An MLflow tracking server: one run for the training with all its attempts. Absent: none.",
    )
    tensorboard: Tensorboard | None = Field(
        default=None,
        description="Event files for TensorBoard on the checkpoint volume, in tensorboard/<run>-<the first 8 characters of metadata.uid>/: one run for the training with all its attempts; {} writes them under its name. Absent: none.",
    )
