"""The memory of one device of a serving replica, line by line, under its engine's own line."""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.domain.layout import Layout, stages
from deepseek_operator.domain.models.model import CompressedAttention, GroupedQueryAttention, LatentAttention
from deepseek_operator.domain.sizing.activations import step_peak_bytes
from deepseek_operator.domain.sizing.adapter_slots import slot_bytes
from deepseek_operator.domain.sizing.fit import Line, Memory, Shape
from deepseek_operator.domain.sizing.kv_cache import longest_sequence, sequence_bytes
from deepseek_operator.domain.sizing.overheads import (
    EngineMemory,
    Scope,
    indexer_workspace_bytes,
    runtime_bytes,
)
from deepseek_operator.domain.sizing.request import ServingRequest
from deepseek_operator.domain.sizing.weights import FORMATS, prediction_bytes, rank_share, stage_totals

PAGED_COMPRESSED = 2.35
"""vLLM 0.26 on 2 × H20, V4-Flash's preview: a pool of 7.01 GiB holds one sequence of 912,128 tokens, whose entries weigh
2.98 GiB (vllm-project/vllm#51041). The 0731 release was measured at 121,344 tokens in 7.71 GiB, why is not known; its
entry of the catalogue has a figure of its own."""

COMPRESSED_WORKSPACE_BYTES = int(5.28 * GIB)
"""What was missing from that pool over weights, MTP layer, step and communication: graphs and attention workspaces."""

ADAPTERS = "room for adapters"
WEIGHTS, TABLES, SPECULATION, CACHE = "weights", "n-gram tables", "speculative layers", "KV cache"
STEP, INDEXER, RUNTIME, UNUSED = "step working set", "indexer workspace", "runtime", "left free by the engine"
WORKSPACE = "graphs and workspaces"


def storage_of(request: ServingRequest) -> str:
    """Return the format of the weights: as asked, or as published."""
    return request.storage or request.architecture.native_format


def kv_dtype_of(request: ServingRequest) -> str:
    """Return the format of the cache: as asked, or what the attention's engines use."""
    if request.kv_dtype is not None:
        return request.kv_dtype
    plain = isinstance(request.architecture.attention, GroupedQueryAttention | LatentAttention)
    return "bf16" if plain or not request.accelerator.runs("fp8") else "fp8"


def context_of(request: ServingRequest) -> int:
    """Return the longest sequence that must be served, in tokens."""
    return request.context or request.architecture.context


def engine_of(request: ServingRequest) -> EngineMemory:
    """Return the engine's line, with the request's own fraction and step size where given."""
    engine = request.engine
    return replace(
        engine,
        fraction=request.memory_fraction if request.memory_fraction is not None else engine.fraction,
        step_tokens=request.step_tokens or engine.step_tokens,
    )


def serving_memory(request: ServingRequest, layout: Layout, shape: Shape) -> Memory:
    """Return the memory of the fullest device: the pipeline stage whose weights and cache together are largest."""
    engine = engine_of(request)
    stage_lines = max(_stages(request, layout, engine), key=lambda lines: sum(line.bytes for line in lines))
    overhead = _overhead(request, layout, shape, engine)
    lines = (*stage_lines, *overhead)
    device = request.accelerator.memory_bytes
    taken = sum(line.bytes for line in overhead)
    match engine.scope:
        case Scope.DEVICE:
            return Memory(lines, engine.fraction * device)
        case Scope.STATIC:
            return Memory(lines, engine.fraction * device + min(taken, (1 - engine.fraction) * device))
        case Scope.FREE:
            cache = sum(line.bytes for line in stage_lines if line.name == CACHE)
            return Memory((*lines, Line(UNUSED, cache * (1 / engine.fraction - 1))), device)


def least_cache(request: ServingRequest, devices: int) -> float:
    """Bytes of cache that no layout on ``devices`` goes below on its fullest device: layers and key-value heads divide
    it, and several sequences are dealt out as well."""
    architecture = request.architecture
    whole = sequence_bytes(architecture, context_of(request), kv_dtype_of(request)) * _paging(request)
    heads = attention.kv_heads if isinstance(attention := architecture.attention, GroupedQueryAttention) else 1
    return max(whole * request.concurrency / devices, whole / min(devices, architecture.layers * heads))


def room_for_cache(request: ServingRequest, memory: Memory) -> float:
    """Return the bytes that the cache of one device may take once everything else is loaded."""
    engine = engine_of(request)
    others = sum(line.bytes for line in memory.lines if line.name not in (CACHE, UNUSED))
    return max(0.0, (memory.budget_bytes - others) * (engine.fraction if engine.scope is Scope.FREE else 1.0))


