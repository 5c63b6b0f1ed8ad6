"""What to serve, with what, and how many."""

from typing import Annotated

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, rule, rules
from deepseek_operator.api.v1alpha1.common.accelerator import Accelerator, Parallelism
from deepseek_operator.api.v1alpha1.common.pod import PodSettings
from deepseek_operator.api.v1alpha1.serving.engine import Engine
from deepseek_operator.api.v1alpha1.serving.model import ServingModel
from deepseek_operator.api.v1alpha1.serving.rollout import Rollout
from deepseek_operator.api.v1alpha1.serving.scaling import Autoscaling

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
