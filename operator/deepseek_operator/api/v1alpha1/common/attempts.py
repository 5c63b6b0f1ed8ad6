"""Attempts as the status tells them."""

from typing import Literal

from pydantic import Field

from deepseek_operator.api.base import StatusModel
from deepseek_operator.api.record import RECORD


class Ancestor(StatusModel):
    """One earlier attempt whose checkpoints may be trusted."""

    attempt: int = Field(description="Its number.")
    job_uid: str = Field(default="", alias="jobUID", description="uid of its Job.")
    incarnation: str | None = Field(
        default=None, description="uid of rank 0's pod: the folder that it wrote; absent if the operator never saw it."
    )


class PodFailure(StatusModel):
    """The first thing that went wrong with one pod of the running attempt."""

    pod: str = Field(default="", description="Name of the pod.")
    cause: str = Field(default="", description="Cause in one word. Example: OOMKilled.")
    disruption: bool = Field(default=False, description="True: no fault of the training.")
    exit_code: int | None = Field(default=None, description="Exit code of the container, where it had one.")
    message: str = Field(default="", description="The pod's own words.")
    at: str = Field(default="", description="When it was seen, RFC 3339.")


class AttemptStatus(StatusModel):
    """The attempt that is recorded as current: written before its Job exists."""

    number: int = Field(description="1 for the first; never used again.")
    job: str = Field(default="", description="Name of its Job.")
    digest: str = Field(
        default="",
        description="Digest of the settings whose edit starts another attempt.",
        json_schema_extra=RECORD,
    )
    job_uid: str = Field(
        default="",
        alias="jobUID",
        description="uid of its Job.",
        json_schema_extra=RECORD,
    )
    incarnation: str | None = Field(
        default=None,
        description="uid of rank 0's pod, once seen.",
        json_schema_extra=RECORD,
    )
    bound_ranks: int | None = Field(
        default=None,
        description="Processes that alone can go on from what it saves; 0 where any number can, absent where that was not recorded.",
        json_schema_extra=RECORD,
    )
    recorded_at: str = Field(default="", description="When it was recorded, RFC 3339.")
    placed_at: str | None = Field(default=None, description="When all pods were first seen placed on nodes.")
    running_at: str | None = Field(default=None, description="When all pods were first seen running, RFC 3339.")
    stopping: Literal["Suspended", "SpecChanged", "StartTimeout"] | None = Field(
        default=None, description="Why the operator itself ends this attempt."
    )
    failures: list[PodFailure] = Field(
        default_factory=list,
        max_length=64,
        description="The first failure of each pod, oldest first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    verdict: Literal["Complete", "Crash", "Disruption", "Stopped", "Invalid"] | None = Field(
        default=None, description="How it ended; absent while it goes on."
    )


class AttemptRecord(StatusModel):
    """How an earlier attempt ended."""

    number: int = Field(description="Its number.")
    verdict: str = Field(default="", description="How it ended.")
    cause: str = Field(default="", description="Why, in one word.")
    message: str = Field(
        default="", description="Why, in a sentence, with the last words of the pod that failed first."
    )
    ended_at: str = Field(default="", description="When, RFC 3339.")
    job: str | None = Field(
        default=None,
        description="Its Job; the newest that failed and the final one are kept, and with them the logs of their pods.",
    )
    first_step: int | None = Field(
        default=None,
        description="Optimizer step that it began with: 1, or the one after the checkpoint that it went on from.",
    )
    last_step: int | None = Field(default=None, description="Last optimizer step that it reported.")
    loss: str | None = Field(default=None, description="Training loss of that step, a decimal.")
    curve: str | None = Field(
        default=None,
        description="File of the checkpoint claim that holds its log of steps, losses, evaluations and saves as JSON lines; the built-in trainer writes it. Logs of pods go, it stays.",
    )
