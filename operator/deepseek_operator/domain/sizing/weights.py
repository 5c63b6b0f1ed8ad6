"""What weights weigh: bytes per parameter of each storage format, and the share of one device.

A format treats roles differently: embeddings, norms and routers stay in 16 bits everywhere, NVFP4 checkpoints leave
attention in 16 bits, V4 stores experts in 4 and the rest in 8. Checked against disks: V3 in FP8 641.3 GiB with its
MTP layer, V3.2 642.1, V4-Flash 148.7, V4-Pro 805.3 GiB, within about 1 %; the tests hold these.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import ceil
from types import MappingProxyType
from typing import assert_never

from deepseek_operator.domain.layout import Layout, stages
from deepseek_operator.domain.models.model import Architecture, GroupedQueryAttention
from deepseek_operator.domain.models.parameters import (
    Role,
    Split,
    Weight,
    embedding,
    head,
    layer_weights,
    prediction_weights,
)
from deepseek_operator.domain.models.parameters import weights as all_weights


@dataclass(frozen=True)
class Format:
    """Bytes per parameter by role; ``plain`` holds for embeddings, head, norms and routers."""

    name: str
    attention: float
    feed_forward: float
    expert: float
    plain: float = 2.0

    def bytes_of(self, weight: Weight) -> float:
        """Bytes of one weight with all its copies."""
        match weight.role:
            case Role.ATTENTION:
                return weight.count * self.attention
            case Role.FEED_FORWARD:
                return weight.count * self.feed_forward
            case Role.EXPERT:
                return weight.count * self.expert
            case Role.PLAIN:
                return weight.count * self.plain
            case unknown:
                assert_never(unknown)


def _uniform(name: str, each: float, plain: float = 2.0) -> Format:
    return Format(name, each, each, each, plain)


_FP8 = 1 + 4 / 128**2  # one fp32 scale per block of 128 × 128
_INT4 = 0.5 + 2.5 / 128  # 16-bit scale and 4-bit zero point per group of 128 (AWQ, arXiv 2306.00978)
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        format_.name: format_
        for format_ in (
            _uniform("fp32", 4, plain=4),
            _uniform("bf16", 2),
            _uniform("fp16", 2),
            _uniform("fp8", _FP8),
            _uniform("int8", 1.001),  # one 16-bit scale per output channel of 2048 or wider
            _uniform("awq", _INT4),
            _uniform("gptq", _INT4),
            Format("w4a8", attention=1.001, feed_forward=1.001, expert=0.5 + 2 / 128),
            Format("nvfp4", attention=2, feed_forward=0.5 + 1 / 16, expert=0.5 + 1 / 16),  # fp8 scale per 16
            Format("mxfp4", attention=_FP8, feed_forward=_FP8, expert=0.5 + 1 / 32),  # e8m0 scale per 32, V4's own
            _uniform("nf4", 0.5 + 4 / 64),  # QLoRA without double quantization, fp32 scale per 64 (2305.14314)
        )
    }
)
COUNT = _uniform("count", 1, plain=1)
"""Not a storage format: it counts parameters where a rank's share of them is wanted."""


@dataclass(frozen=True)
class SplitTotals:
    """Sums over a group of weights by how tensor parallelism divides them."""

    tensor: float = 0
    kv_heads: float = 0
    repeated: float = 0
    experts: float = 0

    @staticmethod
    def of(weights: Iterable[Weight], storage: Format) -> "SplitTotals":
        """Sum the bytes of weights by their split."""
        sums = dict.fromkeys(Split, 0.0)
        for weight in weights:
            sums[weight.split] += storage.bytes_of(weight)
        return SplitTotals(sums[Split.TENSOR], sums[Split.KV_HEADS], sums[Split.NONE], sums[Split.EXPERTS])

    def __add__(self, other: "SplitTotals") -> "SplitTotals":
        return SplitTotals(
            self.tensor + other.tensor,
            self.kv_heads + other.kv_heads,
            self.repeated + other.repeated,
            self.experts + other.experts,
        )


