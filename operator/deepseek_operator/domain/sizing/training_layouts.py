"""Layouts of one training, best first.

Sharded data parallelism alone is preferred: it changes nothing about the model and overlaps its traffic. Tensor
parallelism joins it inside a node when activations or gathered blocks are too large, pipeline stages come last.
Experts are dealt out inside a node first. EP divides data × context × tensor ranks (Megatron-Core's rule).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log2

from deepseek_operator.domain.layout import Layout, Sharding, divisors, why_not_tensor
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.fit import Shape
from deepseek_operator.domain.sizing.request import TrainingRequest
from deepseek_operator.domain.sizing.training_memory import accumulation_of
from deepseek_operator.domain.sizing.training_state import Method

# Below this length splitting a sequence over ranks costs more than it saves.
_LONG_SEQUENCE = 32_768
# Shares of a step; wrong values pick a slower of the fitting layouts, never one that does not fit.
_LINKED_TENSOR_COST, _PCIE_TENSOR_COST = 0.05, 0.20
_EXPERTS_ACROSS_NODES_COST = 1.1


Room = Callable[[int, int], float]
"""Bytes that activations leave free on a device, at most, by the ranks that split a sequence (tensor × context) and the
stages; negative: no layout of these degrees fits, whatever the others are."""


def candidates(
    request: TrainingRequest, shape: Shape, split_any: bool = False, room: Room = lambda split, stages: 0.0
) -> list[Layout]:
    """Return the layouts that fill ``shape`` exactly, divide the global batch and have room, the preferred ones first.

    ``split_any`` splits sequences that are too short for it to pay as well, and long ones further. Where none has room
    those that lack least are returned: the nearest miss is among them.
    """
    degrees = [d for d in _degrees(request, shape, split_any) if request.fixed.data in (None, d.data)]
    rooms = [room(d.tensor * d.context, d.pipeline) for d in degrees]
    least = min(0.0, max(rooms, default=0.0))
    roomy = [d for d, free in zip(degrees, rooms, strict=True) if free >= least]
    found = [layout for d in roomy for layout in _layouts(request, shape, d) if request.fixed.allow(layout)]
    return sorted(found, key=lambda layout: _preference(layout, shape))


def pieces_of_sequence(tensor: int, context: int) -> int:
    """Return by what a sequence must divide: sequence parallelism gives each tensor rank a part, and context ranks
    hold two each, one of the start and one of the end, which balances causal attention (Megatron-Core, PyTorch)."""
    return tensor * (2 * context if context > 1 else 1)


def may_split_shorter(request: TrainingRequest) -> bool:
    """Whether ``split_any`` can offer layouts that are not offered without."""
    return "context" in _axes(request) and request.fixed.context is None


def step_cost(request: TrainingRequest, layout: Layout, shape: Shape, recompute: Recompute) -> float:
    """Return the relative time of a step: 1 for sharded data parallelism that recomputes nothing.

    It only ranks layouts. Recomputation adds its FLOPs (half or all of the forward third), tensor parallelism a
    share per doubling for collectives that can't be hidden, stages their bubble ``(p − 1) / m``, and experts across
    nodes their all-to-all.
    """
    work = {Recompute.NONE: 1.0, Recompute.SELECTIVE: 1 + 1 / 6, Recompute.FULL: 1 + 1 / 3}[recompute]
    per_doubling = _LINKED_TENSOR_COST if request.accelerator.interconnect != "PCIe" else _PCIE_TENSOR_COST
    tensor = 1 + per_doubling * log2(layout.tensor * layout.context)
    bubble = 1 + (layout.pipeline - 1) / accumulation_of(request, layout)
    experts = _EXPERTS_ACROSS_NODES_COST if layout.expert > shape.per_node else 1.0
    return work * tensor * bubble * experts


def why_none(request: TrainingRequest, shape: Shape) -> str:
    """Return why ``candidates`` is empty."""
    fixed, architecture = request.fixed, request.architecture
    if fixed.tensor is not None:
        reason = why_not_tensor(architecture, "bf16", fixed.tensor, fixed.expert == 1)
        if reason:
            return f"tensor parallelism {fixed.tensor} is impossible: {reason}"
    if fixed.expert is not None and fixed.expert > 1 and (reason := _why_not_experts(request, shape, fixed.expert)):
        return reason
    pieces = pieces_of_sequence(fixed.tensor or 1, fixed.context or 1)
    if request.sequence % pieces:
        return f"a sequence of {request.sequence} does not divide into the {pieces} pieces of the fixed degrees"
    if request.global_batch is not None:
        micro = request.micro_batch or 1
        return (
            f"a global batch of {request.global_batch} does not divide over {shape.gpus} devices with micro-batches"
            f" of {micro} under the parallelism that the trainer offers ({', '.join(sorted(_axes(request)))})"
        )
    return f"no product of {', '.join(sorted(_axes(request)))} parallelism makes {shape.gpus} devices"


def _why_not_experts(request: TrainingRequest, shape: Shape, expert: int) -> str | None:
    """Why experts can't be dealt out over so many ranks, whatever the other degrees are."""
    experts = request.architecture.experts
    if "expert" not in _axes(request):
        return f"expert parallelism {expert} is impossible: the trainer offers none"
    if experts is None:
        return f"expert parallelism {expert} is impossible: the model has no routed experts"
    if experts.routed % expert:
        return f"expert parallelism {expert} is impossible: it does not divide the {experts.routed} experts of a layer"
    if shape.gpus % expert:
        return f"expert parallelism {expert} is impossible: it does not divide {shape.gpus} devices"
    return None