def sequences_that_fit(request: ServingRequest, layout: Layout, memory: Memory) -> int:
    """Return how many sequences of the full context one replica holds at once: as many as its fullest stage does."""
    length = context_of(request)
    rooms = _rooms(request, layout, memory)
    return layout.data * min(int(room // _cache_bytes(request, layout, length, stage)) for stage, room in rooms)


def longest_that_fits(request: ServingRequest, layout: Layout, memory: Memory) -> int:
    """Return the longest single sequence in tokens that every stage can cache, at most the model's context."""
    limit, dtype, paging = request.architecture.context, kv_dtype_of(request), _paging(request)
    return min(
        longest_sequence(request.architecture, room / paging, dtype, stage, layout.tensor, limit)
        for stage, room in _rooms(request, layout, memory)
    )


def _rooms(request: ServingRequest, layout: Layout, memory: Memory) -> Iterator[tuple[range, float]]:
    """Each stage with the room for cache on its devices: heavy weights leave less than ``memory``, light ones more."""
    engine = engine_of(request)
    shared = sum(line.bytes for line in memory.lines if line.name in (STEP, INDEXER, RUNTIME, WORKSPACE))
    part = engine.fraction if engine.scope is Scope.FREE else 1.0
    for stage, lines in zip(_stage_ranges(request, layout), _stages(request, layout, engine), strict=True):
        own = sum(line.bytes for line in lines if line.name != CACHE)
        yield stage, max(0.0, (memory.budget_bytes - shared - own) * part)


def _stage_ranges(request: ServingRequest, layout: Layout) -> list[range]:
    return list(stages(request.architecture.layers, layout.pipeline))


def _stages(request: ServingRequest, layout: Layout, engine: EngineMemory) -> Iterator[tuple[Line, ...]]:
    architecture, storage = request.architecture, FORMATS[storage_of(request)]
    ranges = _stage_ranges(request, layout)
    sequences = ceil(request.concurrency / layout.data)
    for index, totals in enumerate(stage_totals(architecture, storage, layout.pipeline)):
        weights = rank_share(architecture, totals, layout).total * engine.resident_factor
        lines = [Line(WEIGHTS, max(0.0, weights - request.offload_bytes))]
        if index == 0 and architecture.extra_parameters and not request.tables_on_host:
            tables = architecture.extra_parameters * architecture.extra_bytes_each
            lines.append(Line(TABLES, tables / (layout.tensor * layout.data)))
        if index == layout.pipeline - 1 and request.speculation:
            speculative = prediction_bytes(architecture, storage, layout)
            lines.append(Line(SPECULATION, speculative * engine.resident_factor))
        if request.adapters and engine.keeps_slots:
            slot = slot_bytes(architecture, layout, ranges[index], request.adapter_rank)
            lines.append(Line(ADAPTERS, slot * request.adapters))
        cache = _cache_bytes(request, layout, context_of(request), ranges[index])
        yield (*lines, Line(CACHE, cache * sequences))


def _cache_bytes(request: ServingRequest, layout: Layout, tokens: int, stage: range) -> float:
    counted = sequence_bytes(request.architecture, tokens, kv_dtype_of(request), stage, layout.tensor)
    return counted * _paging(request)


def _paging(request: ServingRequest) -> float:
    """What the engine's allocator takes of a device over what the entries weigh."""
    attention = _paged_compressed(request)
    if attention is None:
        return 1.0
    return PAGED_COMPRESSED if attention.paging is None else attention.paging


def is_paged_compressed(request: ServingRequest) -> bool:
    """Whether the engine pages V4's compressed cache, by which more is taken than the entries weigh."""
    return _paged_compressed(request) is not None


def _paged_compressed(request: ServingRequest) -> CompressedAttention | None:
    attention = request.architecture.attention
    return attention if request.engine.pages_compressed and isinstance(attention, CompressedAttention) else None


def _overhead(request: ServingRequest, layout: Layout, shape: Shape, engine: EngineMemory) -> tuple[Line, ...]:
    tokens = min(engine.step_tokens, context_of(request) * request.concurrency)
    lines = [
        Line(STEP, step_peak_bytes(request.architecture, tokens, layout.tensor)),
        Line(RUNTIME, runtime_bytes(layout, request.accelerator, shape.nodes)),
    ]
    workspace = indexer_workspace_bytes(request.architecture, context_of(request))
    if is_paged_compressed(request):
        lines.append(Line(WORKSPACE, COMPRESSED_WORKSPACE_BYTES))
    return (*lines, *([Line(INDEXER, workspace)] if workspace else []))
