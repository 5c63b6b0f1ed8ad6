"""What is kept on which volume, and what is resumed from."""

from functools import cache
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, ClaimName, DnsLabel, Quantity, RelativePath, Says, rule, rules
from deepseek_operator.api.v1alpha1.common.checkpoint import Checkpoint
from deepseek_operator.api.v1alpha1.training.model import TrainingUid


class CheckpointVolume(ApiModel):
    """An existing claim, or one that the operator makes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.claimName) || !(has(self.size) || has(self.storageClassName) || has(self.accessMode))",
                "checkpoints.volume: write claimName (an existing claim) or storageClassName/size/accessMode (a new one), not both",
            ),
            rule(
                "!has(self.subPath) || has(self.claimName)",
                "checkpoints.volume.subPath needs claimName: a new claim is used whole",
            ),
        )
    )

    claim_name: ClaimName | None = Field(
        default=None, description="An existing PersistentVolumeClaim; it is never deleted. Example: checkpoints."
    )
    sub_path: RelativePath | None = Field(
        default=None, description="Folder of the existing claim to use. Absent: its root."
    )
    storage_class_name: ClaimName | None = Field(
        default=None, description="StorageClass of the claim that the operator makes. Absent: the cluster's default."
    )
    size: Quantity | None = Field(
        default=None,
        description="Size of the claim that the operator makes; it may grow later. Default: what the checkpoints take under accelerator.profile, where the model is known, else 10Gi.",
        json_schema_extra=rules(
            rule(
                "quantity(string(self)).compareTo(quantity('1Mi')) >= 0",
                "checkpoints.volume.size must be at least 1Mi: write a unit, for example 100Gi",
            )
        ),
    )
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] | None = Field(
        default=None,
        description="Access mode of the claim that the operator makes. Default ReadWriteOnce for one node, ReadWriteMany for more.",
    )


MetricName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=64),
    Says("write a metric's name in the manifests, of letters, digits, '_', '.' and '-', for example evalLoss"),
]


class BestMetric(ApiModel):
    """What makes one checkpoint better than another."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.metric != 'loss'",
                "checkpoints.best.metric loss is that of one batch, and an easy batch is no better model: write evalLoss",
                fieldPath=".metric",
            ),
            rule(
                "!has(self.mode) || !((self.metric == 'evalLoss' && self.mode == 'Max') || "
                "(self.metric == 'accuracy' && self.mode == 'Min'))",
                "the lowest evalLoss and the highest accuracy are best: leave checkpoints.best.mode out",
                fieldPath=".mode",
            ),
            rule(
                "has(self.mode) || self.metric == 'evalLoss' || self.metric == 'accuracy'",
                "checkpoints.best.mode says whether the lowest (Min) or the highest (Max) of a metric of your own is best: write it",
                fieldPath=".metric",
            ),
        )
    )

    metric: MetricName = Field(
        description="evalLoss or accuracy of the built-in trainer, or a metric that evaluation.command prints; of a program of your own, any metric in the manifests of its checkpoints. Checkpoints without it do not compete; among equals accuracy, then evalLoss, then the later step decide. Example: evalLoss.",
    )
    mode: Literal["Min", "Max"] | None = Field(
        default=None,
        description="Whether the lowest or the highest is best. Absent: Min for evalLoss, Max for accuracy.",
    )


class ResumeFrom(ApiModel):
    """Another training's checkpoints: by its name, or by its uid once it is deleted and only its claim is left."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.training) != has(self.trainingUID)",
                "write checkpoints.resume.from.training (a DeepSeekTraining of this namespace), or trainingUID with "
                "checkpoints.volume.claimName where that training was deleted",
            )
        )
    )

    training: DnsLabel | None = Field(
        default=None,
        description="A DeepSeekTraining of this namespace that has ended or is suspended; its claim is used. Example: uppercase.",
    )
    training_uid: TrainingUid | None = Field(
        default=None,
        alias="trainingUID",
        description="metadata.uid of a deleted training, which the annotation deepseek-operator.io/owner-uid of its retained claim holds.",
    )
    checkpoint: Checkpoint = Field(
        default="Latest",
        description="Latest, Best (the latest where nothing was evaluated), or a step. Default Latest.",
    )


class Resume(ApiModel):
    """Where an attempt starts."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.policy != 'Never' || !has(self.from)",
                "checkpoints.resume.from is not read with policy Never: remove it, or write policy Auto",
            )
        )
    )

    policy: Literal["Auto", "Never"] = Field(
        default="Auto",
        description="Auto: from the newest healthy checkpoint of this training. Never: every attempt from step 0. Default Auto.",
    )
    from_: ResumeFrom | None = Field(
        default=None,
        alias="from",
        description="Used when this training has no checkpoint yet; steps are counted on from there: write hyperparameters.moreSteps, or maxSteps of more. Absent: from the model.",
    )


class Checkpoints(ApiModel):
    """When checkpoints are saved, where, and how many are kept."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.everySteps) && has(self.everySeconds))",
                "write checkpoints.everySteps or checkpoints.everySeconds, not both",
            ),
            rule(
                "!has(self.volume.claimName) || self.onDelete == 'Retain'",
                "checkpoints.onDelete Delete is for a claim that the operator makes: the existing claim "
                "checkpoints.volume.claimName is never deleted, so write Retain",
            ),
            rule(
                "!has(self.resume.from) || has(self.resume.from.training) || has(self.volume.claimName)",
                "checkpoints.resume.from.trainingUID reads another training's folder in the same volume: write that "
                "claim as checkpoints.volume.claimName, or name a training that still exists as resume.from.training",
            ),
            rule(
                "!(has(self.resume.from) && has(self.resume.from.training)) || "
                "!(has(self.volume.claimName) || has(self.volume.size) || has(self.volume.storageClassName) || "
                "has(self.volume.accessMode))",
                "checkpoints.resume.from.training goes on in the claim of that training: leave checkpoints.volume out",
            ),
        )
    )

    every_steps: Annotated[int, Field(ge=1, le=100000000)] | None = Field(
        default=None,
        description="Steps between checkpoints. At most one of everySteps and everySeconds; default everySeconds 600. An edit counts from the next attempt on.",
    )
    every_seconds: Annotated[int, Field(ge=1, le=604800)] | None = Field(
        default=None, description="Seconds between checkpoints. An edit counts from the next attempt on."
    )
    volume: CheckpointVolume = Field(default_factory=cache(CheckpointVolume), description="Where they are kept.")
    keep_last: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=2, description="Newest healthy checkpoints to keep. Default 2. An edit counts from the next attempt on."
    )
    keep_best: Annotated[int, Field(ge=0, le=100)] = Field(
        default=1,
        description="Best healthy checkpoints to keep besides, by checkpoints.best; without a Heldout dataset nothing is best. Default 1. An edit counts from the next attempt on.",
    )
    best: BestMetric | None = Field(
        default=None,
        description="What is best: for keepBest, for the export, for whoever asks for Best, for earlyStopping. Absent: accuracy on Heldout datasets, among equals evalLoss. An edit counts from the next attempt on.",
    )
    on_delete: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="What happens to a claim that the operator made when this resource is deleted. Default Retain.",
    )
    resume: Resume = Field(default_factory=cache(Resume), description="Where an attempt starts.")
