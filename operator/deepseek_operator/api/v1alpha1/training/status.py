"""What is true of a training."""

from functools import cache
from typing import Literal

from pydantic import Field

from deepseek_operator.api.base import ObservedStatus, StatusModel, Summary
from deepseek_operator.api.record import RECORD
from deepseek_operator.api.v1alpha1.common.attempts import Ancestor, AttemptRecord, AttemptStatus
from deepseek_operator.api.v1alpha1.common.fetch import FetchStatus
from deepseek_operator.api.v1alpha1.common.plan import PlanStatus
from deepseek_operator.api.v1alpha1.training.progress import (
    BestCheckpoint,
    DataStatus,
    InPlaceRestartStatus,
    LastCheckpoint,
    PreflightStatus,
    ProgressStatus,
    RollbackStatus,
    StragglerStatus,
)


class VolumeStatus(StatusModel):
    """The claim that holds the checkpoints; its uid is recorded before the first attempt."""

    claim_name: str = Field(default="", description="Name of the PersistentVolumeClaim.")
    uid: str = Field(
        default="",
        description="Its uid: another one of the same name is not trusted.",
        json_schema_extra=RECORD,
    )
    made: bool = Field(default=False, description="True: the operator made it.")
    used: bool = Field(
        default=True,
        description="False: certainly no attempt of this training writes or has written to it. Every fixed field may still change, and a claim that the operator made goes with the training.",
    )
    taken_by: int | None = Field(
        default=None,
        description="Number of the attempt that runs and was the first to use it: when it has certainly written nothing, it counts as unused again.",
        json_schema_extra=RECORD,
    )
    full_with: str | None = Field(
        default=None,
        description="Its capacity, and how many checkpoints were to be kept, when an attempt found it full: with others the next one does not wait.",
        json_schema_extra=RECORD,
    )


class OriginStatus(StatusModel):
    """What another training's name was resolved to, recorded before anything starts from it."""

    reference: str = Field(
        default="",
        description="Digest of what was referred to; another one is resolved anew.",
        json_schema_extra=RECORD,
    )
    training: str = Field(default="", description="The DeepSeekTraining.")
    training_uid: str = Field(
        default="",
        alias="trainingUID",
        description="Its uid.",
        json_schema_extra=RECORD,
    )
    claim_name: str = Field(default="", description="PersistentVolumeClaim that holds its checkpoints and exports.")
    sub_path: str = Field(default="", description="Folder of the claim that it uses; empty: its root.")
    step: int = Field(description="Step that it starts from, or whose export it starts from.")


class TrainingSummary(Summary):
    """Ready-made strings for the printed columns, which can't compute."""

    workers: str = Field(default="", description="Pods that run or have succeeded, of the wanted ones. Example: 3/4.")
    progress: str | None = Field(default=None, description="Steps that are done. Example: 420/1200 (35 %).")
    eta: str | None = Field(default=None, description="Time until the last step, while all run. Example: 2h10m.")


class TrainingPlanStatus(PlanStatus):
    """The plan of a training: what its memory was counted with, and what it will write."""

    micro_batch_size: int | None = Field(default=None, description="Sequences per device and pass that were counted.")
    checkpoint_bytes: int | None = Field(default=None, description="Bytes of one checkpoint.")
    export_bytes: int | None = Field(default=None, description="Bytes of the weights that are handed to serving.")
    sharding: str = Field(
        default="",
        description="Which state the data ranks share out, where the operator writes the trainer's command. Example: ZeRO3.",
    )
    shard: int | None = Field(
        default=None, description="Data ranks that share one copy of it.", json_schema_extra=RECORD
    )
    context: int | None = Field(default=None, description="Ranks that share a sequence.", json_schema_extra=RECORD)
    recompute: str = Field(
        default="",
        description="Which activations are computed again, where the operator writes the trainer's command. Example: Full.",
    )


class TrainingStatus(ObservedStatus):
    """What was seen of the training, and the records that cannot be derived again."""

    phase: str = Field(
        default="",
        description="For people: Pending, Starting, Running, Restarting, Stopping, Suspended, Complete, Failed. Machines read the conditions.",
    )
    uid: str = Field(
        default="",
        description="metadata.uid: the folder of the checkpoints in the volume.",
        json_schema_extra=RECORD,
    )
    fixed_digest: str = Field(
        default="",
        description="Digest of the fields that are fixed once started.",
        json_schema_extra=RECORD,
    )
    attempt: AttemptStatus | None = Field(
        default=None, description="The current attempt; its presence fixes what is fixed once started."
    )
    ancestry: list[Ancestor] = Field(
        default_factory=list,
        max_length=2048,
        description="Attempts whose checkpoints are trusted, oldest first.",
        json_schema_extra={**RECORD, "x-kubernetes-list-type": "atomic"},
    )
    history: list[AttemptRecord] = Field(
        default_factory=list,
        max_length=20,
        description="The last attempts that ended, oldest first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    volume: VolumeStatus | None = Field(default=None, description="The claim that holds the checkpoints.")
    origin: OriginStatus | None = Field(
        default=None, description="The training that this one starts from, by its name in the spec; absent without one."
    )
    sources: list[FetchStatus] = Field(
        default_factory=list,
        max_length=32,
        description="Sources that are fetched to a claim, or were; absent for what lies on one.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    plan: TrainingPlanStatus | None = Field(
        default=None, description="Devices and layout that were found under accelerator.profile; absent without one."
    )
    restarts: int = Field(default=0, description="Crashes that were answered by another attempt.")
    disruptions: int = Field(default=0, description="Attempts that ended by no fault of the training.")
    backoff_level: int | None = Field(
        default=None,
        description="Consecutive failures without a new checkpoint; doubles the wait. Absent: none.",
        json_schema_extra=RECORD,
    )
    not_before: str | None = Field(default=None, description="The next attempt starts no earlier.")
    step_at_failure: int | None = Field(
        default=None,
        description="Newest checkpoint known when the last attempt failed.",
        json_schema_extra=RECORD,
    )
    result: Literal["Complete", "Failed"] | None = Field(default=None, description="Final once written.")
    result_message: str = Field(default="", description="Why it ended as it did.")
    progress: ProgressStatus | None = Field(default=None, description="What rank 0 last said.")
    data: DataStatus | None = Field(
        default=None, description="What was read of the datasets, and what was lost; absent until the trainer says so."
    )
    rollbacks: RollbackStatus | None = Field(
        default=None, description="What failurePolicy.onDivergence has led to; absent while it has led to nothing."
    )
    in_place_restarts: InPlaceRestartStatus | None = Field(
        default=None,
        description="What failurePolicy.maxInPlaceRestarts has led to in the newest attempt; absent while it has led to nothing.",
    )
    preflight: PreflightStatus | None = Field(
        default=None,
        description="What was tried before the newest attempt loaded anything; absent until it has passed.",
    )
    straggler: StragglerStatus | None = Field(
        default=None,
        description="The process that has been slower than the others for at least 60 steps; absent while none is.",
    )
    last_checkpoint: LastCheckpoint | None = Field(default=None, description="The newest checkpoint.")
    best_checkpoint: BestCheckpoint | None = Field(default=None, description="The best evaluated checkpoint.")
    exports: list[int] = Field(
        default_factory=list,
        max_length=128,
        description="Steps that were exported for serving.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    summary: TrainingSummary = Field(
        default_factory=cache(TrainingSummary), description="Ready-made strings for `kubectl get`."
    )
