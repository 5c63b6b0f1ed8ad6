"""Model states of training: parameters, gradients, master copy and moments, and who keeps which part.

Bytes per trained parameter (ZeRO, arXiv 1910.02054, section 3.1; LLaMA-Factory's 18 and 8; torchtitan's 16):

=============================  ==========  =========  ======  =======  =====
policy                         parameters  gradients  master  moments  total
=============================  ==========  =========  ======  =======  =====
fp32                           4           4          –       8        16
bf16 mixed, FSDP or HSDP       4 (master)  4          –       8        16
bf16 mixed, otherwise          2           4          4       8        18
bf16 throughout                2           2          –       4        8
=============================  ==========  =========  ======  =======  =====

Otherwise is DeepSpeed: gradients of 16 bits are made fp32 for the step, and its own estimate of ZeRO-3 is 18 as well
(``estimate_zero3_model_states_mem_needs``). 8-bit Adam keeps moments in 2 bytes; paged, it keeps them on the host. Muon keeps half of Adam's of the matrices of layers
(arXiv 2502.16982, section 2.3), and leaves embeddings, head and vectors to Adam. FP8 training computes in FP8 and keeps the
states of bf16 mixed precision. A frozen base weighs what its storage format weighs.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from deepseek_operator.domain.layout import Layout, Sharding
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.models.parameters import Role, Weight, weights
from deepseek_operator.domain.sizing.weights import (
    COUNT,
    FORMATS,
    Format,
    RankShare,
    block_totals,
    distinct_stages,
    rank_share,
)


class Method(Enum):
    """What is trained."""

    FULL = "Full"
    LORA = "LoRA"
    QLORA = "QLoRA"
    PROMPT_TUNING = "PromptTuning"
    P_TUNING = "PTuning"


class Precision(Enum):
    """In what the states are kept and the steps computed."""

    FP32 = "fp32"
    BF16 = "bf16"  # mixed: fp32 master weights
    PURE_BF16 = "pure-bf16"
    FP8 = "fp8"


class Optimizer(Enum):
    """Adam, its small forms, and what keeps one momentum where Adam keeps two."""

    ADAMW = "AdamW"
    MUON = "Muon"
    ADAMW_8BIT = "AdamW8bit"
    PAGED_ADAMW_8BIT = "PagedAdamW8bit"


class Offload(Enum):
    """What lives in host memory between its uses (DeepSpeed ZeRO-Offload, arXiv 2101.06840)."""

    NONE = "None"
    OPTIMIZER = "Optimizer"  # gradients, master copy and moments
    ALL = "All"  # parameters as well


@dataclass(frozen=True)
class Adapter:
    """Sizes of what LoRA, prompt tuning and P-tuning train.

    ``attention``, ``all_linear`` and ``experts`` say where LoRA stands: beside the matrices of attention, the dense
    feed-forward ones, the routed experts (each its own, as peft lays them out in the fused tensors of transformers 5).
    ``encoder_hidden`` is P-tuning's encoder width.
    """

    rank: int = 16
    attention: bool = True
    all_linear: bool = False
    experts: bool = False
    virtual_tokens: int = 20
    encoder_hidden: int = 128


@dataclass(frozen=True)
class StatePolicy:
    """Bytes per trained parameter."""

    parameter: float
    gradient: float
    master: float
    moments: float
    paged_moments: float = 0  # moments on the host

    @property
    def total(self) -> float:
        """On device and host together."""
        return self.parameter + self.gradient + self.master + self.moments + self.paged_moments


@dataclass(frozen=True)
class StateBytes:
    """Bytes per device by kind, and what this device's rank keeps in host memory."""

    frozen: float
    parameters: float
    gradients: float
    optimizer: float
    gathered: float
    host: float

    @property
    def device(self) -> float:
        """Bytes on the device."""
        return self.frozen + self.parameters + self.gradients + self.optimizer + self.gathered


# DeepSpeed's own allowance for pinned copies on the host (stage3.py, additional_buffer_factor).
_HOST_BUFFER_FACTOR = 1.5
# PowerSGD's error, the gradients as one vector, and its copy (torch's powerSGD_hook).
_COMPRESSING_BYTES = 12
# The block in use and the one being fetched (FSDP2's implicit prefetch; DeepSpeed plans 4 B per parameter alike).
_GATHERED_BLOCKS = 2


