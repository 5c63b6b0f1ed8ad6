"""What attention remembers: bytes of one sequence's cache on one device.

Grouped-query: ``2 · layers · kv heads · head_dim · b``, cut by tensor ranks down to one head. Latent (arXiv
2405.04434): ``layers · (rank + rope) · b``, and every tensor rank holds all of it. V4 keeps a window and one entry
per 4 or 128 tokens, so its cache is not linear in the length (aiconfigurator ``deepseek_v4``; vLLM 0.32
``models/deepseek_v4``).
"""

from math import ceil
from typing import assert_never

from deepseek_operator.domain.models.model import (
    Architecture,
    CompressedAttention,
    GroupedQueryAttention,
    LatentAttention,
    LowRankAttention,
    SharedCompressedAttention,
)

KV_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4, "fp8": 1}
"""Bytes of one cached value."""
_FP8_SCALE_GROUP = 128  # vLLM's fp8_ds_mla: one fp32 scale per 128 latent values, rope part kept in bf16
_ENTRY_SCALES = 8  # scale bytes of one V4 entry: 448 fp8 values + 64 rope values in bf16 + 8 = 584


def sequence_bytes(
    architecture: Architecture, tokens: int, dtype: str, layers: range | None = None, tensor: int = 1
) -> int:
    """Bytes that one sequence of ``tokens`` takes on one rank holding ``layers`` (None: all)."""
    layers = range(architecture.layers) if layers is None else layers
    match architecture.attention:
        case GroupedQueryAttention() as grouped:
            heads = ceil(grouped.kv_heads / tensor)
            return 2 * heads * grouped.head_dim * KV_BYTES[dtype] * tokens * len(layers)
        case LatentAttention() as latent:
            return _latent_entry(latent, dtype) * tokens * len(layers)
        case CompressedAttention() as compressed:
            return sum(_compressed_layer(compressed, tokens, dtype, compressed.ratios[layer]) for layer in layers)
        case SharedCompressedAttention() as shared:
            return _shared_layers(shared, tokens, dtype, layers)
        case unknown:
            assert_never(unknown)


def bytes_per_token(architecture: Architecture, dtype: str) -> int | None:
    """Bytes per token over all layers of one replica without parallelism; None where the cache is not linear."""
    if isinstance(architecture.attention, LowRankAttention):
        return None
    return sequence_bytes(architecture, 1, dtype)


def longest_sequence(
    architecture: Architecture, room_bytes: float, dtype: str, layers: range, tensor: int, limit: int
) -> int:
    """Return how many tokens of one sequence fit into ``room_bytes``, at most ``limit`` (by bisection: it is monotone)."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if sequence_bytes(architecture, middle, dtype, layers, tensor) <= room_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def _latent_entry(attention: LatentAttention, dtype: str) -> int:
    """Bytes per token and layer; in FP8 656 for V3, and 132 more for V3.2's index key (128 fp8 and a scale)."""
    if dtype == "fp8":
        entry = attention.latent_rank + 4 * ceil(attention.latent_rank / _FP8_SCALE_GROUP) + 2 * attention.rope_dim
    else:
        entry = (attention.latent_rank + attention.rope_dim) * KV_BYTES[dtype]
    return entry + (attention.indexer.head_dim + 4 if attention.indexer else 0)


def _entry(attention: LowRankAttention, dtype: str) -> int:
    if dtype == "fp8":
        return attention.head_dim - attention.rope_dim + 2 * attention.rope_dim + _ENTRY_SCALES
    return attention.head_dim * KV_BYTES[dtype]


def _compressed_layer(attention: CompressedAttention, tokens: int, dtype: str, ratio: int) -> int:
    entry = _entry(attention, dtype)
    window = min(tokens, attention.window) * entry
    if ratio == 0:
        return window
    index = tokens // ratio * attention.indexer.head_dim // 2 if ratio == 4 else 0  # one FP4 key per entry
    overlap = 2 if ratio == 4 else 1
    state = 2 * ratio * overlap * attention.head_dim * 4  # fp32 sums of the entry that is being made
    return window + tokens // ratio * entry + index + state


def _shared_layers(attention: SharedCompressedAttention, tokens: int, dtype: str, layers: range) -> int:
    window = min(tokens, attention.window) * _entry(attention, dtype) * len(layers)
    # A stage whose layers read a source below it needs that source's entries as well.
    sources = [layer for layer in attention.source_layers if layer < layers.stop]
    needed = [layer for layer in sources if layer >= layers.start] + sources[:1]
    share = min(len(needed), len(attention.source_layers)) / max(1, len(attention.source_layers))
    widening = KV_BYTES[dtype]  # the published figure is for one-byte entries
    return window + ceil(attention.global_bytes_per_token * widening * share * tokens)
