"""Room that vLLM takes for LoRA adapters beside a model when it starts, however many are asked for later.

One slot has, for each linear layer, A of rank × inputs and B of outputs × rank, in 16 bits. Tensor parallelism divides the
side that the layer itself divides, and leaves the other whole on every rank; expert parallelism divides the experts
(vLLM 0.32, vllm/lora/layers: base_linear.py, column_parallel_linear.py, row_parallel_linear.py, fused_moe.py). All linear
layers have it, those that no adapter stands beside too (get_supported_lora_modules). Embedding and head, whose sides take
some megabytes, are left out.
"""

from functools import lru_cache

from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.models.model import Architecture, GroupedQueryAttention
from deepseek_operator.domain.models.parameters import Role, Split, Weight, layer_weights

_BYTES = 2
_SMALLEST = 8
"""Ranks are kept in powers of two from here on."""
_CUT_BY_INPUTS = ("o_proj", "o_b_proj", "mlp.down", "shared_experts.down", "experts.down")


@lru_cache(maxsize=4096)
def slot_bytes(architecture: Architecture, layout: Layout, stage: range, rank: int) -> int:
    """Bytes of one slot for adapters of up to ``rank`` on one device of a pipeline stage with these layers."""
    kept = max(_SMALLEST, 1 << (rank - 1).bit_length())
    sides = sum(
        _sides(weight, architecture, layout) for layer in stage for weight in layer_weights(architecture, layer)
    )
    return sides * kept * _BYTES


def _sides(weight: Weight, architecture: Architecture, layout: Layout) -> int:
    """Inputs of A and outputs of B that one device keeps, of all copies."""
    if weight.inputs == 1 or weight.role is Role.PLAIN:
        return 0
    copies, degree = weight.copies, _degree(weight.split, architecture, layout)
    if weight.split is Split.EXPERTS and layout.expert > 1:
        copies = -(-copies // layout.expert)
    if weight.name in _CUT_BY_INPUTS:
        return copies * (-(-weight.inputs // degree) + weight.outputs)
    return copies * (weight.inputs + -(-weight.outputs // degree))


def _degree(split: Split, architecture: Architecture, layout: Layout) -> int:
    """Over how many ranks the layer's own divided side is spread."""
    match split:
        case Split.NONE:
            return 1
        case Split.EXPERTS:
            return 1 if layout.expert > 1 else layout.tensor
        case Split.KV_HEADS if isinstance(attention := architecture.attention, GroupedQueryAttention):
            return min(layout.tensor, attention.kv_heads)
    return layout.tensor
