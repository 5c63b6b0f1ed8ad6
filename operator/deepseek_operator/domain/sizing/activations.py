"""Memory of a forward pass: what training keeps for the backward pass, and the peak of an engine's step.

Training counts, matrix by matrix, what the backward pass reads, in the way of Korthikanti et al. (arXiv 2205.05198);
their ``34 · s · b · h`` is that count for GPT's block with dropout, ours is for gated layers without dropout, flash
attention (no ``s²`` term) and routed experts. Tensor parallelism includes sequence parallelism, so it divides all.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import assert_never

from deepseek_operator.domain.layout import Layout, stages
from deepseek_operator.domain.models.model import (
    Architecture,
    CompressedAttention,
    GroupedQueryAttention,
    LatentAttention,
    SharedCompressedAttention,
)

# Cross entropy keeps the logits in bf16 and their gradient (2 + 2), and computes the loss in fp32 (4 + 4).
_LOGITS_BYTES = 12
# Peak of one engine step in units of 2 B · tokens · hidden, by tensor degree (aiconfigurator, DeepSeek rows).
_STEP_FACTOR = {1: 22, 2: 13, 4: 10}
_STEP_FACTOR_WIDE = 10
_STEP_FLOOR_BYTES = 90 << 20


class Recompute(Enum):
    """What the backward pass computes again instead of reading it."""

    NONE = "None"
    SELECTIVE = "Selective"  # keeps block inputs, attention outputs and every second product (torchtitan's "op")
    FULL = "Full"  # keeps block inputs only


@dataclass(frozen=True)
class LayerValues:
    """Values per token of one layer: all that backward reads, what Selective keeps, and the block's input."""

    everything: int
    selective: int
    block_input: int


@lru_cache(maxsize=256)
def layer_values(architecture: Architecture, sparse: bool) -> LayerValues:
    """Count the values that one layer keeps per token."""
    hidden, residual = architecture.hidden, architecture.hidden * architecture.streams
    projected, attended = _attention_values(architecture)
    products = _feed_forward_products(architecture, sparse)
    norms = 2 * residual + 2 * hidden  # both norms: input and output
    gated = products // 2  # activation of the gate, and its product with the other half
    return LayerValues(
        everything=norms + projected + attended + products + gated * 2 + _dispatched(architecture, sparse),
        selective=residual + attended + (projected + products + 2 * hidden) // 2,
        block_input=residual,
    )


def training_bytes(
    architecture: Architecture,
    layout: Layout,
    sequence: int,
    micro_batch: int,
    in_flight: int,
    recompute: Recompute,
    value_bytes: int = 2,
) -> float:
    """Bytes per device that a training step keeps: block by block, and the working set of one block under recompute.

    ``in_flight`` micro-batches wait at the first pipeline stage (1F1B: as many as there are stages, at most).
    """
    tokens = sequence * micro_batch / (layout.tensor * layout.context)
    held = _fullest_stage_values(architecture, layout.pipeline, recompute)
    working = (
        0 if recompute is Recompute.NONE else layer_values(architecture, architecture.experts is not None).everything
    )
    return tokens * value_bytes * (held * in_flight + working)


def logits_bytes(architecture: Architecture, layout: Layout, sequence: int, micro_batch: int) -> float:
    """Bytes of the logits and their loss, on the devices that hold the head; tensor ranks share the vocabulary."""
    return sequence * micro_batch / layout.context * architecture.vocabulary * _LOGITS_BYTES / layout.tensor


def fused_loss_bytes(architecture: Architecture, layout: Layout, sequence: int, micro_batch: int) -> float:
    """Bytes of a loss that is computed in pieces of the sequence, of the hidden states' gradient, and of one piece's
    gradient of the head, which is added to that of the pieces before it.

    Liger's fused linear cross entropy cuts the tokens so that a piece's logits are about as large as the hidden states
    (arXiv 2410.10989, section 3.2); ms-swift and LLaMA-Factory offer it as ``use_liger_kernel`` and
    ``enable_liger_kernel``, the built-in trainer as ``crossEntropy: Chunked``.
    """
    tokens = sequence * micro_batch / layout.context
    pieces = tokens * architecture.hidden * (_LOGITS_BYTES + 2)
    return (pieces + architecture.vocabulary * architecture.hidden * 2) / layout.tensor


def step_peak_bytes(architecture: Architecture, batched_tokens: int, tensor: int) -> float:
    """Bytes of the largest working set of one engine step over ``batched_tokens``.

    Measured: 0.24 GiB for R1 at TP 8 and 2048 tokens, where this says 0.27.
    """
    factor = _STEP_FACTOR.get(tensor, _STEP_FACTOR_WIDE if tensor > 4 else 13)
    return max(_STEP_FLOOR_BYTES, 2 * batched_tokens * architecture.hidden * factor)


@lru_cache(maxsize=1024)
def _fullest_stage_values(architecture: Architecture, pipeline: int, recompute: Recompute) -> int:
    kept = [
        _kept(layer_values(architecture, architecture.is_sparse(layer)), recompute)
        for layer in range(architecture.layers)
    ]
    return max(sum(kept[layer] for layer in stage) for stage in stages(architecture.layers, pipeline))


def _kept(values: LayerValues, recompute: Recompute) -> int:
    match recompute:
        case Recompute.NONE:
            return values.everything
        case Recompute.SELECTIVE:
            return min(values.selective, values.everything)
        case Recompute.FULL:
            return values.block_input
        case unknown:
            assert_never(unknown)


def _attention_values(architecture: Architecture) -> tuple[int, int]:
    """Projections per token, and the output of attention."""
    match architecture.attention:
        case GroupedQueryAttention() as grouped:
            return (grouped.heads + 2 * grouped.kv_heads) * grouped.head_dim, grouped.heads * grouped.head_dim
        case LatentAttention() as latent:
            keys = latent.heads * (latent.nope_dim + latent.rope_dim)
            ranks = (latent.query_rank or 0) + latent.latent_rank + latent.rope_dim
            return 2 * keys + latent.heads * latent.value_dim + ranks, latent.heads * latent.value_dim
        case CompressedAttention() | SharedCompressedAttention() as compressed:
            queries = compressed.heads * compressed.head_dim
            output = compressed.output_groups * compressed.output_rank
            return queries + compressed.query_rank + 3 * compressed.head_dim + output, queries
        case unknown:
            assert_never(unknown)


def _feed_forward_products(architecture: Architecture, sparse: bool) -> int:
    """Outputs of the gate and up projections per token."""
    experts = architecture.experts
    if not sparse or experts is None:
        return 2 * architecture.dense_width
    return 2 * (experts.active + experts.shared) * experts.width


def _dispatched(architecture: Architecture, sparse: bool) -> int:
    """Tokens sent to their experts and the results sent back."""
    experts = architecture.experts
    return 2 * experts.active * architecture.hidden if sparse and experts is not None else 0
