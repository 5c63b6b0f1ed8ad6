"""What both kinds let a user say about their pods: an allow-list, never a free pod template.

A resource never lets its author do what they could not do themselves: no service account, no host namespaces, no
volumes but the ones the kinds mount, no Secrets but those of its namespace, by name.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import (
    ApiModel,
    ClaimName,
    DnsLabel,
    Image,
    LabelKey,
    LabelValue,
    PvcUri,
    Quantity,
    ResourceName,
    Says,
    ShortText,
    StatusModel,
    rule,
    rules,
)
from deepseek_operator.api.record import RECORD


class SecretKey(ApiModel):
    """One entry of a Secret of the resource's own namespace. The kubelet reads it; the operator has no right to."""

    name: ClaimName = Field(description="Name of the Secret. Example: hub-token.")
    key: Annotated[
        str,
        StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253),
        Says("write a key of the Secret: letters, digits, '-', '_' and '.', for example token"),
    ] = Field(description="Key in its data. Example: token.")


MOST_WORDS = 131_072
"""Characters of a container's command, arguments and literal environment: what Linux takes of one word (MAX_ARG_STRLEN),
and little enough for the API server, which keeps the resource and a template for each of its children."""


def words_rule(where: str) -> dict[str, str]:
    """Each word has a bound of its own; this is the bound of all of them together."""
    command, args = (f"(has(self.{name}) ? self.{name}.map(w, size(w)).sum() : 0)" for name in ("command", "args"))
    env = "(has(self.env) ? self.env.map(e, size(e.value)).sum() : 0)"
    return rule(
        f"{command} + {args} + {env} <= {MOST_WORDS}",
        f"{where}.command, args and the values of env may have {MOST_WORDS:,} characters together: put the rest into the "
        "image, or into a file on a claim",
    )


class EnvVar(ApiModel):
    """One environment variable: a literal value, or one entry of a Secret."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!has(self.secret) || self.value == ''", "write value or secret of a variable, not both"),
        )
    )

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
    secret: SecretKey | None = Field(
        default=None,
        description="Entry of a Secret of this namespace that the variable takes its value from, in place of valueFrom and secretKeyRef. Example: {name: hub-token, key: token}.",
    )

    def to_container(self) -> dict[str, Any]:
        """The variable of a container that takes its value from a Secret, or has it literally."""
        if self.secret is not None:
            return {"name": self.name, "valueFrom": {"secretKeyRef": self.secret.to_wire()}}
        return {"name": self.name, "value": self.value}


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


_RESERVED = (
    "self.all(key, !key.matches('^(.*[.])?(kubernetes[.]io|(.*-)?k8s[.]io|deepseek-operator[.]io)/') || "
    "key in ['app.kubernetes.io/part-of', 'app.kubernetes.io/version'])"
)
_NOT_RESERVED = (
    "keys of kubernetes.io, k8s.io and deepseek-operator.io belong to the cluster and the operator: write a key of your "
    "own, for example example.com/cost-center; a queue's label belongs into metadata.labels of this resource"
)
_CONTROLLERS = ("pod-template-hash", "controller-uid", "controller-revision-hash", "job-name")


class PodSettings(ApiModel):
    """The pod settings that a tenant may write."""

    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        max_length=16,
        description="Further labels of the pods, at most 16; those of Kubernetes and of the operator can't be written. Example: {example.com/cost-center: research}.",
        json_schema_extra=rules(
            rule(_RESERVED, _NOT_RESERVED),
            rule(
                f"self.all(key, !(key in {list(_CONTROLLERS)}))",
                f"{', '.join(_CONTROLLERS)} are set by the controllers of Kubernetes: choose another key",
            ),
        ),
    )
    annotations: dict[LabelKey, Annotated[str, StringConstraints(max_length=1024)]] = Field(
        default_factory=dict,
        max_length=16,
        description="Further annotations of the pods, at most 16 of at most 1,024 characters. Example: {example.com/contact: team-a}.",
        json_schema_extra=rules(rule(_RESERVED, _NOT_RESERVED)),
    )
    image_pull_secrets: list[ClaimName] = Field(
        default_factory=list,
        max_length=8,
        description="Names of Secrets of this namespace with which the image is pulled. Example: [registry-team-a].",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

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
                "!has(self.memory) || quantity(string(self.memory)).compareTo(quantity('16Mi')) >= 0",
                "resources.memory must be at least 16Mi: write a unit, for example 64Gi",
            ),
            rule(
                "!has(self.cpu) || quantity(string(self.cpu)).compareTo(quantity('1m')) >= 0",
                'resources.cpu must be at least 1m: write cores, for example "8" or 500m',
            ),
            rule(
                "!has(self.memory) || !has(self.sharedMemory) || "
                "quantity(string(self.sharedMemory)).compareTo(quantity(string(self.memory))) <= 0",
                "resources.sharedMemory counts towards resources.memory: write more memory or less sharedMemory",
            ),
            rule(
                "!has(self.cpuLimit) || quantity(string(self.cpuLimit)).compareTo(quantity(has(self.cpu) ? "
                "string(self.cpu) : '1m')) >= 0",
                "resources.cpuLimit must be at least resources.cpu: write more, or leave it out",
            ),
        )
    )

    cpu: Quantity | None = Field(
        default=None,
        description="CPU cores requested; the built-in trainer and engine compute with as many threads, whatever the node has. A fraction in quotes, or as 500m. Example: 8.",
    )
    cpu_limit: Quantity | None = Field(
        default=None,
        description="CPU cores that a pod may use at most, needed where a ResourceQuota counts limits.cpu. Absent: no limit. A fraction in quotes, or as 500m. Example: 8.",
    )
    memory: Quantity | None = Field(default=None, description="Memory requested, and the limit. Example: 64Gi.")
    shared_memory: Quantity | None = Field(
        default=None,
        description="Size of the memory-backed /dev/shm that collectives use; counts towards memory. Default 1Gi.",
    )


ProfileName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$", max_length=63),
    Says("write the name of an accelerator profile, for example nvidia-h100-80"),
]
Release = Annotated[
    str,
    StringConstraints(pattern=r"^v?[0-9]+[.][0-9]+([.][0-9]+)?([.+a-z-][A-Za-z0-9.+-]*)?$", max_length=64),
    Says('write a quoted release, for example "0.33.0"'),
]
Degree = Annotated[int, Field(ge=1, le=1024)]


class Accelerator(ApiModel):
    """What a pod computes on. Absent: the CPU."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.resource) != has(self.profile)",
                "write accelerator.resource, for example nvidia.com/gpu, or accelerator.profile, for example "
                "nvidia-h100-80, and not both; without an accelerator leave accelerator out",
            )
        )
    )

    profile: ProfileName | None = Field(
        default=None,
        description="Accelerator profile of the operator or of its administrator: resource, companions, placement, environment and images come from it, and known models are sized for it. Exactly one of profile and resource. Example: nvidia-h100-80.",
    )
    resource: ResourceName | None = Field(
        default=None,
        description="Extended resource that the device plugin advertises; nothing is sized for it. Exactly one of profile and resource. Example: nvidia.com/gpu.",
        json_schema_extra=rules(
            rule(
                "!self.split('/')[0].endsWith('kubernetes.io') && !self.startsWith('requests.')",
                "accelerator.resource must be a device plugin's resource such as nvidia.com/gpu, not one of Kubernetes itself",
            )
        ),
    )
    per_node: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None,
        description="Devices per pod (1..64). A training runs one process per device. Absent: 1 of a resource; of a profile as many as were found to fit, or all of a node.",
    )

    @property
    def devices(self) -> int:
        """Devices of one pod: as written, else one."""
        return self.per_node or 1