@dataclass(frozen=True)
class RankShare:
    """What one rank holds, in the unit of the totals: ``dense`` repeated over data ranks, ``experts`` spread."""

    dense: float
    experts: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.dense + self.experts


@lru_cache(maxsize=64)
def stored_bytes(architecture: Architecture, storage: Format, with_prediction: bool = False) -> float:
    """Bytes of the weights on disk.

    A checkpoint with MTP layers repeats embedding and head for them (DeepSeek-V3 README_WEIGHTS).
    """
    total = sum(storage.bytes_of(weight) for weight in all_weights(architecture))
    total += architecture.extra_parameters * architecture.extra_bytes_each
    if with_prediction and architecture.prediction_layers:
        total += sum(storage.bytes_of(weight) for weight in prediction_weights(architecture))
        total += sum(storage.bytes_of(weight) for weight in (*embedding(architecture), *head(architecture)))
    return total


@lru_cache(maxsize=1024)
def stage_totals(architecture: Architecture, storage: Format, pipeline: int) -> tuple[SplitTotals, ...]:
    """Totals of each pipeline stage: the embedding on the first, the head on the last."""
    layers = _layer_totals(architecture, storage)
    parts = [list(accumulate(layers[layer] for layer in stage))[-1] for stage in stages(architecture.layers, pipeline)]
    parts[0] += SplitTotals.of(embedding(architecture), storage)
    if pipeline > 1 or not architecture.tied_embeddings:
        parts[-1] += SplitTotals.of(head(architecture), storage)
    return tuple(parts)


@lru_cache(maxsize=1024)
def distinct_stages(architecture: Architecture, storage: Format, pipeline: int) -> tuple[SplitTotals, ...]:
    """The different ones among the stages: enough to find the fullest."""
    return tuple(dict.fromkeys(stage_totals(architecture, storage, pipeline)))


@lru_cache(maxsize=64)
def _layer_totals(architecture: Architecture, storage: Format) -> tuple[SplitTotals, ...]:
    return tuple(SplitTotals.of(layer_weights(architecture, layer), storage) for layer in range(architecture.layers))


@lru_cache(maxsize=64)
def block_totals(architecture: Architecture, storage: Format) -> tuple[SplitTotals, ...]:
    """Totals of each block that is gathered at once: the embedding, and every kind of decoder layer."""
    kinds = dict.fromkeys(_layer_totals(architecture, storage))
    return (SplitTotals.of(embedding(architecture), storage), *kinds)


def rank_share(architecture: Architecture, totals: SplitTotals, layout: Layout) -> RankShare:
    """Return the part of one stage or block that one rank holds before data ranks shard anything.

    Key-value heads are repeated once tensor ranks outnumber them. With expert parallelism whole experts are dealt
    out, the fullest rank getting one more where they do not divide.
    """
    attention, experts = architecture.attention, architecture.experts
    kv_ranks = min(layout.tensor, attention.kv_heads) if isinstance(attention, GroupedQueryAttention) else 1
    dense = totals.tensor / layout.tensor + totals.kv_heads / kv_ranks + totals.repeated
    if experts is None:
        return RankShare(dense, 0.0)
    if layout.expert == 1:
        return RankShare(dense, totals.experts / layout.tensor)
    return RankShare(dense, totals.experts * ceil(experts.routed / layout.expert) / experts.routed)


def heaviest_rank(architecture: Architecture, storage: Format, layout: Layout) -> RankShare:
    """Return what the fullest rank of the fullest pipeline stage holds."""
    parts = distinct_stages(architecture, storage, layout.pipeline)
    shares = (rank_share(architecture, part, layout) for part in parts)
    return max(shares, key=lambda share: share.total)


def prediction_bytes(architecture: Architecture, storage: Format, layout: Layout) -> float:
    """Bytes per rank of the MTP layers, which run beside the last stage when speculation is on."""
    return rank_share(architecture, SplitTotals.of(prediction_weights(architecture), storage), layout).total
