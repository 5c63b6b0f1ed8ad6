"""What a person should know although it fits."""

from collections.abc import Iterator

from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.sizing import serving_layouts
from deepseek_operator.domain.sizing.fit import UNMEASURED, Memory, Notice, Shape
from deepseek_operator.domain.sizing.flops import SLOW_NETWORK_GB_S
from deepseek_operator.domain.sizing.overheads import GROWTH_RESERVE
from deepseek_operator.domain.sizing.request import ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.search import Try, is_tight
from deepseek_operator.domain.sizing.serving_memory import is_paged_compressed, storage_of


def fullest(memory: Memory) -> str:
    """The fullest device in words."""
    return f"the fullest device needs {gib(memory.need_bytes)} of {gib(memory.budget_bytes)} GiB"


def gib(amount: float) -> str:
    """Bytes as GiB with one decimal."""
    return f"{amount / GIB:.1f}"


def warnings(request: ServingRequest | TrainingRequest, found: Try, fragments: float) -> Iterator[Notice]:
    """What is tight, idle or across nodes."""
    memory = found.memory
    if memory.need_bytes + fragments > memory.budget_bytes or is_tight(request, memory):
        spare = -memory.missing_bytes / GIB
        yield Notice("Tight", f"{fullest(memory)}: {spare:.1f} GiB to spare, an estimate is good to about a tenth")
    if memory.need_bytes * (1 + GROWTH_RESERVE) > memory.budget_bytes:
        yield Notice("LittleRoomForGrowth", f"less than {GROWTH_RESERVE:.0%} of the device is left for growth")
    offered = (request.nodes or found.shape.nodes) * (request.per_node or found.shape.per_node)
    if offered > found.shape.gpus:
        idle = offered - found.shape.gpus
        yield Notice("IdleDevices", f"{idle} of {offered} devices stay idle: no layout that fits divides by {offered}")
    if found.layout.tensor > found.shape.per_node:
        yield Notice("TensorAcrossNodes", f"TP {found.layout.tensor} leaves the node of {found.shape.per_node} devices")


def kv_advice(request: ServingRequest, layout: Layout) -> Iterator[Notice]:
    """What is particular about the cache of the model."""
    if request.architecture.replicates_kv and layout.tensor > 1:
        yield Notice(
            "RepeatedCache",
            f"each of {layout.tensor} tensor ranks holds the whole KV cache, because all heads share it",
        )
    if is_paged_compressed(request):
        yield Notice(
            "UncertainCache",
            f"{MEASURED_V4}: try the longest request, or write a shorter one",
        )


MEASURED_V4 = (
    "the compressed KV cache is counted as measured with vLLM 0.26 on 2 × H20 at 0.95 with TP 2 (912,128 tokens at most "
    "of deepseek-v4-flash, 121,344 of deepseek-v4-flash-0731)"
)


def unmeasured(request: ServingRequest, found: Try) -> Iterator[Notice]:
    """A word for a layout that nobody has measured."""
    layout, shape, storage = found.layout, found.shape, storage_of(request)
    is_guess = is_paged_compressed(request) and layout.pipeline > shape.nodes
    if is_guess or serving_layouts.stands_for_tensor(request.architecture, storage, layout, shape):
        yield Notice(
            UNMEASURED,
            f"{layout} is an estimate: stages inside a node were measured nowhere, and vLLM recommends tensor "
            "parallelism there; try the longest request before you rely on it",
        )


def training_warnings(request: TrainingRequest, shape: Shape) -> Iterator[Notice]:
    """Sequences beyond the model, networks below the work."""
    network, context = request.network_gb_s, request.architecture.context
    if request.sequence > context:
        yield Notice("LongSequence", f"sequences of {request.sequence:,} exceed the model's context of {context:,}")
    if shape.nodes > 1 and network is not None and network < SLOW_NETWORK_GB_S:
        yield Notice(
            "SlowNetwork",
            f"{shape.nodes} nodes over {network:g} GB/s will mostly wait; training nodes have"
            f" {SLOW_NETWORK_GB_S:g} GB/s at the least, and 8 × 50 GB/s usually",
        )
