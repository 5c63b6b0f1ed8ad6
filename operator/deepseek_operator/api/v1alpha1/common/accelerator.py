"""Which devices a workload wants, and how it is split over them."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, ResourceName, Says, rule, rules

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


def profiled(accelerator: Accelerator | None) -> Accelerator | None:
    """The accelerator of a profile, by which a workload is planned; None for the CPU and for a resource that the user wrote,
    for which nothing is."""
    return accelerator if accelerator is not None and accelerator.profile is not None else None


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
