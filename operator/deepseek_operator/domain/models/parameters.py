"""Every weight of a model, matrix by matrix: the recount from which memory, FLOPs and adapters follow.

Shapes follow the released modelling code (transformers ``deepseek_v2``, ``_v3``, ``_v32``, ``_v4``, ``llama``,
``qwen2``); the totals agree with the published ones within 1 %, which the tests hold.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import assert_never

from deepseek_operator.domain.models.model import (
    Architecture,
    CompressedAttention,
    GroupedQueryAttention,
    Indexer,
    LatentAttention,
    LowRankAttention,
    MixtureOfExperts,
    SharedCompressedAttention,
)


class Role(Enum):
    """What a weight does; a storage format may treat the roles differently."""

    ATTENTION = "attention"
    FEED_FORWARD = "feed-forward"
    EXPERT = "expert"
    PLAIN = "plain"  # embeddings, norms, routers, biases: kept in 16 bits by every format


class Split(Enum):
    """How tensor parallelism divides a weight."""

    TENSOR = "tensor"  # by rows or columns over all tensor ranks
    KV_HEADS = "kv heads"  # over as many ranks as there are key-value heads, then repeated
    NONE = "none"  # every tensor rank holds all of it
    EXPERTS = "experts"  # over expert ranks, or over tensor ranks where there are none


@dataclass(frozen=True)
class Weight:
    """``copies`` matrices of ``inputs`` × ``outputs``; a vector has one input. Adapters attach to matrices alone."""

    name: str
    inputs: int
    outputs: int
    role: Role
    split: Split
    copies: int = 1

    @property
    def count(self) -> int:
        """Number of parameters."""
        return self.inputs * self.outputs * self.copies


@lru_cache(maxsize=64)
def total(architecture: Architecture) -> int:
    """Parameters of the whole model: embeddings and head included, MTP layers not, as publishers count."""
    return sum(weight.count for weight in weights(architecture)) + architecture.extra_parameters


@lru_cache(maxsize=64)
def active(architecture: Architecture) -> int:
    """Parameters that one token passes: the chosen experts only, embeddings and head included."""
    experts = architecture.experts
    share = experts.active / experts.routed if experts else 1.0
    return round(sum(w.count * (share if w.role is Role.EXPERT else 1.0) for w in weights(architecture)))


def weights(architecture: Architecture) -> Iterator[Weight]:
    """Yield every weight of the decoder from the embedding to the head."""
    yield from embedding(architecture)
    for layer in range(architecture.layers):
        yield from layer_weights(architecture, layer)
    if not architecture.tied_embeddings:
        yield from head(architecture)


def embedding(architecture: Architecture) -> tuple[Weight, ...]:
    """Weights before the first layer."""
    return (Weight("embed_tokens", architecture.vocabulary, architecture.hidden, Role.PLAIN, Split.TENSOR),)


def head(architecture: Architecture) -> tuple[Weight, ...]:
    """Weights after the last layer. A tied head is the embedding again, needed wherever the last layer runs."""
    return (
        Weight("norm", 1, architecture.hidden, Role.PLAIN, Split.NONE),
        Weight("lm_head", architecture.hidden, architecture.vocabulary, Role.PLAIN, Split.TENSOR),
    )


@lru_cache(maxsize=8192)
def layer_weights(architecture: Architecture, layer: int) -> tuple[Weight, ...]:
    """Weights of one decoder layer, counted from 0."""
    return (*_attention(architecture, layer), *_feed_forward(architecture, layer), *_norms(architecture))


@lru_cache(maxsize=64)
def prediction_weights(architecture: Architecture) -> tuple[Weight, ...]:
    """Weights of the MTP layers: a decoder layer over embedding and hidden state joined (DeepSeek-V3 report, 2.2)."""
    if not architecture.prediction_layers:
        return ()
    hidden = architecture.hidden
    layer = layer_weights(architecture, architecture.layers - 1)
    scaled = tuple(_with_experts(weight, architecture) for weight in layer)
    join = Weight("eh_proj", 2 * hidden, hidden, Role.FEED_FORWARD, Split.NONE)
    return (join, *scaled) * architecture.prediction_layers


def _with_experts(weight: Weight, architecture: Architecture) -> Weight:
    if weight.role is not Role.EXPERT or architecture.experts is None:
        return weight
    copies = weight.copies * architecture.prediction_experts // architecture.experts.routed
    return Weight(weight.name, weight.inputs, weight.outputs, weight.role, weight.split, copies)


def _attention(architecture: Architecture, layer: int) -> Iterator[Weight]:
    hidden = architecture.hidden
    match architecture.attention:
        case GroupedQueryAttention() as grouped:
            yield from _grouped(grouped, hidden)
        case LatentAttention() as latent:
            yield from _latent(latent, hidden)
        case CompressedAttention() as compressed:
            ratio = compressed.ratios[layer]
            yield from _low_rank(compressed, hidden)
            yield from _compressor(hidden, compressed.head_dim, ratio)
            if ratio == 4:
                yield from _entry_indexer(compressed.indexer, hidden, compressed.query_rank, ratio)
        case SharedCompressedAttention() as shared:
            yield from _low_rank(shared, hidden)
            if layer in shared.source_layers:
                yield from _compressor(hidden, shared.head_dim, 2)
            if layer in shared.index_layers:
                yield from _entry_indexer(shared.indexer, hidden, shared.query_rank, 2)
        case unknown:
            assert_never(unknown)


def _grouped(attention: GroupedQueryAttention, hidden: int) -> Iterator[Weight]:
    queries, keys = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
    yield _sharded("q_proj", hidden, queries)
    yield Weight("k_proj", hidden, keys, Role.ATTENTION, Split.KV_HEADS)
    yield Weight("v_proj", hidden, keys, Role.ATTENTION, Split.KV_HEADS)
    yield _sharded("o_proj", queries, hidden)
    if attention.qkv_bias:
        yield Weight("qkv_bias", 1, queries + 2 * keys, Role.PLAIN, Split.NONE)


def _latent(attention: LatentAttention, hidden: int) -> Iterator[Weight]:
    queries = attention.heads * (attention.nope_dim + attention.rope_dim)
    if attention.query_rank is None:
        yield _sharded("q_proj", hidden, queries)
    else:
        yield _repeated("q_a_proj", hidden, attention.query_rank)
        yield _sharded("q_b_proj", attention.query_rank, queries)
        yield Weight("q_a_layernorm", 1, attention.query_rank, Role.PLAIN, Split.NONE)
    yield _repeated("kv_a_proj_with_mqa", hidden, attention.latent_rank + attention.rope_dim)
    yield Weight("kv_a_layernorm", 1, attention.latent_rank, Role.PLAIN, Split.NONE)
    yield _sharded("kv_b_proj", attention.latent_rank, attention.heads * (attention.nope_dim + attention.value_dim))
    yield _sharded("o_proj", attention.heads * attention.value_dim, hidden)
    if attention.indexer is not None:
        yield from _token_indexer(attention.indexer, hidden, attention.query_rank or hidden)


def _token_indexer(indexer: Indexer, hidden: int, query_rank: int) -> Iterator[Weight]:
    """V3.2's indexer: engines hold all of it on every tensor rank."""
    yield _repeated("indexer.wq_b", query_rank, indexer.heads * indexer.head_dim)
    yield _repeated("indexer.wk", hidden, indexer.head_dim)
    yield _repeated("indexer.weights_proj", hidden, indexer.heads)