def policy(
    precision: Precision,
    optimizer: Optimizer,
    sharding: Sharding,
    fused_backward: bool = False,
    matrices: float = 1.0,
) -> StatePolicy:
    """Return the bytes per trained parameter, of which the share ``matrices`` are those of layers.

    ``fused_backward`` updates each block as soon as its gradient is there, so no gradient outlives its block.
    """
    pure, fp32 = precision is Precision.PURE_BF16, precision is Precision.FP32
    own_master = fp32 or (not pure and sharding in (Sharding.FSDP, Sharding.HSDP))
    parameter = 4.0 if own_master else 2.0
    master = 0.0 if own_master or pure else 4.0
    gradient = 0.0 if fused_backward else 2.0 if pure else 4.0
    if optimizer is Optimizer.PAGED_ADAMW_8BIT:
        return StatePolicy(parameter, gradient, master, 0, paged_moments=2)
    return StatePolicy(parameter, gradient, master, moment_bytes(precision, optimizer, matrices))


def moment_bytes(precision: Precision, optimizer: Optimizer, matrices: float) -> float:
    """Bytes of the moments of a trained parameter, wherever they lie."""
    whole = 4.0 if precision is Precision.PURE_BF16 else 8.0
    match optimizer:
        case Optimizer.ADAMW:
            return whole
        case Optimizer.MUON:
            return whole * (1 - matrices / 2)
        case Optimizer.ADAMW_8BIT | Optimizer.PAGED_ADAMW_8BIT:
            return 2.0


@lru_cache(maxsize=256)
def matrix_share(architecture: Architecture, method: Method) -> float:
    """Which share of the trained parameters are matrices of layers; adapters are made of nothing else, prompts of none."""
    if method is not Method.FULL:
        return 1.0 if method in (Method.LORA, Method.QLORA) else 0.0
    all_of = list(weights(architecture))
    return sum(one.count for one in all_of if one.role is not Role.PLAIN and one.inputs > 1) / sum(
        one.count for one in all_of
    )