class Parallelism(ApiModel):
    """How one replica lies on its devices; tensor × pipeline × data of them."""

    tensor: Degree | None = Field(
        default=None, description="Ranks that share every layer, inside a node. Absent: chosen. Example: 8."
    )
    pipeline: Degree | None = Field(
        default=None, description="Stages of consecutive layers. Absent: chosen. Example: 2."
    )
    data: Degree | None = Field(
        default=None, description="Ranks with attention of their own, inside one replica. Absent: chosen. Example: 8."
    )


class DegreesStatus(StatusModel):
    """Degrees of parallelism; 1 means unused."""

    tensor: int = Field(default=1, description="Ranks that share every layer.")
    pipeline: int = Field(default=1, description="Stages of consecutive layers.")
    data: int = Field(default=1, description="Ranks that see other data.")
    expert: int = Field(default=1, description="Ranks over which experts are spread.")


class MemoryStatus(StatusModel):
    """Memory of the fullest device."""

    needed: str = Field(default="", description="What it must hold. Example: 94.3 GiB.")
    available: str = Field(default="", description="What may be used of it. Example: 129.2 GiB.")


class PlanStatus(StatusModel):
    """What was decided about devices and layout, recorded before it is used and kept until its input changes."""

    reference: str = Field(
        default="",
        description="Digest of what was asked for; something else is planned anew.",
        json_schema_extra=RECORD,
    )
    refused: str = Field(default="", description="Why it can't work, in one word; empty: it can.")
    profile: str = Field(default="", description="Full name of the accelerator profile.")
    nodes: int | None = Field(default=None, description="Pods of the training, or of one replica.")
    per_node: int | None = Field(default=None, description="Devices of each pod.")
    gpus: int | None = Field(default=None, description="Devices in all, or of one replica.")
    layout: str = Field(default="", description="Degrees of parallelism in use. Example: TP 8 × PP 2.")
    degrees: DegreesStatus | None = Field(
        default=None,
        description="The same as numbers.",
        json_schema_extra=RECORD,
    )
    format: str = Field(default="", description="Storage format of the weights, or precision of the training.")
    memory: MemoryStatus | None = Field(default=None, description="Memory of the fullest device.")
    reason: str = Field(default="", description="Why so, or why not, with the numbers.")
    warnings: list[str] = Field(
        default_factory=list,
        max_length=16,
        description="What a person should know although it fits.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class Runtime(ApiModel):
    """The container of a training. Absent: the built-in trainer."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.command) || !has(self.args) || size(self.args) == 0",
                "runtime.args are arguments of runtime.command: write command too; the built-in trainer takes its settings from the spec",
            ),
            words_rule("runtime"),
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
        description="Environment: a list of name and value, or name and secret. Example: [{name: LOG_LEVEL, value: INFO}].",
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
    "Parallelism",
    "PlanStatus",
    "EnvVar",
    "PodSettings",
    "PvcUri",
    "Runtime",
    "ShortText",
    "Toleration",
]
