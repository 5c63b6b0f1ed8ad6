"""Layouts of one serving replica, best first.

Tensor parallelism stays inside a node, where devices are linked; pipeline stages join nodes, because only one hidden
state per token travels between them. Where all heads share one cache (latent or compressed attention) tensor ranks
repeat it: data-parallel attention with experts dealt out over all ranks (DP + EP) holds that many times more.
"""

from collections.abc import Iterator

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.layout import FixedDegrees, Layout, divisors, why_not_tensor
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.sizing.fit import Shape
from deepseek_operator.domain.sizing.request import Objective


def candidates(
    architecture: Architecture, storage: str, shape: Shape, fixed: FixedDegrees, objective: Objective
) -> list[Layout]:
    """Return every layout that fills ``shape`` exactly, the preferred ones first.

    Latency prefers one copy of attention, few stages, wide tensor parallelism; throughput prefers data-parallel
    attention where the cache would otherwise be repeated. A fixed tensor degree may span nodes, a chosen one never.
    """
    found = [layout for layout in _layouts(architecture, storage, shape, fixed) if fixed.allow(layout)]
    return sorted(found, key=lambda layout: _preference(layout, objective))


def why_none(architecture: Architecture, storage: str, shape: Shape, fixed: FixedDegrees) -> str:
    """Return why ``candidates`` is empty, in a sentence that names the degree at fault."""
    if fixed.tensor is not None:
        reason = why_not_tensor(architecture, storage, fixed.tensor, fixed.expert == 1)
        if reason:
            return f"tensor parallelism {fixed.tensor} is impossible: {reason}"
    if architecture.experts is not None and fixed.expert and architecture.experts.routed % fixed.expert:
        return f"{architecture.experts.routed} experts do not divide by expert parallelism {fixed.expert}"
    if fixed.pipeline and fixed.pipeline > architecture.layers:
        return f"{architecture.layers} layers can't make {fixed.pipeline} pipeline stages"
    return f"no product of tensor, pipeline and data parallelism that the model allows makes {shape.gpus} devices"


def stands_for_tensor(architecture: Architecture, storage: str, layout: Layout, shape: Shape) -> bool:
    """Whether stages inside a node take the place of tensor ranks that would divide the model.

    vLLM's documentation recommends stages between nodes, or where the model does not divide ("Parallelism and
    scaling"); what such a layout holds was measured nowhere.
    """
    inside = layout.pipeline // shape.nodes
    sliced = layout.expert == 1
    return inside > 1 and why_not_tensor(architecture, storage, layout.tensor * inside, sliced_experts=sliced) is None


def explain(
    architecture: Architecture, storage: str, layout: Layout, shape: Shape, accelerator: Accelerator
) -> tuple[str, ...]:
    """Return the reasons for a layout, one sentence for each degree in use."""
    said: list[str] = []
    if layout.tensor > 1:
        said.append(
            f"TP {layout.tensor} because the devices of a node are joined by {accelerator.interconnect}, and each"
            f" tensor rank holds 1/{layout.tensor} of the sharded weights"
        )
    if layout.pipeline > 1:
        where = (
            "a wider tensor parallelism was not asked for or does not fit"
            if stands_for_tensor(architecture, storage, layout, shape)
            else "nodes are joined by the network"
            if shape.nodes > 1
            else "no wider tensor parallelism divides the model"
        )
        said.append(f"PP {layout.pipeline} because {where}: only hidden states cross a stage boundary")
    if layout.data > 1:
        said.append(f"DP {layout.data} on attention because its cache would be repeated on every tensor rank")
    if layout.expert > 1 and architecture.experts is not None:
        each = architecture.experts.routed // layout.expert
        said.append(f"EP {layout.expert} so that each rank holds {each} of {architecture.experts.routed} experts whole")
    return tuple(said) or ("one device holds the model",)


def _layouts(architecture: Architecture, storage: str, shape: Shape, fixed: FixedDegrees) -> Iterator[Layout]:
    spans_nodes = fixed.tensor is not None and fixed.tensor > shape.per_node
    for tensor in divisors(shape.gpus if spans_nodes else shape.per_node):
        for pipeline in divisors(shape.gpus // tensor):
            data = shape.gpus // (tensor * pipeline)
            if pipeline > architecture.layers or (data > 1 and not _serves_data_parallel(architecture)):
                continue
            for expert in _expert_degrees(architecture, tensor * data, data):
                if why_not_tensor(architecture, storage, tensor, sliced_experts=expert == 1) is None:
                    yield Layout(tensor=tensor, pipeline=pipeline, data=data, expert=expert)


def _serves_data_parallel(architecture: Architecture) -> bool:
    return architecture.experts is not None and architecture.replicates_kv


def _expert_degrees(architecture: Architecture, ranks: int, data: int) -> list[int]:
    """All ranks of a stage, and none where experts may be cut by tensor ranks instead."""
    if architecture.experts is None or ranks == 1:
        return [1]
    whole = [ranks] if architecture.experts.routed % ranks == 0 else []
    return whole + ([1] if data == 1 else [])


def _preference(layout: Layout, objective: Objective) -> tuple[int, ...]:
    data = -layout.data if objective is Objective.THROUGHPUT else layout.data
    return data, layout.pipeline, -layout.tensor, -layout.expert
