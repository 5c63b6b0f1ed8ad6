"""The answers of sizing: what fits and how, or what is missing and what would fit instead."""

from dataclasses import dataclass
from functools import cached_property

from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.sizing.flops import ServingSpeed, TrainingSpeed


@dataclass(frozen=True)
class Line:
    """One named part of a device's memory, in bytes."""

    name: str
    bytes: float


@dataclass(frozen=True)
class Memory:
    """The memory of the fullest device: what it must hold and how much of it may be used.

    ``host_bytes`` is what one device's process keeps in host memory.
    """

    lines: tuple[Line, ...]
    budget_bytes: float
    host_bytes: float = 0

    @cached_property
    def need_bytes(self) -> float:
        """Sum of the lines."""
        return sum(line.bytes for line in self.lines)

    @property
    def missing_bytes(self) -> float:
        """How much the budget falls short; negative where there is room."""
        return self.need_bytes - self.budget_bytes

    @property
    def fits(self) -> bool:
        """Whether the device holds it."""
        return self.missing_bytes <= 0

    def bytes_of(self, name: str) -> float:
        """Bytes of one line, 0 where there is none of that name."""
        return sum(line.bytes for line in self.lines if line.name == name)


@dataclass(frozen=True)
class Shape:
    """Devices by node."""

    nodes: int
    per_node: int

    @property
    def gpus(self) -> int:
        """All devices."""
        return self.nodes * self.per_node

    def __str__(self) -> str:
        return f"{self.nodes} × {self.per_node}" if self.nodes > 1 else str(self.per_node)


UNMEASURED = "Unmeasured"
"""Reason of the notice that an answer's figures are estimates: nobody has measured that layout."""


@dataclass(frozen=True)
class Notice:
    """Something a person should know although it fits. ``reason`` is CamelCase and stable."""

    reason: str
    message: str


@dataclass(frozen=True)
class Alternative:
    """One change of the request that would fit, and where."""

    change: str
    shape: Shape
    layout: Layout

    def __str__(self) -> str:
        devices = f"{self.shape.gpus} device{'s' if self.shape.gpus > 1 else ''}"
        return f"{self.change}: {devices} ({self.layout})"


@dataclass(frozen=True)
class ServingFigures:
    """What one replica can hold: sequences at the full context, and the longest single sequence, in tokens."""

    context: int
    sequences: int
    longest_sequence: int
    speed: ServingSpeed | None


@dataclass(frozen=True)
class TrainingFigures:
    """What a training writes and how fast it is; sizes in bytes, ``accumulation`` in micro-batches per step."""

    trained_parameters: int
    checkpoint_bytes: int
    export_bytes: int
    volume_bytes: int
    save_seconds: float
    micro_batch: int
    accumulation: int
    recompute: str
    host_bytes_per_node: float
    speed: TrainingSpeed | None


@dataclass(frozen=True)
class Sized:
    """It fits: on ``shape``, laid out as ``layout``, with the fullest device's memory and the reasons.

    Exactly one of ``serving`` and ``training`` is set.
    """

    shape: Shape
    layout: Layout
    memory: Memory
    storage: str
    explanation: tuple[str, ...]
    warnings: tuple[Notice, ...] = ()
    serving: ServingFigures | None = None
    training: TrainingFigures | None = None
    alternatives: tuple[Alternative, ...] = ()

    @property
    def nodes(self) -> int:
        """Pods or hosts of one replica or training."""
        return self.shape.nodes

    @property
    def per_node(self) -> int:
        """Devices used on each."""
        return self.shape.per_node


@dataclass(frozen=True)
class Refused:
    """It can't work, with the numbers.

    ``shape``, ``layout`` and ``memory`` are those of the nearest miss, None where no layout exists at all.
    ``reason`` is CamelCase and stable: UnknownShape, UnsupportedFormat, ContextTooLong,
    NoLayout, OutOfMemory, OutOfHostMemory.
    """

    reason: str
    message: str
    shape: Shape | None = None
    layout: Layout | None = None
    memory: Memory | None = None
    alternatives: tuple[Alternative, ...] = ()

    @property
    def missing_gib(self) -> float:
        """GiB missing on the fullest device of the nearest miss; 0 where memory was not the reason."""
        return max(0.0, self.memory.missing_bytes / GIB) if self.memory is not None else 0.0