def explain(request: TrainingRequest, layout: Layout, shape: Shape) -> tuple[str, ...]:
    """Return the reasons for a layout, one sentence for each degree in use."""
    said: list[str] = []
    if layout.shard > 1:
        said.append(f"{layout.sharding.value} over {layout.shard} ranks, each keeping 1/{layout.shard} of the states")
    elif layout.data > 1:
        said.append(f"{layout.data} data ranks, each with all states")
    if layout.tensor > 1:
        said.append(
            f"TP {layout.tensor} inside the node ({request.accelerator.interconnect}), which divides activations, logits"
            f" and gathered blocks by {layout.tensor}"
        )
    if layout.pipeline > 1:
        said.append(f"PP {layout.pipeline}, which divides the layers by {layout.pipeline} where nothing cheaper fits")
    if layout.context > 1:
        said.append(f"CP {layout.context} because one sequence's activations exceed a device")
    if layout.expert > 1:
        where = "inside the node" if layout.expert <= shape.per_node else "across nodes"
        said.append(f"EP {layout.expert} {where}, so that fewer experts are gathered at once")
    return tuple(said) or ("one device holds the training",)


def _axes(request: TrainingRequest) -> frozenset[str]:
    # 4-bit bases (bitsandbytes) can be sharded over data ranks, not cut by tensor ranks.
    return request.axes & {"data"} if request.method is Method.QLORA else request.axes


@dataclass(frozen=True)
class _Degrees:
    tensor: int
    pipeline: int
    context: int
    data: int


def _degrees(request: TrainingRequest, shape: Shape, split_any: bool) -> Iterator[_Degrees]:
    """The products that fill the shape and divide the sequence, the layers and the batch."""
    architecture, axes = request.architecture, _axes(request)
    for tensor in _choices(shape.per_node, "tensor" in axes, request.fixed.tensor):
        for pipeline in _choices(shape.gpus // tensor, "pipeline" in axes, request.fixed.pipeline):
            if pipeline > architecture.layers:
                continue
            for context in _context_degrees(request, axes, shape.gpus // (tensor * pipeline), split_any):
                data, rest = divmod(shape.gpus, tensor * pipeline * context)
                if request.sequence % pieces_of_sequence(tensor, context):
                    continue
                if not rest and _divides_batch(request, data, axes):
                    yield _Degrees(tensor, pipeline, context, data)


def _layouts(request: TrainingRequest, shape: Shape, d: _Degrees) -> Iterator[Layout]:
    """These degrees with every one of expert parallelism that the model allows."""
    architecture = request.architecture
    for expert in _expert_degrees(architecture, _axes(request), d.data * d.tensor * d.context):
        if why_not_tensor(architecture, "bf16", d.tensor, sliced_experts=expert == 1) is None:
            yield _layout(request.sharding, shape, d.tensor, d.pipeline, d.data, expert, d.context)


def _choices(number: int, allowed: bool, fixed: int | None) -> Sequence[int]:
    if fixed is not None:
        return [fixed]
    return divisors(number) if allowed else [1]


def _context_degrees(request: TrainingRequest, axes: frozenset[str], ranks: int, split_any: bool) -> list[int]:
    if request.fixed.context is not None:
        return [request.fixed.context]
    if "context" not in axes or (request.sequence < _LONG_SEQUENCE and not split_any):
        return [1]
    limit = ranks if split_any else max(1, request.sequence // (_LONG_SEQUENCE // 4))
    return [degree for degree in divisors(ranks) if degree <= limit]


def _divides_batch(request: TrainingRequest, data: int, axes: frozenset[str]) -> bool:
    if data > 1 and "data" not in axes:
        return False
    return request.global_batch is None or request.global_batch % (data * (request.micro_batch or 1)) == 0


def _expert_degrees(architecture: Architecture, axes: frozenset[str], ranks: int) -> list[int]:
    experts = architecture.experts
    if experts is None or "expert" not in axes:
        return [1]
    return [degree for degree in divisors(ranks) if experts.routed % degree == 0]


def _layout(
    sharding: Sharding, shape: Shape, tensor: int, pipeline: int, data: int, expert: int, context: int
) -> Layout:
    inside = max(
        degree for degree in divisors(data) if degree * tensor * context <= max(shape.per_node, tensor * context)
    )
    shard = {Sharding.NONE: 1, Sharding.HSDP: inside}.get(sharding, data)
    return Layout(tensor, pipeline, data, expert, context, sharding, shard)


def _preference(layout: Layout, shape: Shape) -> tuple[int, ...]:
    crosses = layout.expert > shape.per_node
    return layout.pipeline, layout.context, layout.tensor, int(crosses), layout.expert if crosses else -layout.expert
