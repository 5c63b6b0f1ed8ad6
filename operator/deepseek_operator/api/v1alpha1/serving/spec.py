"""What to serve, with what, and how many."""

from functools import cache
from typing import Annotated

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, rule, rules
from deepseek_operator.api.v1alpha1.common.accelerator import Accelerator, Parallelism
from deepseek_operator.api.v1alpha1.common.pod import PodSettings
from deepseek_operator.api.v1alpha1.common.programs import is_none, is_one, joined
from deepseek_operator.api.v1alpha1.serving.adapters import ServedAdapter
from deepseek_operator.api.v1alpha1.serving.engine import Engine, unkeyed, unwatched
from deepseek_operator.api.v1alpha1.serving.engines import (
    BUILT,
    BUILT_AND,
    BUILT_OR,
    GRPC,
    GRPC_OR,
    OURS,
    OURS_OR,
    WRITTEN,
    WRITTEN_OR,
)
from deepseek_operator.api.v1alpha1.serving.gateway import Gateway
from deepseek_operator.api.v1alpha1.serving.model import ServingModel
from deepseek_operator.api.v1alpha1.serving.nodes import ReplicaNodes
from deepseek_operator.api.v1alpha1.serving.rollout import Rollout
from deepseek_operator.api.v1alpha1.serving.scaling import DEMAND, Autoscaling, Wake, unobtainable
from deepseek_operator.domain.programs.engines import contract
from deepseek_operator.domain.programs.engines.loads import DEVICE_UTILIZATION
from deepseek_operator.domain.programs.engines.request import PORT


