"""Which matrices LoRA adapts by default: those of attention, under the names that each model library gives them.

Routed experts are never adapted by name: transformers 5 holds them as fused three-dimensional tensors.
"""

from deepseek_operator.domain.models.model import Architecture, GroupedQueryAttention, LatentAttention


def transformers_names(architecture: Architecture) -> tuple[str, ...]:
    """Attention projections as transformers names them."""
    if isinstance(architecture.attention, GroupedQueryAttention):
        return ("q_proj", "k_proj", "v_proj", "o_proj")
    queries = ("q_a_proj", "q_b_proj") if _has_query_rank(architecture) else ("q_proj",)
    return (*queries, "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")


def megatron_names(architecture: Architecture) -> tuple[str, ...]:
    """Attention projections as Megatron-Core names them."""
    if isinstance(architecture.attention, GroupedQueryAttention):
        return ("linear_qkv", "linear_proj")
    queries = ("linear_q_down_proj", "linear_q_up_proj") if _has_query_rank(architecture) else ("linear_q_proj",)
    return (*queries, "linear_kv_down_proj", "linear_kv_up_proj", "linear_proj")


def _has_query_rank(architecture: Architecture) -> bool:
    attention = architecture.attention
    return not isinstance(attention, LatentAttention) or attention.query_rank is not None
