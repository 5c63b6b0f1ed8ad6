"""`DeepSeekTraining`: one run of a model over datasets, with checkpoints that survive whatever happens to its pods.

Which edits are let in is said by the rules of the resource itself, over `status`: model, objective, method, datasets,
hyperparameters, the volume and resume are fixed once something may have been learnt, and until then an edit of them
starts the training anew; nodes, accelerator and runtime stop the attempt and start another from the newest checkpoint;
what pods read (when to save, how many to keep, the stall) counts from the next attempt on; the rest is live.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import (
    ApiModel,
    ClaimName,
    DatasetUri,
    Decimal,
    DnsLabel,
    ObjectMeta,
    ObservedStatus,
    Quantity,
    RelativePath,
    Says,
    StatusModel,
    Summary,
    Weight,
    rule,
    rules,
)
from deepseek_operator.api.record import RECORD
from deepseek_operator.api.v1alpha1.workload import Accelerator, ClaimSource, PlanStatus, Runtime

ModelName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128),
    Says("write a name of letters, digits, '.', '_' and '-', for example deepseek-v2-lite"),
]
Checkpoint = Annotated[
    str,
    StringConstraints(pattern=r"^(Latest|Best|[0-9]{1,9})$", max_length=16),
    Says('write Latest, Best, or a quoted step such as "200"'),
]
TrainingUid = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", max_length=36),
    Says("write the uid of a training, for example 0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"),
]


_OWN_COMMAND = "has(self.runtime.command)"


class ModelFromTraining(ApiModel):
    """The weights that a training of the same namespace exported, to learn other data from: steps count from 0."""

    name: DnsLabel = Field(description="The DeepSeekTraining. Example: uppercase.")
    checkpoint: Checkpoint = Field(
        default="Best", description="Best, Latest, or a step that was exported. Default Best."
    )


class TrainingModel(ApiModel):
    """The model that is trained: weights from a volume or another training, or a fresh one from a configuration."""

    name: ModelName | None = Field(
        default=None,
        description="What the model is called, in `kubectl get -o wide` too; under accelerator.profile a name of the catalogue gives its size. Example: deepseek-v2-lite.",
    )
    source: ClaimSource | None = Field(
        default=None, description="Weights in Hugging Face form (config.json, safetensors, tokenizer) to start from."
    )
    from_training: ModelFromTraining | None = Field(
        default=None,
        description="Weights of another training's export to start from, as for more data; checkpoints.resume.from goes on with its optimizer and steps instead.",
    )
    custom: dict[str, Any] | None = Field(
        default=None,
        description="config.json fields of a private model, trained from random weights. Example: {model_type: deepseek_v3, hidden_size: 64, …}.",
        max_length=128,
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class TrainingMethod(ApiModel):
    """Which parameters are trained."""

    type: Literal["Full"] = Field(default="Full", description="Full: every parameter. Default Full.")


class DatasetSource(ApiModel):
    """Where a dataset lies."""

    uri: DatasetUri = Field(
        description="pvc://<claim>/<file>, image:///<path in the image>, or builtin://<name of a generated task>. Example: pvc://corpora/support.jsonl."
    )


class Dataset(ApiModel):
    """One dataset."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.split != 'Heldout' || double(self.weight) == 1.0",
                "datasets.weight is for what is learnt from: leave it out of a dataset with split Heldout",
                fieldPath=".weight",
            )
        )
    )

    source: DatasetSource = Field(description="Where it lies.")
    split: Literal["Train", "Heldout"] = Field(
        default="Train", description="Train: learnt from. Heldout: only evaluated. Default Train."
    )
    format: Literal["PromptCompletion", "Text"] = Field(
        default="PromptCompletion",
        description='PromptCompletion: JSON lines {"prompt": …, "completion": …}, loss on the completion only; both are trained as they are written, without the chat template of the model: ask the result by /v1/completions, or write the text of the template into them. Text: plain text, or JSON lines {"text": …}, loss everywhere. A file is read by its content, whatever it is called. Default PromptCompletion.',
    )
    weight: Weight = Field(
        default="1",
        description='How often each of its examples is seen per epoch, a decimal above 0, in quotes where it has a fraction: 3 is three times, "0.5" a fresh half of them in every epoch. Default "1".',
        json_schema_extra=rules(
            rule(
                "double(self) > 0.0",
                'datasets.weight must be above 0, for example "0.5"; leave out a dataset that is not wanted',
            )
        ),
    )