class ServingSpec(ApiModel):
    """What to serve, with what, and how many."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"{is_none('self.engine.type', BUILT)} || (has(self.accelerator) && has(self.accelerator.profile))",
                f"engine.type {BUILT_AND} need accelerator.profile, which says how they run on the device: write for "
                f"example nvidia-h200-141, or use engine.type {WRITTEN_OR} with image and command",
                fieldPath=".engine.type",
            ),
            rule(
                f"!has(self.parallelism) || {is_one('self.engine.type', BUILT)}",
                f"parallelism is for engine.type {BUILT_AND}, whose commands the operator makes",
                fieldPath=".parallelism",
            ),
            rule(
                f"!has(self.nodes.count) || self.nodes.count == 1 || {is_none('self.engine.type', OURS)}",
                f"the {OURS_OR} engine runs on one device: write nodes.count: 1, or engine.type {BUILT_OR}",
                fieldPath=".nodes",
            ),
            rule(
                f"!has(self.model.quantization) || {is_one('self.engine.type', BUILT)}",
                f"model.quantization is for engine.type {BUILT_AND}",
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
                "!has(self.autoscaling) || self.autoscaling.minReplicas > 0 || (has(self.gateway) && has(self.gateway.auth))",
                "autoscaling.minReplicas: 0 needs gateway.auth, since only requests that the gate lets in wake a serving: write "
                "gateway.auth, or minReplicas: 1",
                fieldPath=".autoscaling.minReplicas",
            ),
            rule(
                f"!has(self.autoscaling) || [self.engine].all(e, {is_none('e.type', OURS)} || "
                "self.autoscaling.signals.all(s, s.type != 'InFlight' || !has(s.target) || s.target < e.maxConcurrency + e.queueLimit))",
                "autoscaling.signals[].target must be below engine.maxConcurrency + engine.queueLimit, beyond which a "
                "replica answers 429 and no more are ever in flight",
                fieldPath=".autoscaling.signals",
            ),
            rule(
                f"!has(self.autoscaling) || (has(self.accelerator) && has(self.accelerator.profile)) || "
                f"!self.autoscaling.signals.exists(s, s.type == '{DEVICE_UTILIZATION}')",
                f"signal {DEVICE_UTILIZATION} is told by the devices' exporter, whose metrics accelerator.profile names: write a "
                "profile, or leave that signal out",
                fieldPath=".autoscaling.signals",
            ),
            *unobtainable(),
            rule(
                "!has(self.rollout.canary) || !has(self.rollout.canary.match) || !has(self.rollout.canary.match.header) || "
                "has(self.gateway)",
                "rollout.canary.match.header is read by a gateway: write gateway.parentRef too, or match.percent",
                fieldPath=".rollout",
            ),
            rule(
                "!has(self.model.name) || !has(self.adapters) || !self.adapters.exists(a, a.name == self.model.name)",
                "one of adapters has the name of the model: write another, by which clients tell them apart",
                fieldPath=".adapters",
            ),
            rule(
                "!has(self.adapters) || !has(self.gateway) || !has(self.gateway.models) || "
                "!self.adapters.exists(a, a.name in self.gateway.models)",
                "one of gateway.models is the name of one of adapters: write another, by which clients tell them apart",
                fieldPath=".gateway.models",
            ),
            rule(
                f"!has(self.gateway) || !has(self.gateway.grpc) || {is_one('self.engine.type', GRPC)}",
                f"gateway.grpc is for engines that answer gRPC: write engine.type {GRPC_OR}, or leave grpc out, since the "
                "others are asked by OpenAI's protocol alone",
                fieldPath=".gateway.grpc",
            ),
            rule(
                "!has(self.gateway) || !has(self.rollout.canary) || has(self.rollout.canary.match) || "
                "self.rollout.canary.steps.all(s, !has(s.weight) || "
                "s.weight < 100 || !has(s.analysis) || s.analysis.metrics.all(m, !has(m.maxIncreasePercent)))",
                "a step of weight 100 behind a gateway leaves the stable revision no requests to compare with: write max in "
                "place of maxIncreasePercent there, or leave its analysis out",
                fieldPath=".rollout.canary.steps",
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
    adapters: list[ServedAdapter] = Field(
        default_factory=list,
        max_length=16,
        description="LoRA adapters that answer beside the model, each by its own name. Absent: none.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    engine: Engine = Field(
        default_factory=cache(Engine),
        description="The server.",
        json_schema_extra=rules(
            rule(f"{is_none('self.type', WRITTEN)} || has(self.image)", f"engine.type {WRITTEN_OR} needs engine.image"),
            rule(
                f"{is_none('self.type', OURS)} || !(has(self.command) || (has(self.args) && size(self.args) > 0))",
                f"engine.command and engine.args are for engine.type {WRITTEN_OR}: the {OURS_OR} engine has none",
            ),
            rule(
                f"{is_none('self.type', BUILT)} || !has(self.command)",
                f"the operator makes the command of engine.type {BUILT_AND}: write further flags as engine.args, or type "
                f"{WRITTEN_OR}",
            ),
            rule(
                f"{is_none('self.type', BUILT)} || (self.port == {PORT} && self.healthPath == '/health' && "
                f"self.maxConcurrency == {contract.CONCURRENCY} && self.queueLimit == {contract.QUEUE_LIMIT})",
                f"engine.port, healthPath, maxConcurrency and queueLimit are not for engine.type {BUILT_AND}: leave "
                "them out, and write limits as engine.options",
            ),
            rule(
                f"{is_one('self.type', BUILT)} || !(has(self.version) || has(self.maxModelLength) || has(self.kvCacheDtype) || has(self.options))",
                f"engine.version, maxModelLength, kvCacheDtype and options are for engine.type {BUILT_AND}",
            ),
            rule(
                f"{is_none('self.type', OURS)} || self.healthPath == '/health'",
                f"engine.healthPath is for engine.type {WRITTEN_OR}: the {OURS_OR} engine answers on /health",
            ),
            rule(
                f"{is_none('self.type', WRITTEN)} || !has(self.watchdog) || has(self.command)",
                f"engine.watchdog starts the engine, and can't know what the image of a {WRITTEN_OR} one runs: write that as "
                "engine.command, or leave watchdog out",
            ),
            *unwatched(),
            *unkeyed(),
        ),
    )
    accelerator: Accelerator | None = Field(default=None, description="Devices of each replica. Absent: the CPU.")
    parallelism: Parallelism | None = Field(
        default=None, description=f"How a replica of {BUILT_OR} lies on its devices. Absent: found by sizing."
    )
    nodes: ReplicaNodes = Field(
        default_factory=cache(ReplicaNodes),
        description="Over how many nodes each replica spans.",
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
            ),
            rule(
                "!has(self.schedules) || self.schedules.all(s, s.minReplicas <= (has(s.maxReplicas) ? s.maxReplicas : "
                "self.maxReplicas) && (!has(s.maxReplicas) || self.minReplicas <= s.maxReplicas))",
                "minReplicas of each schedule must be at most its maxReplicas, or else autoscaling.maxReplicas; and its "
                "maxReplicas at least autoscaling.minReplicas",
                fieldPath=".schedules",
            ),
            rule(
                f"self.signals.exists(s, {is_one('s.type', DEMAND)})",
                f"write one at least of {joined(DEMAND, 'and')} among autoscaling.signals: by times and shares alone nobody can tell "
                "how many replicas are too many",
                fieldPath=".signals",
            ),
            rule(
                "!has(self.wake) || self.minReplicas == 0",
                "autoscaling.wake is for autoscaling.minReplicas: 0: write that, or leave wake out",
            ),
        ),
    )
    rollout: Rollout = Field(default_factory=cache(Rollout), description="How a new version replaces the old one.")
    gateway: Gateway | None = Field(
        default=None,
        description="How it is reached from outside, through a Gateway of the administrator's. Absent: by its Service inside the cluster only.",
    )
    pod: PodSettings = Field(default_factory=cache(PodSettings), description="Where and how the replicas run.")
    suspend: bool = Field(default=False, description="True: no replica runs and nothing is scaled. Default false.")

    @property
    def sleep(self) -> Wake | None:
        """How it goes to zero and back; None where it never does, since nobody could wake it but by the gate."""
        is_judged = self.gateway is not None and self.gateway.auth is not None
        return self.autoscaling.sleep if self.autoscaling is not None and is_judged and not self.suspend else None