def _low_rank(attention: LowRankAttention, hidden: int) -> Iterator[Weight]:
    queries = attention.heads * attention.head_dim
    groups, rank = attention.output_groups, attention.output_rank
    yield _repeated("q_a_proj", hidden, attention.query_rank)
    yield _sharded("q_b_proj", attention.query_rank, queries)
    yield _repeated("kv_proj", hidden, attention.head_dim)
    yield _sharded("o_a_proj", queries // groups, rank, copies=groups)
    yield _sharded("o_b_proj", groups * rank, hidden)
    norms = attention.query_rank + attention.head_dim + attention.heads
    yield Weight("attention_norms", 1, norms, Role.PLAIN, Split.NONE)


def _compressor(hidden: int, head_dim: int, ratio: int) -> Iterator[Weight]:
    """Key-value and gate projections; small ratios overlap two windows and are twice as wide."""
    if ratio == 0:
        return
    width = head_dim * (2 if ratio <= 4 else 1)
    yield _repeated("compressor", hidden, width, copies=2)
    yield Weight("compressor.position_bias", ratio, width, Role.PLAIN, Split.NONE)


def _entry_indexer(indexer: Indexer, hidden: int, query_rank: int, ratio: int) -> Iterator[Weight]:
    yield _repeated("indexer.q_b_proj", query_rank, indexer.heads * indexer.head_dim)
    yield _repeated("indexer.weights_proj", hidden, indexer.heads)
    yield from _compressor(hidden, indexer.head_dim, ratio)


def _feed_forward(architecture: Architecture, layer: int) -> Iterator[Weight]:
    experts = architecture.experts
    if experts is None or not architecture.is_sparse(layer):
        yield from _gated("mlp", architecture.hidden, architecture.dense_width)
    else:
        yield from _routed(experts, architecture.hidden)


def _gated(name: str, hidden: int, width: int) -> Iterator[Weight]:
    yield Weight(f"{name}.gate_up", hidden, width, Role.FEED_FORWARD, Split.TENSOR, copies=2)
    yield Weight(f"{name}.down", width, hidden, Role.FEED_FORWARD, Split.TENSOR)


def _routed(experts: MixtureOfExperts, hidden: int) -> Iterator[Weight]:
    if experts.shared:
        yield from _gated("shared_experts", hidden, experts.shared * experts.width)
    yield Weight("experts.gate_up", hidden, experts.width, Role.EXPERT, Split.EXPERTS, copies=2 * experts.routed)
    yield Weight("experts.down", experts.width, hidden, Role.EXPERT, Split.EXPERTS, copies=experts.routed)
    yield Weight("router", hidden, experts.routed, Role.PLAIN, Split.NONE)


def _norms(architecture: Architecture) -> Iterator[Weight]:
    yield Weight("layernorms", 1, 2 * architecture.hidden, Role.PLAIN, Split.NONE)
    streams = architecture.streams
    if streams > 1:  # hyper-connections mix the residual streams before attention and before the feed-forward part
        yield Weight(
            "hyper_connections", streams * architecture.hidden, 2 * (2 + streams) * streams, Role.PLAIN, Split.NONE
        )


def _sharded(name: str, inputs: int, outputs: int, copies: int = 1) -> Weight:
    return Weight(name, inputs, outputs, Role.ATTENTION, Split.TENSOR, copies)


def _repeated(name: str, inputs: int, outputs: int, copies: int = 1) -> Weight:
    return Weight(name, inputs, outputs, Role.ATTENTION, Split.NONE, copies)
