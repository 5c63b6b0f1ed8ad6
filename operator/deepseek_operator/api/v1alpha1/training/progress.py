"""How far it is, as the status tells it."""

from functools import cache

from pydantic import Field

from deepseek_operator.api.base import StatusModel


class LastCheckpoint(StatusModel):
    """The newest healthy checkpoint that the pods reported."""

    step: int = Field(description="Optimizer step that it holds.")
    time: str | None = Field(
        default=None, description="When it was complete, RFC 3339; absent where only the last words of a pod name it."
    )
    size_bytes: int | None = Field(default=None, alias="bytes", description="Bytes of all its files.")
    seconds: str | None = Field(
        default=None,
        description="Seconds from its first byte to its last, a decimal; steps go on meanwhile. Of the newest that was measured, where this one was not.",
    )
    blocked_seconds: str | None = Field(
        default=None, description="Seconds in which no step was made for it, a decimal."
    )
    blocked_share: str | None = Field(
        default=None,
        description="Those as a share of the seconds per step, over the last twenty steps, a decimal: 0.02 are 2 %.",
    )


class BestCheckpoint(StatusModel):
    """The best evaluated healthy checkpoint that the pods reported."""

    step: int = Field(description="Optimizer step that it holds.")
    metric: str | None = Field(default=None, description="Name of the metric that ranks it.")
    value: str | None = Field(default=None, description="Value of that metric, a decimal.")


class DroppedStatus(StatusModel):
    """How many records were dropped, by the first reason that was found."""

    exact_duplicate: int = Field(default=0, description="The same as an earlier one.")
    near_duplicate: int = Field(default=0, description="Nearly the same as an earlier one.")
    contaminated: int = Field(default=0, description="It holds what a Heldout dataset holds.")
    other_language: int = Field(default=0, description="In none of data.languages.")
    few_letters: int = Field(default=0, description="Fewer letters than data.minLetters.")
    repetitive: int = Field(default=0, description="More repeated lines than data.maxRepetition.")
    too_short: int = Field(default=0, description="Fewer tokens than data.minTokens.")
    too_long: int = Field(default=0, description="More tokens than data.maxTokens.")
    no_room: int = Field(
        default=0, description="Its prompt leaves no room for an answer within hyperparameters.sequenceLength."
    )


class PreparedStatus(StatusModel):
    """What became of the Train datasets under spec.data."""

    digest: str = Field(default="", description="Name of the folder under datasets/ on the checkpoint volume.")
    read: int = Field(default=0, description="Records that were read.")
    sequences: int = Field(
        default=0, description="Sequences that are learnt from; with packing one holds several records."
    )
    tokens: int = Field(default=0, description="Tokens of all sequences.")
    dropped: DroppedStatus = Field(
        default_factory=cache(DroppedStatus), description="Records that are not learnt from."
    )


class DataStatus(StatusModel):
    """What the built-in trainer read of all datasets, and what hyperparameters.sequenceLength cost."""

    examples: int = Field(default=0, description="Examples that are used.")
    dropped: int = Field(
        default=0, description="Examples that are left out: their prompt leaves no room for an answer. Not in examples."
    )
    cut: int = Field(
        default=0,
        description="Examples whose completion is cut, so that nothing teaches the model to end there. In examples.",
    )
    longest: int = Field(default=0, description="Tokens of the longest example: the length that would keep all whole.")
    prepared: PreparedStatus | None = Field(
        default=None, description="What was prepared of the Train datasets; absent without spec.data."
    )


class RollbackStatus(StatusModel):
    """How often the built-in trainer went back to a checkpoint because its numbers were no longer finite."""

    count: int = Field(default=0, description="Rollbacks that the present course has in it.")
    step: int | None = Field(default=None, description="Step that diverged last.")
    to: int | None = Field(default=None, description="Step of the checkpoint that was gone back to then.")
    skipped: int | None = Field(default=None, description="Batches that were left out then.")


class InPlaceRestartStatus(StatusModel):
    """Crashes of the newest attempt after which its processes started again inside their pods."""

    count: int = Field(default=0, description="How many there were.")
    step: int | None = Field(default=None, description="Last optimizer step before the last of them.")
    cause: str = Field(default="", description="What crashed then, in the words of its pod, with the node.")


class StragglerStatus(StatusModel):
    """The process that keeps the others waiting."""

    rank: int = Field(description="Its rank.")
    node: str = Field(default="", description="The node that it runs on.")
    factor: str = Field(
        default="", description="How much longer than the others it takes for the same work, a decimal. Example: 1.8."
    )


class PreflightStatus(StatusModel):
    """What the newest attempt measured before it loaded anything."""

    seconds: str = Field(default="", description="Seconds that it took, a decimal.")
    collective_megabytes_per_second: str | None = Field(
        default=None, description="Of a sum over all processes, a decimal; absent for a single one."
    )
    write_megabytes_per_second: str | None = Field(
        default=None, description="Of the checkpoint volume from the slowest node, a decimal."
    )
    read_megabytes_per_second: str | None = Field(default=None, description="The same, read back.")
    node: str = Field(default="", description="That slowest node.")


class OwnMetric(StatusModel):
    """A number that a program of the user's own measured."""

    name: str = Field(default="", description="Name that it printed.")
    value: str = Field(default="", description="A decimal.")


class ProgressStatus(StatusModel):
    """What rank 0 last said. Display only."""

    state: str = Field(
        default="", description="Starting, Preparing, Training, Saving, Evaluating, Stopping or Complete."
    )
    step: int | None = Field(default=None, description="Last optimizer step.")
    first_step: int | None = Field(default=None, description="Optimizer step that the attempt began with.")
    max_steps: int | None = Field(default=None, description="Steps in all.")
    loss: str | None = Field(default=None, description="Last training loss, a decimal.")
    gradient_norm: str | None = Field(
        default=None, description="Norm of the last step's gradients before they were clipped, a decimal."
    )
    eval_loss: str | None = Field(default=None, description="Last loss on the Heldout datasets, a decimal.")
    accuracy: str | None = Field(
        default=None, description="Last accuracy on the Heldout datasets, a decimal from 0 to 1."
    )
    metrics: list[OwnMetric] = Field(
        default_factory=list,
        max_length=16,
        description="What evaluation.command printed last, by name.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    evaluation_failure: str | None = Field(default=None, description="Why the last evaluation has none of them.")
    tokens_per_second: str | None = Field(default=None, description="Tokens per second of all workers, a decimal.")
    mfu: str | None = Field(
        default=None,
        description="Model FLOPs utilisation over the last steps, a decimal from 0 to 1: FLOPs of the model (6 per active parameter and token, and those of attention; padding and recomputation don't count), of the dense peak of all devices. Only under a profile whose device has a peak for hyperparameters.precision.",
    )
    expert_imbalance: str | None = Field(
        default=None,
        description="Tokens of the busiest expert, of the mean of its layer, over the last steps, a decimal of 1 or more; of the least even layer.",
    )
    device_memory: str | None = Field(
        default=None, description="Most memory that the allocator of one device has reserved. Example: 61.3Gi."
    )
    host_memory: str | None = Field(
        default=None, description="Most resident memory that one process has had. Example: 9.4Gi."
    )
    eta_seconds: int | None = Field(default=None, description="Estimated seconds until the last step.")
    observed_at: str | None = Field(
        default=None, description="When the pod was asked, RFC 3339; absent where only its last words tell."
    )
