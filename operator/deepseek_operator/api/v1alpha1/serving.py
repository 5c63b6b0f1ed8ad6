"""`DeepSeekServing`: replicas of an inference engine over one version of a model, rolled out and scaled.

`replicas` has a schema default because the HorizontalPodAutoscaler reads it through the scale subresource and never
starts when it is absent; under `autoscaling` it is that autoscaler's register and a user leaves it alone.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import (
    ApiModel,
    DnsLabel,
    Image,
    ObjectMeta,
    ObservedStatus,
    Says,
    StatusModel,
    Summary,
    rule,
    rules,
)
from deepseek_operator.api.record import RECORD
from deepseek_operator.api.v1alpha1.training import Checkpoint
from deepseek_operator.api.v1alpha1.workload import (
    Accelerator,
    ClaimSource,
    ComputeResources,
    EnvVar,
    Parallelism,
    PlanStatus,
    PodSettings,
    Release,
    words_rule,
)

ServedName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=128),
    Says("write a name of letters, digits, '.', '_', '/' and '-', for example deepseek-ai/DeepSeek-V3"),
]
HttpPath = Annotated[
    str,
    StringConstraints(pattern=r"^/[A-Za-z0-9._/-]*$", max_length=256),
    Says("write an absolute path without query, for example /health"),
]


class FromTraining(ApiModel):
    """An export of a DeepSeekTraining of the same namespace."""

    name: DnsLabel = Field(description="The DeepSeekTraining. Example: uppercase.")
    checkpoint: Checkpoint = Field(
        default="Best",
        description="Best (the latest where nothing was evaluated), Latest, or a step that was exported. Default Best.",
    )
    update: Literal["Pinned"] = Field(
        default="Pinned", description="Pinned: resolved once and kept until this reference changes. Default Pinned."
    )


class ServingModel(ApiModel):
    """What is served."""

    name: ServedName | None = Field(
        default=None,
        description="Model name that clients send; under a profile, a name of the catalogue gives the model's size and dialect. Default: this resource's name. Example: deepseek-r1.",
    )
    source: ClaimSource | None = Field(
        default=None, description="A model folder (config.json, safetensors, tokenizer) on a claim."
    )
    from_training: FromTraining | None = Field(default=None, description="The result of a training.")
    custom: dict[str, Any] | None = Field(
        default=None,
        description="config.json fields of a private model, from which it is sized under accelerator.profile. Absent: sized where name is in the catalogue.",
        max_length=128,
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
    quantization: Literal["bf16", "fp16", "fp8", "int8", "awq", "gptq", "w4a8", "nvfp4", "mxfp4"] | None = Field(
        default=None,
        description="Storage format of the weights in the folder, for engine.type vllm and sglang. Absent: as the model was published. Example: awq.",
    )


class Engine(ApiModel):
    """The server."""

    model_config = ConfigDict(json_schema_extra=rules(words_rule("engine")))

    type: Literal["builtin", "vllm", "sglang", "custom"] = Field(
        default="builtin",
        description="builtin: the small engine of the runtime image. vllm, sglang: that engine, its command made from the model, the layout and accelerator.profile. custom: your image. Default builtin.",
    )
    version: Release | None = Field(
        default=None,
        description='Release of vllm or sglang, by which flags, image and metric names are chosen. Absent: a recent one that the operator knows, kept by the revision. Example: "0.33.0".',
    )
    image: Image | None = Field(
        default=None,
        description="Container image. Required for custom. Default: the operator's runtime image; for vllm and sglang that of the profile.",
    )
    command: list[Annotated[str, StringConstraints(max_length=4096)]] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Entrypoint of a custom engine, exec form. Absent: the image's own.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    args: list[Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default_factory=list,
        max_length=256,
        description="Arguments of a custom engine; further flags of vllm and sglang. The model lies at /model.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvVar] = Field(
        default_factory=list,
        max_length=128,
        description="Environment: a list of name and value, or name and secret. Example: [{name: LOG_LEVEL, value: INFO}].",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    port: Annotated[int, Field(ge=1024, le=65535)] = Field(
        default=8000, description="Port that the engine listens on. Default 8000."
    )
    health_path: HttpPath = Field(
        default="/health",
        description="Path that answers 200 once the model is loaded and while it is served. Default /health.",
    )
    max_concurrency: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=4, description="Requests that the builtin engine computes at once. Default 4."
    )
    queue_limit: Annotated[int, Field(ge=0, le=65536)] = Field(
        default=64, description="Requests that wait in the builtin engine before it answers 429. Default 64."
    )
    start_timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=1800,
        description="Seconds that loading may take before a replica is restarted; vllm and sglang get more where the weights take longer to read. Default 1800.",
    )
    max_model_length: Annotated[int, Field(ge=128, le=16777216)] | None = Field(
        default=None,
        description="Longest request of vllm or sglang, prompt and answer together, in tokens. Absent: the model's context. Example: 32768.",
    )
    kv_cache_dtype: Literal["auto", "bf16", "fp8"] | None = Field(
        default=None, description="Format of the KV cache of vllm or sglang. Absent: the engine's choice. Example: fp8."
    )
    resources: ComputeResources = Field(default_factory=ComputeResources, description="CPU and memory of each replica.")


class ScalingSignal(ApiModel):
    """What replicas are counted by."""

    type: Literal["InFlight"] = Field(
        default="InFlight", description="InFlight: requests running plus waiting, over all replicas. Default InFlight."
    )
    target: Annotated[int, Field(ge=1, le=1000000)] = Field(
        description="Requests in flight per replica that are aimed at. Example: 8."
    )


class Autoscaling(ApiModel):
    """A HorizontalPodAutoscaler over this resource's scale subresource."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="Never fewer. Default 1.")
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(description="Never more. Example: 8.")
    signals: list[ScalingSignal] = Field(
        min_length=1,
        max_length=4,
        description="The largest wish wins.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    scale_down_stabilization_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=300,
        description="Seconds over which the highest wish counts before replicas are taken away. Default 300.",
    )


