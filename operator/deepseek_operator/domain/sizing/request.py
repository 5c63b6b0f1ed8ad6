"""The questions of sizing: what shall run, how, and on which devices. None leaves a choice to the operator."""

from dataclasses import dataclass, field
from enum import Enum

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.layout import FixedDegrees, Sharding
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.overheads import EngineMemory
from deepseek_operator.domain.sizing.training_state import Adapter, Method, Offload, Optimizer, Precision

MOST_NODES, MOST_PER_NODE = 1024, 64
"""Beyond, the search through layouts takes minutes, and no published run has been as large on such nodes."""
MOST_TOKENS, MOST_SEQUENCES = 1 << 20, 1 << 20
"""Longest training sequence, and most sequences of a batch or of a replica: the longest context that a model has."""
MOST_TRAINED_TOKENS = 10**15
"""Thirty times the longest published training."""


class Objective(Enum):
    """What the best of the fitting serving layouts is."""

    LATENCY = "Latency"  # few, strong ranks: tensor parallelism
    THROUGHPUT = "Throughput"  # many sequences: data-parallel attention with expert parallelism where it helps


@dataclass(frozen=True)
class ServingRequest:
    """One replica of a model behind an engine.

    ``engine`` is how its engine divides a device. ``storage`` is the format of the weights (None: as published); ``kv_dtype`` that of the cache (None: fp8 for
    compressed attention where the device has it, bf16 otherwise). ``context`` in tokens (None: the model's),
    ``concurrency`` the sequences of that length that must fit. ``memory_fraction`` and ``step_tokens`` replace the
    engine's defaults. ``offload_bytes`` of each device's weights lie in host memory. ``adapters`` LoRA adapters of up to ``adapter_rank`` answer beside the model. ``tables_on_host`` keeps n-gram tables in host memory (V4.1).
    """

    architecture: Architecture
    accelerator: Accelerator
    engine: EngineMemory
    storage: str | None = None
    kv_dtype: str | None = None
    context: int | None = None
    concurrency: int = 1
    step_tokens: int | None = None
    memory_fraction: float | None = None
    nodes: int | None = None
    per_node: int | None = None
    fixed: FixedDegrees = field(default_factory=FixedDegrees)
    objective: Objective = Objective.LATENCY
    speculation: bool = False
    offload_bytes: int = 0
    adapters: int = 0
    adapter_rank: int = 16
    tables_on_host: bool = False
    max_nodes: int = 64


ALL_AXES = frozenset({"tensor", "pipeline", "data", "expert", "context"})


@dataclass(frozen=True)
class TrainingRequest:
    """One training.

    ``sequence`` in tokens, ``global_batch`` in sequences (None: any), ``micro_batch`` in sequences per device and
    pass (None: 1). ``merges`` says that an adapter is exported inside of the whole model. ``axes`` are the kinds of parallelism that the trainer knows. ``base_storage`` is the format of a
    frozen base (None: 16 bits, NF4 for QLoRA). ``total_tokens`` turns speed into days. ``keep`` checkpoints stay on
    the volume, which writes ``volume_gb_s`` (10⁹ bytes per second). ``network_gb_s`` is one node's network, None for
    unknown; ``pairs`` says that each of a batch is two sequences, ``has_reference`` that a frozen copy of the model
    stands beside it where all of it is trained (an adapter's base is one); ``fused_loss`` says that the trainer computes
    the loss in pieces, never holding all logits (Liger, cut cross entropy); ``compressed`` that it adds an adapter's
    gradients up by PowerSGD; ``host_memory_gib`` one node's memory, None for unknown.
    """

    architecture: Architecture
    accelerator: Accelerator
    method: Method = Method.FULL
    precision: Precision = Precision.BF16
    optimizer: Optimizer = Optimizer.ADAMW
    sequence: int = 4096
    global_batch: int | None = None
    micro_batch: int | None = None
    recompute: Recompute | None = None
    sharding: Sharding = Sharding.FSDP
    axes: frozenset[str] = ALL_AXES
    adapter: Adapter = field(default_factory=Adapter)
    merges: bool = False
    base_storage: str | None = None
    offload: Offload = Offload.NONE
    fused_backward: bool = False
    fused_loss: bool = False
    compressed: bool = False
    pairs: bool = False
    has_reference: bool = False
    nodes: int | None = None
    per_node: int | None = None
    fixed: FixedDegrees = field(default_factory=FixedDegrees)
    total_tokens: int | None = None
    keep: int = 3
    volume_gb_s: float = 1.0
    network_gb_s: float | None = None
    host_memory_gib: float | None = None
    max_nodes: int = 128
