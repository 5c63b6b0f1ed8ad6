"""What a process takes besides the model: libraries, communication buffers, and how much an engine may use at all.

Each engine draws its own line: vLLM uses a fraction of the device for everything, SGLang a fraction for weights and
cache only, TensorRT-LLM a fraction of what is left after loading for the cache. There is no flat surcharge.
"""

from dataclasses import dataclass
from enum import Enum

from deepseek_operator.domain.devices.accelerator import GIB, Accelerator
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.models.model import Architecture, LatentAttention


class Scope(Enum):
    """To what an engine's memory fraction applies."""

    DEVICE = "of the device, for everything"
    STATIC = "of the device, for weights and cache"
    FREE = "of what loading leaves free, for the cache"


@dataclass(frozen=True)
class EngineMemory:
    """One engine's memory line.

    ``keeps_slots`` whether it takes room for adapters' matrices when it starts. ``step_tokens`` is its default bound on tokens per step, ``resident_factor`` weights in memory over weights on
    disk (alignment, repacking), ``parallel`` whether it can use more than one device, ``pages_compressed`` whether it pages
    a compressed cache, by which more is taken than the entries weigh.
    """

    name: str
    fraction: float
    scope: Scope
    step_tokens: int
    resident_factor: float
    parallel: bool = True
    pages_compressed: bool = False
    keeps_slots: bool = False


OF_OTHERS = EngineMemory("custom", 0.9, Scope.DEVICE, 8192, 1.02)
"""Of an engine that nothing is known of: a tenth of the device stays free."""

CONTEXT_BYTES = GIB // 4
"""Device context and libraries: 0.2 to 0.25 GiB measured outside torch with vLLM on PCIe cards."""
COMMUNICATOR_BYTES = int(0.35 * GIB)
"""One collective group's channels: aiconfigurator plans 342 to 392 MiB."""
PEER_BUFFER_BYTES = GIB
"""Peer-to-peer all-reduce and multicast buffers on linked devices: with the two lines above and the next, R1 on
two nodes of eight comes to 2.95 GiB, where 2.53 was measured."""
NETWORK_BUFFER_BYTES = GIB
"""Registered network buffers when a group spans nodes."""
TRAINING_BUDGET = 0.95
"""Part of a device that training may plan with: the allocator's fragments and the driver take the rest."""
FRAGMENTATION = 0.05
"""Part of the weights that KAITO's estimator adds for fragments: without that much to spare a fit is tight."""
GROWTH_RESERVE = 0.20
"""Spare capacity that platform teams want for growth; less is a warning, never a refusal."""
_LINKED = ("NVLink", "XGMI", "HCCS", "RoCE")
# Rows of V3.2's prefill workspace: 40 index keys per token of the longest context (vLLM 0.32 indexer.py).
_INDEXER_ROWS = 40


def runtime_bytes(layout: Layout, accelerator: Accelerator, nodes: int) -> int:
    """Bytes per device of context and communication."""
    groups = sum(degree > 1 for degree in (layout.tensor, layout.pipeline, layout.data, layout.context))
    linked = groups > 0 and accelerator.interconnect in _LINKED
    buffers = (PEER_BUFFER_BYTES if linked else 0) + (NETWORK_BUFFER_BYTES if nodes > 1 else 0)
    return CONTEXT_BYTES + groups * COMMUNICATOR_BYTES + buffers


def indexer_workspace_bytes(architecture: Architecture, context: int) -> int:
    """Bytes of V3.2's prefill workspace: 825 MiB at 163,840 tokens."""
    attention = architecture.attention
    if not isinstance(attention, LatentAttention) or attention.indexer is None:
        return 0
    return _INDEXER_ROWS * (attention.indexer.head_dim + 4) * context