def shard_degrees(layout: Layout) -> tuple[int, int]:
    """Return how many ranks share one copy of the dense states, and of the experts' states.

    Experts are already dealt out over data and tensor ranks, so fewer ranks are left to share each one.
    """
    if layout.sharding is Sharding.NONE:
        return 1, 1
    dense = layout.shard * layout.context
    spread = layout.expert if layout.expert > 1 else layout.tensor
    return dense, max(1, dense * layout.tensor // spread)


def full_states(
    architecture: Architecture, layout: Layout, states: StatePolicy, offload: Offload = Offload.NONE
) -> StateBytes:
    """Bytes of the states when every parameter is trained, on the fullest rank."""
    share = _heaviest(architecture, COUNT, layout)
    return split_states(share, _largest_block(architecture, COUNT, layout), layout, states, offload)


def split_states(
    share: RankShare, largest_block: float, layout: Layout, states: StatePolicy, offload: Offload = Offload.NONE
) -> StateBytes:
    """Bytes of the states of ``share`` trained parameters on one rank (counts, not bytes), sharded as laid out.

    ``largest_block`` is the parameter count of the largest block that is gathered at once.
    """
    sharding = layout.sharding
    whole, sharded = share.total, _sharded(share, layout)
    parameters = (sharded if sharding.shards_parameters else whole) * states.parameter
    gradients = (sharded if sharding.shards_gradients else whole) * states.gradient
    optimizer = (sharded if sharding.shards_optimizer else whole) * (states.master + states.moments)
    paged = sharded * states.paged_moments if sharding.shards_optimizer else whole * states.paged_moments
    gathered = _gathered(2 * largest_block, 2 * (whole - sharded), layout)
    match offload:
        case Offload.NONE:
            return StateBytes(0, parameters, gradients, optimizer, gathered, paged)
        case Offload.OPTIMIZER:
            moved = (gradients + optimizer) * _HOST_BUFFER_FACTOR + paged
            return StateBytes(0, parameters * min(1.0, 2 / states.parameter), 0, 0, gathered, moved)
        case Offload.ALL:
            moved = (parameters + gradients + optimizer) * _HOST_BUFFER_FACTOR + paged
            return StateBytes(0, 0, 0, 0, max(gathered, min(4 * largest_block, 2 * whole)), moved)


def adapter_states(
    architecture: Architecture,
    layout: Layout,
    base: Format,
    trained: float,
    states: StatePolicy,
    offload: Offload = Offload.NONE,
    compressed: bool = False,
) -> StateBytes:
    """Bytes of a frozen base and of ``trained`` adapter parameters.

    The adapters are few: they are counted whole on every rank of a pipeline stage unless data ranks shard them. With
    their gradients ``compressed`` none does, and each holds what compression left out, in fp32, and two copies meanwhile.
    """
    share = _heaviest(architecture, base, layout)
    whole, sharded = share.total, _sharded(share, layout)
    frozen = sharded if layout.sharding.shards_parameters else whole
    block = _largest_block(architecture, base, layout)
    gathered = _gathered(block, whole - sharded, layout)
    local = trained / layout.pipeline
    dense, _ = shard_degrees(layout)
    parts = local if compressed else local / dense
    parameters = (parts if layout.sharding.shards_parameters else local) * states.parameter
    gradients = (parts if layout.sharding.shards_gradients else local) * states.gradient
    gradients += local * _COMPRESSING_BYTES if compressed else 0
    optimizer = (parts if layout.sharding.shards_optimizer else local) * (states.master + states.moments)
    host = local * states.paged_moments
    if offload is Offload.NONE:
        return StateBytes(frozen, parameters, gradients, optimizer, gathered, host)
    if offload is Offload.OPTIMIZER:
        return StateBytes(frozen, parameters, 0, 0, gathered, host + (gradients + optimizer) * _HOST_BUFFER_FACTOR)
    moved = (frozen + parameters + gradients + optimizer) * _HOST_BUFFER_FACTOR
    return StateBytes(0, 0, 0, 0, max(gathered, min(_GATHERED_BLOCKS * block, whole)), host + moved)


@lru_cache(maxsize=256)
def trained_parameters(architecture: Architecture, method: Method, adapter: Adapter) -> int:
    """Return how many parameters the method trains.

    LoRA: ``rank · (inputs + outputs)`` per matrix (arXiv 2106.09685). Prompt tuning: one embedding per virtual token.
    P-tuning: those and a three-layer encoder (peft ``PromptEncoder``).
    """
    hidden = architecture.hidden
    match method:
        case Method.FULL:
            return sum(weight.count for weight in weights(architecture))
        case Method.LORA | Method.QLORA:
            targets = [weight for weight in weights(architecture) if _is_target(weight, adapter)]
            return sum(adapter.rank * (weight.inputs + weight.outputs) * weight.copies for weight in targets)
        case Method.PROMPT_TUNING:
            return adapter.virtual_tokens * hidden
        case Method.P_TUNING:
            width = adapter.encoder_hidden
            return adapter.virtual_tokens * hidden + (2 * hidden + width + 2) * width + hidden


def base_format(method: Method, precision: Precision, storage: str | None) -> Format:
    """Return the format of a frozen base: NF4 for QLoRA, otherwise 16 bits unless ``storage`` names another."""
    if storage is not None:
        return FORMATS[storage]
    if method is Method.QLORA:
        return FORMATS["nf4"]
    return FORMATS["fp32" if precision is Precision.FP32 else "bf16"]


def _is_target(weight: Weight, adapter: Adapter) -> bool:
    wanted = {Role.ATTENTION: adapter.attention, Role.FEED_FORWARD: adapter.all_linear, Role.EXPERT: adapter.experts}
    return wanted.get(weight.role, False) and weight.inputs > 1


def _heaviest(architecture: Architecture, unit: Format, layout: Layout) -> RankShare:
    """The fullest stage's share; like ``weights.heaviest_rank``, judged after sharding."""
    parts = distinct_stages(architecture, unit, layout.pipeline)
    shares = [rank_share(architecture, part, layout) for part in parts]
    return max(shares, key=lambda share: _sharded(share, layout))


def _sharded(share: RankShare, layout: Layout) -> float:
    dense, experts = shard_degrees(layout)
    return share.dense / dense + share.experts / experts


def _largest_block(architecture: Architecture, unit: Format, layout: Layout) -> float:
    return max(rank_share(architecture, block, layout).total for block in block_totals(architecture, unit))


def _gathered(block: float, missing: float, layout: Layout) -> float:
    """Bytes of the blocks gathered at once, never more than this rank lacks of its stage."""
    return min(_GATHERED_BLOCKS * block, missing) if layout.sharding.shards_parameters else 0.0