class Hyperparameters(ApiModel):
    """How the training runs. Decimals with a fraction are quoted: YAML and JSON read 1e-5 differently."""

    global_batch_size: Annotated[int, Field(ge=1, le=1048576)] = Field(
        default=32,
        description="Sequences per optimizer step over all processes; divisible by their number. Default 32.",
    )
    micro_batch_size: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        default=None,
        description="Sequences per process and pass, a memory knob: gradients are accumulated to the global batch. Absent: one pass; where the model was sized under accelerator.profile, the size that was counted.",
    )
    sequence_length: Annotated[int, Field(ge=8, le=1048576)] = Field(
        default=2048,
        description="Tokens per sequence. Longer completions are cut, before their end token; an example whose prompt leaves no room for an answer is left out. status.data counts both, and a dataset of which most would be left out is refused. Default 2048.",
    )
    learning_rate: Decimal = Field(
        default="1e-5",
        description='Peak learning rate of AdamW, a decimal above 0 and at most 10, in quotes where it has a fraction or an exponent. Default "1e-5".',
        json_schema_extra=rules(
            rule(
                "double(self) > 0.0 && double(self) <= 10.0",
                'hyperparameters.learningRate must be above 0 and at most 10, for example "3e-5"',
            )
        ),
    )
    schedule: Literal["Constant", "Linear", "Cosine"] = Field(
        default="Cosine", description="Learning rate after the warm-up, down to zero at the last step. Default Cosine."
    )
    warmup_steps: Annotated[int, Field(ge=0, le=10000000)] = Field(
        default=0, description="Steps of linear warm-up. Default 0."
    )
    max_steps: Annotated[int, Field(ge=1, le=100000000)] | None = Field(
        default=None,
        description="Optimizer steps in all, those before a checkpoint of checkpoints.resume.from included. Exactly one of maxSteps, moreSteps and epochs.",
    )
    more_steps: Annotated[int, Field(ge=1, le=100000000)] | None = Field(
        default=None,
        description="Optimizer steps beyond the checkpoint that checkpoints.resume.from names. Example: 200. Exactly one of maxSteps, moreSteps and epochs.",
    )
    epochs: Annotated[int, Field(ge=1, le=100000)] | None = Field(
        default=None,
        description="Passes over the training data. Exactly one of maxSteps, moreSteps and epochs.",
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="bf16", description="Compute precision; weights and optimizer are kept in fp32. Default bf16."
    )
    weight_decay: Decimal = Field(
        default="0",
        description='Weight decay of AdamW, a decimal from 0 to 1, in quotes where it has a fraction. Default "0".',
        json_schema_extra=rules(
            rule("double(self) <= 1.0", 'hyperparameters.weightDecay must be at most 1, for example "0.01"')
        ),
    )
    gradient_clip_norm: Decimal = Field(
        default="1",
        description='Global gradient norm is clipped to this, a decimal, in quotes where it has a fraction; 0 switches clipping off. Default "1".',
    )
    seed: Annotated[int, Field(ge=0, le=4294967295)] = Field(
        default=0, description="Seed of weights, data order and dropout. Default 0."
    )
    eval_every_steps: Annotated[int, Field(ge=1, le=100000000)] | None = Field(
        default=None, description="Steps between evaluations on the Heldout datasets. Absent: only at the end."
    )


class Nodes(ApiModel):
    """Size of the gang."""

    count: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="Pods that train together, all or none (1..1024). Absent: as many as were found to fit under accelerator.profile, else 1.",
    )

    @property
    def number(self) -> int:
        """Pods of the gang: as written, else one."""
        return self.count or 1


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
    volume: CheckpointVolume = Field(default_factory=CheckpointVolume, description="Where they are kept.")
    keep_last: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=2, description="Newest healthy checkpoints to keep. Default 2. An edit counts from the next attempt on."
    )
    keep_best: Annotated[int, Field(ge=0, le=100)] = Field(
        default=1,
        description="Best healthy checkpoints to keep besides, by accuracy and then loss on Heldout datasets; without one nothing is best. Default 1. An edit counts from the next attempt on.",
    )
    on_delete: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="What happens to a claim that the operator made when this resource is deleted. Default Retain.",
    )
    resume: Resume = Field(default_factory=Resume, description="Where an attempt starts.")


