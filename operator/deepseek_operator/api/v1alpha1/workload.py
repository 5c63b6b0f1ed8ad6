"""What both kinds let a user say about their pods: an allow-list, never a free pod template.

A resource never lets its author do what they could not do themselves: no service account, no host namespaces, no
volumes but the ones the kinds mount, no values out of Secrets.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import (
    ApiModel,
    DnsLabel,
    Image,
    LabelKey,
    LabelValue,
    PvcUri,
    Quantity,
    ResourceName,
    Says,
    ShortText,
    rule,
    rules,
)


class EnvVar(ApiModel):
    """One environment variable with a literal value."""

    name: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128),
        Says("write a name of letters, digits and '_', for example LOG_LEVEL"),
    ] = Field(
        description="Name of the variable. Names that start with DEEPSEEK_ are the operator's.",
        json_schema_extra=rules(
            rule(
                "!self.startsWith('DEEPSEEK_')",
                "variables that start with DEEPSEEK_ are set by the operator: choose another name",
            )
        ),
    )
    value: Annotated[str, StringConstraints(max_length=4096)] = Field(
        default="", description="Literal value, at most 4,096 characters. Default empty. Example: INFO."
    )


class Toleration(ApiModel):
    """A toleration as in a pod."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.operator != 'Exists' || !has(self.value)", "operator Exists compares no value: remove value"),
            rule(
                "self.operator != 'Equal' || has(self.key)",
                "operator Equal needs key; operator Exists without key means every taint",
            ),
        )
    )

    key: LabelKey | None = Field(default=None, description="Taint key. Absent with operator Exists: every taint.")
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="How the value is compared. Default Equal."
    )
    value: LabelValue | None = Field(default=None, description="Taint value for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Taint effect; absent: all effects."
    )


class PodSettings(ApiModel):
    """The pod settings that a tenant may write."""

    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Labels that a node must have. Example: {topology.kubernetes.io/zone: a}.",
    )
    tolerations: list[Toleration] = Field(
        default_factory=list,
        max_length=32,
        description="Taints that the pods tolerate.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    priority_class_name: DnsLabel | None = Field(
        default=None, description="An existing PriorityClass. Absent: the cluster's default."
    )
    termination_grace_period_seconds: Annotated[int, Field(ge=5, le=7200)] | None = Field(
        default=None,
        description="Seconds between SIGTERM and SIGKILL; a training saves a checkpoint in it, a serving pod drains. Default 120 for training, 60 for serving.",
    )
    run_as_user: Annotated[int, Field(ge=1, le=2147483647)] = Field(
        default=1000, description="Numeric user of the containers, never 0. Default 1000."
    )
    fs_group: Annotated[int, Field(ge=1, le=2147483647)] = Field(
        default=1000, description="Group that may write to the volumes. Default 1000."
    )


class ComputeResources(ApiModel):
    """CPU and memory of one pod; accelerators are asked for in `accelerator`."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.memory) || quantity(self.memory).compareTo(quantity('16Mi')) >= 0",
                "resources.memory must be at least 16Mi: write a unit, for example 64Gi",
            ),
            rule(
                "!has(self.cpu) || quantity(self.cpu).compareTo(quantity('1m')) >= 0",
                'resources.cpu must be at least 1m: write cores, for example "8" or 500m',
            ),
            rule(
                "!has(self.memory) || !has(self.sharedMemory) || "
                "quantity(self.sharedMemory).compareTo(quantity(self.memory)) <= 0",
                "resources.sharedMemory counts towards resources.memory: write more memory or less sharedMemory",
            ),
        )
    )

    cpu: Quantity | None = Field(default=None, description='CPU cores requested. Example: "8", or 500m.')
    memory: Quantity | None = Field(default=None, description="Memory requested, and the limit. Example: 64Gi.")
    shared_memory: Quantity | None = Field(
        default=None,
        description="Size of the memory-backed /dev/shm that collectives use; counts towards memory. Default 1Gi.",
    )


class Accelerator(ApiModel):
    """What a pod computes on. Absent: the CPU."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.resource)",
                "write accelerator.resource, for example nvidia.com/gpu; without an accelerator leave accelerator out",
            )
        )
    )

    resource: ResourceName | None = Field(
        default=None,
        description="Extended resource that the device plugin advertises. Required. Example: nvidia.com/gpu.",
        json_schema_extra=rules(
            rule(
                "!self.split('/')[0].endsWith('kubernetes.io') && !self.startsWith('requests.')",
                "accelerator.resource must be a device plugin's resource such as nvidia.com/gpu, not one of Kubernetes itself",
            )
        ),
    )
    per_node: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Devices per pod (1..64). A training runs one process per device. Default 1."
    )


class Runtime(ApiModel):
    """The container of a training. Absent: the built-in trainer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.command) || !has(self.args) || size(self.args) == 0",
                "runtime.args are arguments of runtime.command: write command too; the built-in trainer takes its settings from the spec",
            ),
            rule(
                "!has(self.env) || self.env.all(e, !(e.name in ['MASTER_ADDR', 'MASTER_PORT', 'WORLD_SIZE', 'RANK', 'LOCAL_RANK']))",
                "MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK and LOCAL_RANK are set by the operator: remove them from runtime.env",
            ),
        )
    )

    image: Image | None = Field(
        default=None,
        description="Container image. Absent: the operator's runtime image. Example: registry.example.com/team/train:1.4.",
    )
    command: list[Annotated[str, StringConstraints(max_length=4096)]] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Entrypoint, exec form, no shell. Absent: the built-in trainer.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    args: list[Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default_factory=list,
        max_length=256,
        description="Arguments of the command.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvVar] = Field(
        default_factory=list,
        max_length=128,
        description="Environment, literal values only.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    resources: ComputeResources = Field(default_factory=ComputeResources, description="CPU and memory of each pod.")
    pod: PodSettings = Field(default_factory=PodSettings, description="Where and how the pods run.")


class ClaimSource(ApiModel):
    """A folder of an existing PersistentVolumeClaim in the resource's own namespace."""

    uri: PvcUri = Field(description="pvc://<claim>/<path inside the volume>. Example: pvc://models/deepseek-v2-lite.")

    @property
    def claim(self) -> str:
        """Name of the claim."""
        return str(self.uri).removeprefix("pvc://").partition("/")[0]

    @property
    def path(self) -> str:
        """Path inside the volume; empty for its root."""
        return str(self.uri).removeprefix("pvc://").partition("/")[2]


__all__ = [
    "Accelerator",
    "ClaimSource",
    "ComputeResources",
    "EnvVar",
    "PodSettings",
    "PvcUri",
    "Runtime",
    "ShortText",
    "Toleration",
]
