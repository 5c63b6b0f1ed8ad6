"""Work and speed: FLOPs per token, tokens per second, days. Estimates with their efficiency stated, not promises.

Training does 6 FLOPs per active parameter and token (Kaplan et al., arXiv 2001.08361), and ``6 · layers · width ·
length`` for causal attention, half of the unmasked 12 (flash attention skips masked blocks); recomputing everything adds a third, a frozen base saves the third that weight gradients take.
V3's 14.8 T tokens in 2.664 M H800 hours are 34.6 % of the dense bf16 peak.
"""

import math
from dataclasses import dataclass
from typing import assert_never

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.models.model import (
    Architecture,
    CompressedAttention,
    GroupedQueryAttention,
    LatentAttention,
    SharedCompressedAttention,
)
from deepseek_operator.domain.models.parameters import active
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.training_state import Method, Precision

# Model FLOPs utilisation to plan with. 0.40 dense: Llama 3 reports 38 to 43 %; 0.30 experts: V3 reached 34.6 %.
_DENSE_MFU, _EXPERT_MFU, _ADAPTER_MFU = 0.40, 0.30, 0.30
_SLOW_NETWORK_MFU = 0.10
SLOW_NETWORK_GB_S = 12.5
"""Node network below which several nodes mostly wait (100 Gbit/s; current training nodes have 8 × 400)."""
_PCIE_FACTOR = 0.7
_PREFILL_MFU = 0.40
_DECODE_BANDWIDTH = 0.6
"""Part of the memory bandwidth that decoding reaches when it reads the weights once per step."""
_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class TrainingSpeed:
    """An estimate: ``mfu`` is assumed, the rest follows. ``days`` is None where no number of tokens was given."""

    tokens_per_second: float
    mfu: float
    peak_tflops: float
    days: float | None


@dataclass(frozen=True)
class ServingSpeed:
    """An estimate for one replica: prompt tokens per second, and an upper limit for one lone sequence's decoding.

    The limit is memory bandwidth alone; kernel launches and collectives keep real engines well below it.
    """

    prefill_tokens_per_second: float
    decode_limit_tokens_per_second: float
    mfu: float
    bandwidth_use: float


@dataclass(frozen=True)
class TokenCost:
    """FLOPs of a token, forward and backward: ``per_token``, and ``per_key`` for each key that it attends to.

    Those are half of its sequence's on average, ``most_keys`` at most where attention is sparse.
    """

    per_token: float
    per_key: float
    most_keys: float

    def of(self, sequence: float) -> float:
        """FLOPs of each token in a sequence of so many."""
        return self.per_token + self.per_key * min(sequence / 2, self.most_keys)


def token_cost(architecture: Architecture, method: Method, recompute: Recompute) -> TokenCost:
    """What a trained token costs; with ``Recompute.NONE`` the model FLOPs of PaLM (arXiv 2204.02311, appendix B)."""
    passes = (3.0 if method is Method.FULL else 2.0) + (1.0 if recompute is Recompute.FULL else 0.0)
    return TokenCost(
        2 * active(architecture) * passes,
        4 * _attended_width(architecture) * passes,
        _most_keys(architecture),
    )


def training_flops_per_token(architecture: Architecture, sequence: int, method: Method, recompute: Recompute) -> float:
    """FLOPs that one trained token costs, forward and backward."""
    return token_cost(architecture, method, recompute).of(sequence)


def training_speed(
    architecture: Architecture,
    accelerator: Accelerator,
    gpus: int,
    nodes: int,
    flops_per_token: float,
    method: Method,
    precision: Precision,
    network_gb_s: float | None,
    total_tokens: int | None,
) -> TrainingSpeed | None:
    """Return the estimate, None where the profile has no peak for this precision. Recomputation counts as work."""
    peak = _training_peak(accelerator, precision)
    if peak is None:
        return None
    mfu = planning_mfu(architecture, accelerator, method, nodes, network_gb_s)
    rate = gpus * peak * 1e12 * mfu / flops_per_token
    return TrainingSpeed(rate, mfu, peak, None if total_tokens is None else total_tokens / rate / _SECONDS_PER_DAY)


def planning_mfu(
    architecture: Architecture, accelerator: Accelerator, method: Method, nodes: int, network_gb_s: float | None
) -> float:
    """Return the utilisation to plan with."""
    if nodes > 1 and network_gb_s is not None and network_gb_s < SLOW_NETWORK_GB_S:
        return _SLOW_NETWORK_MFU
    mfu = _ADAPTER_MFU if method is not Method.FULL else _EXPERT_MFU if architecture.experts else _DENSE_MFU
    return mfu * (_PCIE_FACTOR if accelerator.interconnect == "PCIe" else 1.0)


def serving_speed(
    architecture: Architecture, accelerator: Accelerator, gpus: int, stage_gpus: int, weight_bytes_per_token: float
) -> ServingSpeed | None:
    """Return the estimate for ``gpus`` devices, ``stage_gpus`` of which work on one sequence at a time.

    ``weight_bytes_per_token`` is read for one sequence's next token. None where the profile lacks peak or bandwidth.
    """
    peak = accelerator.peak_tflops.get("bf16") or accelerator.peak_tflops.get("fp16")
    if not peak or not accelerator.bandwidth_tb_s:
        return None
    prefill = gpus * peak * 1e12 * _PREFILL_MFU / (2 * active(architecture))
    decode = stage_gpus * accelerator.bandwidth_tb_s * 1e12 * _DECODE_BANDWIDTH / weight_bytes_per_token
    return ServingSpeed(prefill, decode, _PREFILL_MFU, _DECODE_BANDWIDTH)


def _training_peak(accelerator: Accelerator, precision: Precision) -> float | None:
    # FP8 speeds up the matrix products only; without measured figures the bf16 peak is the honest base.
    wanted = "fp32" if precision is Precision.FP32 and "fp32" in accelerator.peak_tflops else "bf16"
    return accelerator.peak_tflops.get(wanted)


def _attended_width(architecture: Architecture) -> float:
    """Layers times the mean width of scores and values over all heads."""
    match architecture.attention:
        case GroupedQueryAttention() as grouped:
            return architecture.layers * grouped.heads * grouped.head_dim
        case LatentAttention() as latent:
            return architecture.layers * latent.heads * (latent.nope_dim + latent.rope_dim + latent.value_dim) / 2
        case CompressedAttention() | SharedCompressedAttention() as compressed:
            return architecture.layers * compressed.heads * compressed.head_dim
        case unknown:
            assert_never(unknown)


def _most_keys(architecture: Architecture) -> float:
    """Keys that a token attends to at most; any number of them where attention is whole."""
    match architecture.attention:
        case GroupedQueryAttention():
            return math.inf
        case LatentAttention() as latent:
            return math.inf if latent.indexer is None else latent.indexer.top_k
        case CompressedAttention() | SharedCompressedAttention() as compressed:
            return compressed.window + compressed.indexer.top_k
        case unknown:
            assert_never(unknown)
