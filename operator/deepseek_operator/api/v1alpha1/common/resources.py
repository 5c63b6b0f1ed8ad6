"""CPU, memory and other resources of a container."""

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, Quantity, rule, rules

_RULES = (
    rule(
        "!has(self.memory) || quantity(string(self.memory)).compareTo(quantity('16Mi')) >= 0",
        "resources.memory must be at least 16Mi: write a unit, for example 64Gi",
    ),
    rule(
        "!has(self.cpu) || quantity(string(self.cpu)).compareTo(quantity('1m')) >= 0",
        'resources.cpu must be at least 1m: write cores, for example "8" or 500m',
    ),
    rule(
        "!has(self.cpuLimit) || quantity(string(self.cpuLimit)).compareTo(quantity(has(self.cpu) ? "
        "string(self.cpu) : '1m')) >= 0",
        "resources.cpuLimit must be at least resources.cpu: write more, or leave it out",
    ),
)


class ContainerResources(ApiModel):
    """CPU and memory of one container."""

    model_config = ConfigDict(json_schema_extra=rules(*_RULES))

    cpu: Quantity | None = Field(
        default=None, description="CPU cores requested. A fraction in quotes, or as 500m. Example: 8."
    )
    cpu_limit: Quantity | None = Field(
        default=None,
        description="CPU cores that it may use at most, needed where a ResourceQuota counts limits.cpu. Absent: no limit. A fraction in quotes, or as 500m. Example: 8.",
    )
    memory: Quantity | None = Field(default=None, description="Memory requested, and the limit. Example: 64Gi.")


class ComputeResources(ContainerResources):
    """CPU and memory of one pod; accelerators are asked for in `accelerator`."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *_RULES,
            rule(
                "!has(self.memory) || !has(self.sharedMemory) || "
                "quantity(string(self.sharedMemory)).compareTo(quantity(string(self.memory))) <= 0",
                "resources.sharedMemory counts towards resources.memory: write more memory or less sharedMemory",
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
    shared_memory: Quantity | None = Field(
        default=None,
        description="Size of the memory-backed /dev/shm that collectives use; counts towards memory. Default 1Gi.",
    )