class FailurePolicy(ApiModel):
    """What is tolerated. Disruptions (evictions, lost nodes, deleted pods) are never counted."""

    max_restarts: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=3, description="Crashes that are answered by another attempt. Default 3."
    )
    start_timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=1800,
        description="Seconds from when all pods are placed until all run, and again until the built-in trainer has loaded the model and is ready to train; longer counts as a crash. Default 1800. For the second part an edit counts from the next attempt on.",
    )
    stall_timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=1800,
        description="Seconds without a heartbeat after the first one before the attempt is ended as stalled, a crash. Default 1800. An edit counts from the next attempt on.",
    )
    node_lost_seconds: Annotated[int, Field(ge=30, le=86400)] = Field(
        default=300,
        description="Seconds that a pod on an unreachable node is waited for beyond its grace before the next attempt starts (shared volumes only). Default 300.",
    )


class TrainingSpec(ApiModel):
    """What to train, on what, and how failures are met."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"{_OWN_COMMAND} || has(self.model.source) || has(self.model.custom) || has(self.model.fromTraining)",
                "the built-in trainer needs a model: write model.source (weights on a claim), model.fromTraining (another "
                "training's export) or model.custom (config.json fields)",
                fieldPath=".model",
            ),
            rule(
                f"{_OWN_COMMAND} || (has(self.datasets) && self.datasets.exists(d, d.split == 'Train'))",
                "the built-in trainer needs something to learn from: write datasets with at least one of split Train",
            ),
            rule(
                f"{_OWN_COMMAND} || has(self.hyperparameters.maxSteps) || has(self.hyperparameters.epochs) || "
                "has(self.hyperparameters.moreSteps)",
                "the built-in trainer needs an end: write hyperparameters.maxSteps or hyperparameters.epochs",
                fieldPath=".hyperparameters",
            ),
            rule(
                "!has(self.hyperparameters.moreSteps) || (has(self.checkpoints.resume.from) && "
                "(has(self.checkpoints.resume.from.training) || self.checkpoints.resume.from.checkpoint.matches('^[0-9]+$')))",
                "hyperparameters.moreSteps counts from a checkpoint of checkpoints.resume.from: name that training, or "
                "beside trainingUID a step as checkpoint; without resume.from write maxSteps",
                fieldPath=".hyperparameters.moreSteps",
            ),
            rule(
                "!(has(self.model.fromTraining) && has(self.checkpoints.resume.from))",
                "write model.fromTraining (weights alone, steps from 0) or checkpoints.resume.from (goes on with optimizer "
                "and steps), not both",
                fieldPath=".model.fromTraining",
            ),
            rule(
                f"{_OWN_COMMAND} || self.hyperparameters.globalBatchSize % "
                "((has(self.nodes.count) ? self.nodes.count : 1) * "
                "(has(self.accelerator) && has(self.accelerator.perNode) ? self.accelerator.perNode : 1)) == 0",
                "hyperparameters.globalBatchSize must be divisible by the number of processes, nodes.count × accelerator.perNode",
                fieldPath=".hyperparameters.globalBatchSize",
            ),
            rule(
                f"{_OWN_COMMAND} || !has(self.hyperparameters.evalEverySteps) || "
                "(has(self.datasets) && self.datasets.exists(d, d.split == 'Heldout'))",
                "hyperparameters.evalEverySteps needs something to evaluate on: write a dataset with split Heldout",
                fieldPath=".hyperparameters.evalEverySteps",
            ),
            rule(
                "!has(self.nodes.count) || self.nodes.count == 1 || !has(self.checkpoints.volume.accessMode) || "
                "self.checkpoints.volume.accessMode == 'ReadWriteMany'",
                "with nodes.count above 1 every node writes the volume: write checkpoints.volume.accessMode ReadWriteMany, or leave it out",
                fieldPath=".checkpoints.volume.accessMode",
            ),
        )
    )

    model: TrainingModel = Field(
        default_factory=TrainingModel,
        description="The model that is trained. Required by the built-in trainer.",
        json_schema_extra=rules(
            rule(
                "!(has(self.source) && has(self.custom))",
                "write model.source (weights on a claim) or model.custom (config.json fields), not both",
            ),
            rule(
                "!(has(self.fromTraining) && (has(self.source) || has(self.custom)))",
                "write model.fromTraining (another training's export), model.source or model.custom, one of them",
            ),
        ),
    )
    objective: Literal["SFT"] = Field(
        default="SFT", description="What is learnt. SFT: next token of completions or text. Default SFT."
    )
    method: TrainingMethod = Field(default_factory=TrainingMethod, description="Which parameters are trained.")
    datasets: list[Dataset] = Field(
        default_factory=list,
        max_length=16,
        description="What is learnt from and evaluated on. Required by the built-in trainer.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    hyperparameters: Hyperparameters = Field(
        default_factory=Hyperparameters,
        description="How the built-in trainer runs.",
        json_schema_extra=rules(
            rule(
                "!(has(self.maxSteps) && has(self.epochs))",
                "write hyperparameters.maxSteps or hyperparameters.epochs, not both",
            ),
            rule(
                "!(has(self.moreSteps) && (has(self.maxSteps) || has(self.epochs)))",
                "write hyperparameters.moreSteps or maxSteps or epochs, one of them",
            ),
            rule(
                "!has(self.maxSteps) || self.warmupSteps < self.maxSteps",
                "hyperparameters.warmupSteps must be less than hyperparameters.maxSteps",
            ),
        ),
    )
    accelerator: Accelerator | None = Field(
        default=None, description="Devices of each pod. Absent: the CPU, one process per pod."
    )
    nodes: Nodes = Field(default_factory=Nodes, description="Size of the gang.")
    runtime: Runtime = Field(default_factory=Runtime, description="The container. Absent: the built-in trainer.")
    checkpoints: Checkpoints = Field(
        default_factory=Checkpoints,
        description="When checkpoints are saved, where, and how many are kept.",
    )
    failure_policy: FailurePolicy = Field(default_factory=FailurePolicy, description="Which failures are tolerated.")
    suspend: bool = Field(
        default=False,
        description="True: save, stop the pods and wait. False again: go on from the checkpoint. Default false.",
    )


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
        description="False: certainly no attempt of this training has written to it. Every fixed field may still change, and a claim that the operator made goes with the training.",
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


class LastCheckpoint(StatusModel):
    """The newest healthy checkpoint that the pods reported."""

    step: int = Field(description="Optimizer step that it holds.")
    time: str | None = Field(
        default=None, description="When it was complete, RFC 3339; absent where only the last words of a pod name it."
    )


class BestCheckpoint(StatusModel):
    """The best evaluated healthy checkpoint that the pods reported."""

    step: int = Field(description="Optimizer step that it holds.")
    metric: str | None = Field(default=None, description="Name of the metric that ranks it.")
    value: str | None = Field(default=None, description="Value of that metric, a decimal.")


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


class ProgressStatus(StatusModel):
    """What rank 0 last said. Display only."""

    state: str = Field(default="", description="Starting, Training, Saving, Evaluating, Stopping or Complete.")
    step: int | None = Field(default=None, description="Last optimizer step.")
    first_step: int | None = Field(default=None, description="Optimizer step that the attempt began with.")
    max_steps: int | None = Field(default=None, description="Steps in all.")
    loss: str | None = Field(default=None, description="Last training loss, a decimal.")
    eval_loss: str | None = Field(default=None, description="Last loss on the Heldout datasets, a decimal.")
    accuracy: str | None = Field(
        default=None, description="Last accuracy on the Heldout datasets, a decimal from 0 to 1."
    )
    tokens_per_second: str | None = Field(default=None, description="Tokens per second of all workers, a decimal.")
    eta_seconds: int | None = Field(default=None, description="Estimated seconds until the last step.")
    observed_at: str | None = Field(
        default=None, description="When the pod was asked, RFC 3339; absent where only its last words tell."
    )


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
    last_checkpoint: LastCheckpoint | None = Field(default=None, description="The newest checkpoint.")
    best_checkpoint: BestCheckpoint | None = Field(default=None, description="The best evaluated checkpoint.")
    exports: list[int] = Field(
        default_factory=list,
        max_length=128,
        description="Steps that were exported for serving.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    summary: TrainingSummary = Field(
        default_factory=TrainingSummary, description="Ready-made strings for `kubectl get`."
    )


class DeepSeekTraining(ApiModel):
    """The custom resource."""

    api_version: str = "deepseek-operator.io/v1alpha1"
    kind: Literal["DeepSeekTraining"] = "DeepSeekTraining"
    metadata: ObjectMeta
    spec: TrainingSpec
    status: TrainingStatus = Field(default_factory=TrainingStatus)