class Rollout(ApiModel):
    """How a new version replaces the old one."""

    strategy: Literal["Surge", "Replace"] = Field(
        default="Surge",
        description="Surge: one new replica more, then one old one less; needs free accelerators for one. Replace: all old ones stop first. Default Surge.",
    )


_BUILT = "self.engine.type in ['vllm', 'sglang']"


class ServingSpec(ApiModel):
    """What to serve, with what, and how many."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!({_BUILT}) || (has(self.accelerator) && has(self.accelerator.profile))",
                "engine.type vllm and sglang need accelerator.profile, which says how they run on the device: write for "
                "example nvidia-h200-141, or use engine.type custom with image and command",
                fieldPath=".engine.type",
            ),
            rule(
                f"!has(self.parallelism) || {_BUILT}",
                "parallelism is for engine.type vllm and sglang, whose commands the operator makes",
                fieldPath=".parallelism",
            ),
            rule(
                f"!has(self.model.quantization) || {_BUILT}",
                "model.quantization is for engine.type vllm and sglang",
                fieldPath=".model.quantization",
            ),
            rule(
                "!has(self.model.custom) || (has(self.accelerator) && has(self.accelerator.profile))",
                "model.custom is read to size the model: write accelerator.profile too",
                fieldPath=".model.custom",
            ),
            rule(
                "!has(self.autoscaling) || self.replicas >= 1",
                "with autoscaling, replicas must be 1 or more or left out, since 0 switches the autoscaler off; "
                "write suspend: true to run none",
            ),
            rule(
                "!has(self.autoscaling) || self.engine.type != 'builtin' || self.autoscaling.signals.all(s, "
                "s.target < self.engine.maxConcurrency + self.engine.queueLimit)",
                "autoscaling.signals[].target must be below engine.maxConcurrency + engine.queueLimit, beyond which a "
                "replica answers 429 and no more are ever in flight",
                fieldPath=".autoscaling.signals",
            ),
        )
    )

    model: ServingModel = Field(
        description="What is served.",
        json_schema_extra=rules(
            rule(
                "has(self.source) != has(self.fromTraining)",
                "write exactly one of model.source (a folder on a claim) and model.fromTraining (a training's export)",
            )
        ),
    )
    engine: Engine = Field(
        default_factory=Engine,
        description="The server.",
        json_schema_extra=rules(
            rule("self.type != 'custom' || has(self.image)", "engine.type custom needs engine.image"),
            rule(
                "self.type != 'builtin' || !(has(self.command) || (has(self.args) && size(self.args) > 0))",
                "engine.command and engine.args are for engine.type custom: the builtin engine has none",
            ),
            rule(
                "!(self.type in ['vllm', 'sglang']) || !has(self.command)",
                "the operator makes the command of engine.type vllm and sglang: write further flags as engine.args, or type custom",
            ),
            rule(
                "!(self.type in ['vllm', 'sglang']) || (self.port == 8000 && self.healthPath == '/health' && "
                "self.maxConcurrency == 4 && self.queueLimit == 64)",
                "engine.port, healthPath, maxConcurrency and queueLimit are not for engine.type vllm and sglang: leave "
                "them out, and write limits as flags in engine.args",
            ),
            rule(
                "self.type in ['vllm', 'sglang'] || !(has(self.version) || has(self.maxModelLength) || has(self.kvCacheDtype))",
                "engine.version, maxModelLength and kvCacheDtype are for engine.type vllm and sglang",
            ),
            rule(
                "self.type != 'builtin' || self.healthPath == '/health'",
                "engine.healthPath is for engine.type custom: the builtin engine answers on /health",
            ),
        ),
    )
    accelerator: Accelerator | None = Field(default=None, description="Devices of each replica. Absent: the CPU.")
    parallelism: Parallelism | None = Field(
        default=None, description="How a replica of vllm or sglang lies on its devices. Absent: found by sizing."
    )
    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1,
        description="Replicas to run (0..1000). With autoscaling it belongs to the autoscaler: leave it out of Git. Default 1.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Scale by load. Absent: replicas stay as written.",
        json_schema_extra=rules(
            rule(
                "self.minReplicas <= self.maxReplicas",
                "autoscaling.minReplicas must be at most autoscaling.maxReplicas",
            )
        ),
    )
    rollout: Rollout = Field(default_factory=Rollout, description="How a new version replaces the old one.")
    pod: PodSettings = Field(default_factory=PodSettings, description="Where and how the replicas run.")
    suspend: bool = Field(default=False, description="True: no replica runs and nothing is scaled. Default false.")


class ResolvedModel(StatusModel):
    """The model folder that a revision mounts, recorded before it is used."""

    reference: str = Field(
        default="",
        description="Digest of the reference that was resolved; another one is resolved anew.",
        json_schema_extra=RECORD,
    )
    claim_name: str = Field(default="", description="PersistentVolumeClaim of the model folder.")
    sub_path: str = Field(default="", description="Folder inside the volume; empty: its root.")
    training: str | None = Field(default=None, description="DeepSeekTraining that it came from.")
    training_uid: str | None = Field(
        default=None,
        alias="trainingUID",
        description="uid of that training.",
        json_schema_extra=RECORD,
    )
    step: int | None = Field(default=None, description="Step that was exported.")


class RevisionStatus(StatusModel):
    """One revision and what runs of it."""

    name: str = Field(default="", description="Name of its ControllerRevision and Deployment.")
    replicas: int = Field(default=0, description="Pods that exist.")
    ready: int = Field(default=0, description="Pods that answer.")


class ScalingStatus(StatusModel):
    """What the autoscaler and its signals say."""

    active: bool = Field(default=False, description="True while the HorizontalPodAutoscaler gets its numbers.")
    desired: int | None = Field(default=None, description="Replicas that it wants.")
    reason: str = Field(default="", description="Its reason, in one word.")
    message: str = Field(default="", description="Its reason, in a sentence.")


class ServingSummary(Summary):
    """Ready-made strings for the printed columns."""

    replicas: str = Field(default="", description="Ready replicas of the wanted ones. Example: 2/3.")
    model: str = Field(default="", description="What is served. Example: uppercase@200.")


class ServingStatus(ObservedStatus):
    """What was seen of the serving, and the records that cannot be derived again."""

    phase: str = Field(
        default="",
        description="For people: Pending, Loading, Rolling, Scaling, Available, WaitingForCapacity, Failing, Suspended, Failed, Deleting. Machines read the conditions.",
    )
    replicas: int = Field(
        default=0,
        description="Replicas made for spec.replicas, never a rollout's surplus; the scale subresource shows it.",
    )
    ready_replicas: int = Field(default=0, description="Replicas that answer.")
    selector: str = Field(default="", description="Selects one pod per replica; the scale subresource shows it.")
    url: str = Field(default="", description="Address inside the cluster. Example: http://chat-serve.team.svc:8000.")
    resolved: ResolvedModel | None = Field(default=None, description="The model folder that is mounted.")
    plan: PlanStatus | None = Field(
        default=None, description="Devices and layout that were found under accelerator.profile; absent without one."
    )
    current: RevisionStatus | None = Field(default=None, description="The revision that is wanted.")
    previous: list[RevisionStatus] = Field(
        default_factory=list,
        max_length=16,
        description="Revisions that still run.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    stable: str = Field(default="", description="The last revision that was fully rolled out.")
    running_replicas: int | None = Field(
        default=None,
        description="Replicas that the downward gate lets run; recorded so that a restart does not forget it.",
        json_schema_extra=RECORD,
    )
    autoscaling: ScalingStatus | None = Field(
        default=None, description="What the autoscaler says; absent without autoscaling."
    )
    summary: ServingSummary = Field(default_factory=ServingSummary, description="Ready-made strings for `kubectl get`.")


class DeepSeekServing(ApiModel):
    """The custom resource."""

    api_version: str = "deepseek-operator.io/v1alpha1"
    kind: Literal["DeepSeekServing"] = "DeepSeekServing"
    metadata: ObjectMeta
    spec: ServingSpec
    status: ServingStatus = Field(default_factory=ServingStatus)
