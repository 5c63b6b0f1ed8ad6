"""What the cluster needs to know of one kind of accelerator, beside what sizing needs (``domain.accelerator``).

A profile is an administrator's word: it may carry what a tenant may not write (host network, host paths,
capabilities), and it is named, never spelled out, by a resource.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.values.command import Variables
from deepseek_operator.domain.values.version import tag

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Toleration:
    """A taint that pods of this profile tolerate; ``value`` None means that any value is."""

    key: str
    effect: str = "NoSchedule"
    value: str | None = None


@dataclass(frozen=True)
class Companion:
    """A resource that must be asked for beside the accelerators.

    ``per_device`` multiplies ``quantity`` by the number of accelerators in the pod; ``multi_node_only`` leaves it out
    of a pod that talks to no other node. ``quantity`` counts ``unit`` (``Mi``, ``Gi`` or nothing).
    """

    resource: str
    quantity: int
    unit: str = ""
    per_device: bool = False
    multi_node_only: bool = False


@dataclass(frozen=True)
class HostMount:
    """A path of the node, mounted into the container."""

    name: str
    host_path: str
    mount_path: str
    read_only: bool = True


@dataclass(frozen=True)
class PodPatch:
    """What only an administrator may give to a pod, because it reaches the node or other tenants."""

    host_network: bool = False
    host_ipc: bool = False
    privileged: bool = False
    capabilities: tuple[str, ...] = ()
    host_mounts: tuple[HostMount, ...] = ()
    annotations: Variables = ()
    runtime_class: str | None = None
    scheduler: str | None = None


@dataclass(frozen=True)
class Collective:
    """The library through which devices of different nodes talk, and the environment that steers it."""

    library: str
    env: Variables = ()
    multi_node_env: Variables = ()


@dataclass(frozen=True)
class DeviceMetrics:
    """Names that the device's exporter publishes; None where it publishes nothing of the kind.

    ``pod_label`` and ``namespace_label`` are those by which it says which pod has the device. Where it is scraped without
    honorLabels, Prometheus puts ``exported_`` before those that the target has as well. ``is_share``: busy time is 0 to 1
    instead of percent.
    """

    exporter: str
    utilization: str | None
    memory_used: str | None
    memory_total_or_free: str | None
    temperature: str | None
    errors: str | None
    pod_label: str = "pod"
    namespace_label: str = "namespace"
    is_share: bool = False


@dataclass(frozen=True)
class Profile:
    """One kind of accelerator in one cluster.

    ``launchers`` maps an engine or framework to the words that start it; a program that is missing there is not known
    to run on this device. ``images`` maps it to an image reference in which ``{version}`` stands for the release; a
    program that is missing only there has no image that follows from its release, and the user or the administrator
    names one. References are data: nobody has pulled them. ``program_env`` is added per engine or framework.
    ``shared_memory_gib`` sizes the memory-backed /dev/shm (0: none). ``generation`` is the vendor's architecture
    (``sm80``, ``gfx942``), by which builders choose kernels. ``memory_known`` is False for custom resources, whose
    accelerator then reports 0 GiB: nothing can be sized for them, nodes and parallelism must be written.
    ``peer_to_peer`` is False where devices of one node can't form a tensor group (MIG slices).
    """

    accelerator: Accelerator
    generation: str
    images: Mapping[str, str]
    launchers: Mapping[str, tuple[str, ...]]
    collective: Collective
    metrics: DeviceMetrics | None
    node_selector: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    tolerations: tuple[Toleration, ...] = ()
    companions: tuple[Companion, ...] = ()
    program_env: Mapping[str, Variables] = field(default_factory=lambda: MappingProxyType({}))
    shared_memory_gib: int = 16
    memory_known: bool = True
    peer_to_peer: bool = True
    pod_patch: PodPatch = PodPatch()

    @property
    def name(self) -> str:
        """The name by which resources ask for this profile."""
        return self.accelerator.name

    @property
    def vendor(self) -> str:
        """``nvidia``, ``amd``, ``intel``, ``huawei``, ``cpu`` or ``custom``."""
        return self.accelerator.vendor

    def image(self, program: str, version: str, by_calendar: bool = False) -> str | None:
        """The image of an engine or framework at a release; None where the user or the administrator must name it.

        ``v0.33.0``, ``0.33.0`` and ``0.33`` name one image; ``by_calendar``: two numbers are complete. Raises ValueError where ``version`` is no release.
        """
        template = self.images.get(program)
        if template is None or "{version}" not in template:
            return template
        released = tag(version, by_calendar)
        return None if released is None else template.replace("{version}", released)

    def launcher(self, program: str) -> tuple[str, ...] | None:
        """The words that start an engine or framework; None where the program isn't known to run here."""
        return self.launchers.get(program)

    def variables(self, program: str, nodes: int) -> Variables:
        """Environment of a program that runs on this device, over ``nodes`` nodes."""
        across = self.collective.multi_node_env if nodes > 1 else ()
        return (*self.collective.env, *across, *self.program_env.get(program, ()))
