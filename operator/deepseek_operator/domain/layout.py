"""How a model lies on devices: the degrees of parallelism, and which of them a model's shape allows.

GPUs of one replica or one training = tensor × pipeline × data × context, always; expert parallelism and sharding
re-use those ranks. Which layout is chosen is decided in ``serving`` and ``training``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from math import isqrt

from deepseek_operator.domain.models.model import (
    Architecture,
    GroupedQueryAttention,
    LowRankAttention,
)

# Quantized columns come in groups that share a scale: a tensor shard must hold whole groups. The formats that
# are stored in square blocks take the side of the block from the model itself.
_GROUP = {"awq": 128, "gptq": 128, "w4a8": 128, "nvfp4": 16}
_BLOCKED = ("fp8", "mxfp4")


class Sharding(Enum):
    """Which training state the data ranks share out (ZeRO, arXiv 1910.02054; FSDP, arXiv 2304.11277)."""

    NONE = "None"
    ZERO1 = "ZeRO1"  # optimizer
    ZERO2 = "ZeRO2"  # and gradients
    ZERO3 = "ZeRO3"  # and parameters
    FSDP = "FSDP"  # all of it, with fp32 parameters as their own master copy
    HSDP = "HSDP"  # FSDP inside a group of ranks, repeated over the groups

    @property
    def shards_optimizer(self) -> bool:
        """Whether each rank keeps only its part of the optimizer's state."""
        return self is not Sharding.NONE

    @property
    def shards_gradients(self) -> bool:
        """Whether each rank keeps only its part of the gradients."""
        return self not in (Sharding.NONE, Sharding.ZERO1)

    @property
    def shards_parameters(self) -> bool:
        """Whether parameters are gathered block by block when they are needed."""
        return self in (Sharding.ZERO3, Sharding.FSDP, Sharding.HSDP)


@dataclass(frozen=True)
class Layout:
    """Degrees of parallelism; 1 means unused.

    ``data`` counts attention ranks (in serving: data-parallel attention inside one replica). ``expert`` is the number
    of ranks over which routed experts are spread, re-using tensor and data ranks. ``shard`` is the number of data
    ranks that share one copy of the training state.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    expert: int = 1
    context: int = 1
    sharding: Sharding = Sharding.NONE
    shard: int = 1

    @property
    def gpus(self) -> int:
        """Devices that this layout occupies."""
        return self.tensor * self.pipeline * self.data * self.context

    def __str__(self) -> str:
        degrees = (("TP", self.tensor), ("PP", self.pipeline), ("DP", self.data), ("CP", self.context))
        words = [f"{name} {degree}" for name, degree in degrees if degree > 1] or ["one device"]
        experts = f", EP {self.expert}" if self.expert > 1 else ""
        sharding = f", {self.sharding.value} over {self.shard}" if self.shard > 1 else ""
        return " × ".join(words) + experts + sharding


@dataclass(frozen=True)
class FixedDegrees:
    """Degrees that the user has decided; None leaves one to the operator."""

    tensor: int | None = None
    pipeline: int | None = None
    data: int | None = None
    expert: int | None = None
    context: int | None = None

    def allow(self, layout: Layout) -> bool:
        """Whether a layout has every degree that is fixed here."""
        wanted = (self.tensor, self.pipeline, self.data, self.expert, self.context)
        found = (layout.tensor, layout.pipeline, layout.data, layout.expert, layout.context)
        return all(want is None or want == have for want, have in zip(wanted, found, strict=True))


@lru_cache(maxsize=4096)
def divisors(number: int) -> tuple[int, ...]:
    """Return the divisors of a positive number, ascending."""
    small = [degree for degree in range(1, isqrt(number) + 1) if number % degree == 0]
    return (*small, *(number // degree for degree in reversed(small) if degree * degree != number))


def stages(layers: int, pipeline: int) -> Iterator[range]:
    """Yield the layers of each pipeline stage, first to last.

    An uneven rest goes to the stages just before the last, which also holds the head (vLLM ``get_pp_indices``).
    """
    share, rest = divmod(layers, pipeline)
    start = 0
    for stage in range(pipeline):
        size = share + (1 if rest and pipeline - 1 - rest <= stage < pipeline - 1 else 0)
        yield range(start, start + size)
        start += size


def why_not_tensor(architecture: Architecture, storage: str, tensor: int, sliced_experts: bool) -> str | None:
    """Return why this tensor degree can't cut the model, or None where it can.

    ``sliced_experts`` says that routed experts are cut as well, as they are without expert parallelism.
    """
    attention = architecture.attention
    if attention.heads % tensor:
        return f"{attention.heads} attention heads do not divide by {tensor}"
    if isinstance(attention, GroupedQueryAttention) and attention.kv_heads % tensor and tensor % attention.kv_heads:
        return f"{attention.kv_heads} key-value heads neither divide by {tensor} nor divide it"
    if isinstance(attention, LowRankAttention) and attention.output_groups % tensor:
        return f"{attention.output_groups} output groups do not divide by {tensor}"
    return _why_not_widths(architecture, storage, tensor, sliced_experts)


def _why_not_widths(architecture: Architecture, storage: str, tensor: int, sliced_experts: bool) -> str | None:
    if tensor == 1:
        return None
    block = (architecture.weight_block or 1) if storage in _BLOCKED else _GROUP.get(storage, 1)
    for what, width in _cut_widths(architecture, sliced_experts):
        if width % tensor:
            return f"{what} of width {width} does not divide by {tensor}"
        if (width // tensor) % block:
            return f"{what} of width {width} over {tensor} ranks is {width // tensor}, which cuts {storage} blocks of {block}"
    return None


def _cut_widths(architecture: Architecture, sliced_experts: bool) -> Iterator[tuple[str, int]]:
    experts = architecture.experts
    if experts is None or experts.first_dense_layers:
        yield "the feed-forward layer", architecture.dense_width
    if experts is not None and experts.shared:
        yield "the shared expert", experts.shared * experts.width
    if experts is not None and sliced_experts:
        yield "a routed expert", experts.width
