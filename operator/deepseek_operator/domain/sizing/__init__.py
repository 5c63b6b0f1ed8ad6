"""The one entry to sizing: a request in, ``Sized`` or ``Refused`` out. Pure arithmetic, no cluster.

The rule: the fewest devices that fit, counted in whole tiles of a node and then in whole nodes; among the layouts of
that many devices the first in the order of ``layout.serving`` and ``layout.training`` that is not tight, or else the
smallest. Devices that the user has fixed are all used where any layout uses them all, otherwise as many as can be, with a warning.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from heapq import heappop, heappush
from itertools import islice, takewhile
from typing import Generic, TypeAlias, TypeVar

from deepseek_operator.domain.devices.accelerator import GIB, Accelerator
from deepseek_operator.domain.layout import Layout, divisors
from deepseek_operator.domain.models.catalogue import Model
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.models.parameters import active, total
from deepseek_operator.domain.sizing import serving_layouts, training_layouts
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.checkpoint_size import checkpoint_size
from deepseek_operator.domain.sizing.fit import (
    UNMEASURED,
    Alternative,
    Memory,
    Notice,
    Refused,
    ServingFigures,
    Shape,
    Sized,
    TrainingFigures,
)
from deepseek_operator.domain.sizing.flops import (
    SLOW_NETWORK_GB_S,
    ServingSpeed,
    serving_speed,
    training_flops_per_token,
    training_speed,
)
from deepseek_operator.domain.sizing.kv_cache import KV_BYTES
from deepseek_operator.domain.sizing.overheads import (
    CONTEXT_BYTES,
    ENGINES,
    FRAGMENTATION,
    GROWTH_RESERVE,
    TRAINING_BUDGET,
)
from deepseek_operator.domain.sizing.request import (
    MOST_NODES,
    MOST_PER_NODE,
    MOST_SEQUENCES,
    MOST_TOKENS,
    MOST_TRAINED_TOKENS,
    Objective,
    ServingRequest,
    TrainingRequest,
)
from deepseek_operator.domain.sizing.serving_memory import (
    WEIGHTS,
    context_of,
    is_paged_compressed,
    kv_dtype_of,
    least_cache,
    longest_that_fits,
    sequences_that_fit,
    serving_memory,
    storage_of,
)
from deepseek_operator.domain.sizing.training_memory import (
    accumulation_of,
    least_activations,
    micro_batch_of,
    state_bytes,
    training_memory,
)
from deepseek_operator.domain.sizing.training_state import (
    Method,
    Offload,
    Precision,
    base_format,
    policy,
    trained_parameters,
)
from deepseek_operator.domain.sizing.weights import FORMATS, stored_bytes

_Request = TypeVar("_Request", ServingRequest, TrainingRequest)

MOST_TRIES, MOST_SHAPES = 20_000, 1024
"""What one search looks at before it answers with the best so far, half a second's work. The dearest of the catalogue's
models takes 14,000 tries: V4-Pro over 48 GiB cards, which wants 600 of them."""
REMEMBERED = 256
"""Answers that are kept, so that a spec that is looked at again costs nothing."""
_TIGHT_SERVING, _TIGHT_TRAINING = 0.90, 0.85
"""Part of the budget above which a fit is called tight. Weights and cache are counted to a few hundredths, the
activations of a training to about a tenth."""
_VERY_TIGHT, _ALIKE = 0.95, 0.02
"""Part of the budget above which a smaller need is worth a slower step, and by which two needs count as alike."""
# fp32 and fp16 gain nothing, nf4 is for QLoRA, mxfp4 exists as published or not at all, gptq weighs what awq weighs.
_NEVER_OFFERED = ("fp32", "fp16", "nf4", "mxfp4", "gptq")
_SHORTER_CONTEXTS = tuple(1 << power for power in range(20, 11, -1))


def architecture_of(model: Model) -> Architecture | Refused:
    """Return the shape of a catalogue entry, or why it can't be sized."""
    if model.architecture is not None:
        return model.architecture
    return Refused(
        "UnknownShape",
        f"{model.id} is a known model whose config.json has not been seen ({model.source}); give its shape as a"
        " custom model to have it sized",
    )


class _Asked(Generic[_Request]):
    """A request as a key: equal when every number in it is."""

    def __init__(self, request: _Request) -> None:
        self.request: _Request = request
        self._key = repr(request)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def size_serving(request: ServingRequest) -> Sized | Refused:
    """Return the smallest replica that serves the request, or why there is none and what would fit.

    The last answers are remembered. Raises ValueError for a number that no request may hold (a negative count, an
    unknown engine).
    """
    return _size_serving(_Asked(request))


@lru_cache(maxsize=REMEMBERED)
def _size_serving(asked: _Asked[ServingRequest]) -> Sized | Refused:
    request: ServingRequest = asked.request
    _check_serving(request)
    unsupported = _unsupported_serving(request)
    if unsupported is not None:
        return replace(unsupported, alternatives=_serving_alternatives(request))
    found = _search(request, _shapes(request), _serving_tries)
    match found:
        case _Try() if _fits(request, found):
            return _sized_serving(request, found)
        case _Try():
            refused = _out_of_memory(found, request.accelerator)
            message = refused.message + _longest_instead(request, found)
            return replace(refused, message=message, alternatives=_serving_alternatives(request))
        case None:
            shape = next(_shapes(request))
            message = serving_layouts.why_none(request.architecture, storage_of(request), shape, request.fixed)
            return Refused("NoLayout", message, shape, alternatives=_serving_alternatives(request))


def size_training(request: TrainingRequest) -> Sized | Refused:
    """Return the smallest gang that trains the request, or why there is none and what would fit.

    The last answers are remembered. Raises ValueError for a number that no request may hold.
    """
    return _size_training(_Asked(request))


@lru_cache(maxsize=REMEMBERED)
def _size_training(asked: _Asked[TrainingRequest]) -> Sized | Refused:
    request: TrainingRequest = asked.request
    _check_training(request)
    unsupported = _unsupported_training(request)
    if unsupported is not None:
        return unsupported
    found = _best_training(request)
    match found:
        case _Try() if _fits(request, found):
            return _sized_training(request, found)
        case _Try():
            refused = _out_of_memory(found, request.accelerator)
            return replace(refused, alternatives=_training_alternatives(request))
        case None:
            shape = next(_shapes(request))
            return Refused("NoLayout", training_layouts.why_none(request, shape), shape)


# ---- the search --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Try:
    shape: Shape
    layout: Layout
    memory: Memory
    recompute: Recompute | None = None


def _search(
    request: _Request, shapes: Iterable[Shape], tries: Callable[[_Request, Shape], Iterator[_Try]]
) -> _Try | None:
    """Return the best try on the first shape where any fits, else the nearest miss, else None: nothing to try.

    After ``MOST_TRIES`` the best so far is the answer: by number and not by time, so that it is always the same.
    """
    nearest: _Try | None = None
    left = MOST_TRIES
    for shape in islice(shapes, MOST_SHAPES):
        fitting: list[_Try] = []
        for found in islice(tries(request, shape), left):
            left -= 1
            if not _fits(request, found):
                nearest = found if nearest is None or _missing(found) < _missing(nearest) else nearest
            elif not _is_tight(request, found.memory):
                return found
            else:
                fitting.append(found)
        if fitting:
            return _safest(fitting)
        if left <= 0:
            break
    return nearest


def _is_tight(request: ServingRequest | TrainingRequest, memory: Memory) -> bool:
    part = _TIGHT_SERVING if isinstance(request, ServingRequest) else _TIGHT_TRAINING
    return memory.need_bytes > part * memory.budget_bytes


def _safest(tight: list[_Try]) -> _Try:
    """Where every fit is tight: the first with a twentieth to spare, else the first that needs hardly the least."""
    least = min(found.memory.need_bytes for found in tight)
    for found in tight:
        budget = found.memory.budget_bytes
        if found.memory.need_bytes <= max(_VERY_TIGHT * budget, least + _ALIKE * budget):
            return found
    raise AssertionError("the smallest is like itself")


def _missing(found: _Try) -> float:
    return found.memory.missing_bytes


def _serving_tries(request: ServingRequest, shape: Shape) -> Iterator[_Try]:
    storage = storage_of(request)
    for layout in serving_layouts.candidates(request.architecture, storage, shape, request.fixed, request.objective):
        # The cache of compressed attention is known by measurement alone, and stages inside a node were not measured.
        if request.fixed.pipeline is None and is_paged_compressed(request) and layout.pipeline > shape.nodes:
            continue
        yield _Try(shape, layout, serving_memory(request, layout, shape))


def _best_training(request: TrainingRequest) -> _Try | None:
    """The best try; sequences too short to be split gladly are split where that alone fits a shape."""
    room = _room(request)
    found = _search(request, _shapes(request), partial(_training_tries, room=room))
    if not training_layouts.may_split_shorter(request):
        return found
    fits = found is not None and _fits(request, found)
    better = takewhile(lambda shape: not fits or found is None or shape != found.shape, _shapes(request))
    split = _search(request, better, partial(_training_tries, room=room, split_any=True))
    return split if split is not None and _fits(request, split) else found


_LevelRoom: TypeAlias = Callable[[int, int, Recompute], float]


def _room(request: TrainingRequest) -> _LevelRoom:
    """What activations leave of a device, at most, by the ranks that split a sequence, the stages, and the level."""
    budget = TRAINING_BUDGET * request.accelerator.memory_bytes

    @cache
    def room(split: int, stages: int, level: Recompute) -> float:
        return budget - least_activations(request, split, stages, level)

    return room


def _training_tries(
    request: TrainingRequest, shape: Shape, room: _LevelRoom, split_any: bool = False
) -> Iterator[_Try]:
    """Layouts and degrees of recomputation of one shape, the cheapest step first.

    Those that can't fit by their activations alone are left out, as long as others have room.
    """
    levels = tuple(Recompute) if request.recompute is None else (request.recompute,)
    roomiest = cache(lambda split, stages: max(room(split, stages, level) for level in levels))
    layouts = training_layouts.candidates(request, shape, split_any, roomiest)
    choices = [
        (layout, level)
        for layout in layouts
        for split in (layout.tensor * layout.context,)
        for level in levels
        if room(split, layout.pipeline, level) >= min(0.0, roomiest(split, layout.pipeline))
    ]
    choices.sort(key=lambda choice: training_layouts.step_cost(request, choice[0], shape, choice[1]))
    states = cache(lambda layout: state_bytes(request, layout))
    for layout, level in choices:
        yield _Try(shape, layout, training_memory(request, layout, shape, level, states(layout)), level)


def _fits(request: ServingRequest | TrainingRequest, found: _Try) -> bool:
    """Whether device and host hold it."""
    host = request.host_memory_gib if isinstance(request, TrainingRequest) else None
    return found.memory.fits and (host is None or found.memory.host_bytes * found.shape.per_node <= host * GIB)


def _shapes(request: ServingRequest | TrainingRequest) -> Iterator[Shape]:
    """Shapes to try, fewest devices first; with both numbers fixed, that one and then smaller ones.

    Shapes whose devices together could not hold the model are left out, save for the largest, whose miss is reported.
    """
    usual, nodes, per_node = request.accelerator.per_node, request.nodes, request.per_node
    if not request.accelerator.joins_devices:
        usual, per_node, nodes = 1, 1, nodes or 1
    if isinstance(request, ServingRequest) and not ENGINES[request.engine].parallel:
        nodes = per_node = 1
    shapes: Iterable[Shape]
    if nodes is not None and per_node is not None:
        shapes = _and_smaller(nodes, per_node)
    elif nodes is not None:
        shapes = [Shape(nodes, tile) for tile in (divisors(usual) if nodes == 1 else [usual])]
    elif per_node is not None:
        shapes = (Shape(count, per_node) for count in range(1, request.max_nodes + 1))
    else:
        tiles, wide = divisors(usual), range(2, request.max_nodes + 1)
        shapes = [*(Shape(1, tile) for tile in tiles), *(Shape(count, usual) for count in wide)]
    largest = (nodes or request.max_nodes) * (per_node or usual)
    least, device = _least_bytes(request), request.accelerator.memory_bytes
    for shape in shapes:
        if shape.gpus == largest or (shape.gpus * device >= least and _may_hold(request, shape)):
            yield shape
        elif nodes is not None and per_node is not None:
            return  # Each one from here on is smaller still.


def _and_smaller(nodes: int, per_node: int) -> Iterator[Shape]:
    """The shape, and those that fit into it: the most devices first, of as many the fewest nodes."""
    waiting, seen = [(-nodes * per_node, nodes)], {(nodes, per_node)}
    while waiting:
        devices, count = heappop(waiting)
        each = -devices // count
        yield Shape(count, each)
        for smaller in ((count - 1, each), (count, each - 1)):
            if min(smaller) > 0 and smaller not in seen:
                seen.add(smaller)
                heappush(waiting, (-smaller[0] * smaller[1], smaller[0]))


def _may_hold(request: ServingRequest | TrainingRequest, shape: Shape) -> bool:
    """False where cache or activations alone are too much, however they are laid out on so many devices."""
    device = request.accelerator.memory_bytes
    if isinstance(request, ServingRequest):
        weights = _least_bytes(request) / shape.gpus
        return weights + least_cache(request, shape.gpus) <= device
    levels = tuple(Recompute) if request.recompute is None else (request.recompute,)
    states = _least_bytes(request) / shape.gpus
    whole = min(least_activations(request, 1, 1, level) for level in levels) - CONTEXT_BYTES
    return states + whole / shape.gpus <= TRAINING_BUDGET * device


def _least_bytes(request: ServingRequest | TrainingRequest) -> float:
    """A lower bound on the bytes that all devices together hold, however the model is laid out."""
    if isinstance(request, ServingRequest):
        return _stored(request.architecture, storage_of(request))
    if request.method is not Method.FULL:
        base = base_format(request.method, request.precision, request.base_storage)
        return 0.0 if request.offload is Offload.ALL else _stored(request.architecture, base.name)
    states = policy(request.precision, request.optimizer, request.sharding, request.fused_backward)
    each = {Offload.NONE: states.total - states.paged_moments, Offload.OPTIMIZER: min(2.0, states.parameter)}
    return each.get(request.offload, 0.0) * _counted(request.architecture)


@lru_cache(maxsize=256)
def _stored(architecture: Architecture, storage: str) -> float:
    """Bytes of the decoder's weights, tables aside: those may live on the host."""
    tables = architecture.extra_parameters * architecture.extra_bytes_each
    return stored_bytes(architecture, FORMATS[storage]) - tables


@lru_cache(maxsize=64)
def _counted(architecture: Architecture) -> int:
    return total(architecture) - architecture.extra_parameters


# ---- what fits ---------------------------------------------------------------------------------------------------


def _sized_serving(request: ServingRequest, found: _Try) -> Sized:
    architecture, layout, memory = request.architecture, found.layout, found.memory
    return Sized(
        shape=found.shape,
        layout=layout,
        memory=memory,
        storage=storage_of(request),
        explanation=(
            *serving_layouts.explain(architecture, storage_of(request), layout, found.shape, request.accelerator),
            _fullest(memory),
        ),
        warnings=(
            *_warnings(request, found, memory.bytes_of(WEIGHTS) * FRAGMENTATION),
            *_kv_advice(request, layout),
            *_unmeasured(request, found),
        ),
        serving=ServingFigures(
            context=context_of(request),
            sequences=sequences_that_fit(request, layout, memory),
            longest_sequence=longest_that_fits(request, layout, memory),
            speed=_serving_speed(request, layout),
        ),
        alternatives=_data_parallel_alternative(request, found),
    )


def _sized_training(request: TrainingRequest, found: _Try) -> Sized:
    assert found.recompute is not None
    return Sized(
        shape=found.shape,
        layout=found.layout,
        memory=found.memory,
        storage=request.precision.value,
        explanation=(
            *training_layouts.explain(request, found.layout, found.shape),
            _recomputation(found.recompute, request.recompute is None),
            _fullest(found.memory),
        ),
        warnings=(*_warnings(request, found, 0.0), *_training_warnings(request, found.shape)),
        training=_training_figures(request, found, found.recompute),
    )


def _recomputation(level: Recompute, chosen: bool) -> str:
    what = "no recomputation" if level is Recompute.NONE else f"{level.value.lower()} recomputation"
    return f"{what}, {'the cheapest step that is not tight, or the smallest' if chosen else 'as asked'}"


def _training_figures(request: TrainingRequest, found: _Try, recompute: Recompute) -> TrainingFigures:
    architecture, shape = request.architecture, found.shape
    trained = trained_parameters(architecture, request.method, request.adapter)
    size = checkpoint_size(total(architecture), trained, request.method, request.precision, request.optimizer)
    return TrainingFigures(
        trained_parameters=trained,
        checkpoint_bytes=size.checkpoint,
        export_bytes=size.export,
        volume_bytes=size.volume(request.keep),
        save_seconds=size.save_seconds(request.volume_gb_s),
        micro_batch=micro_batch_of(request),
        accumulation=accumulation_of(request, found.layout),
        recompute=recompute.value,
        host_bytes_per_node=found.memory.host_bytes * shape.per_node,
        speed=training_speed(
            architecture,
            request.accelerator,
            found.layout.gpus,
            shape.nodes,
            training_flops_per_token(architecture, request.sequence, request.method, recompute),
            request.method,
            request.precision,
            request.network_gb_s,
            request.total_tokens,
        ),
    )


def _serving_speed(request: ServingRequest, layout: Layout) -> ServingSpeed | None:
    """One sequence's next token reads the active share of the weights; data ranks do not help a lone sequence."""
    architecture = request.architecture
    read = stored_bytes(architecture, FORMATS[storage_of(request)]) * active(architecture) / total(architecture)
    return serving_speed(architecture, request.accelerator, layout.gpus, layout.gpus // layout.pipeline, read)


def _fullest(memory: Memory) -> str:
    return f"the fullest device needs {_gib(memory.need_bytes)} of {_gib(memory.budget_bytes)} GiB"


def _gib(amount: float) -> str:
    return f"{amount / GIB:.1f}"


# ---- what a person should know although it fits ------------------------------------------------------------------


def _warnings(request: ServingRequest | TrainingRequest, found: _Try, fragments: float) -> Iterator[Notice]:
    memory = found.memory
    if memory.need_bytes + fragments > memory.budget_bytes or _is_tight(request, memory):
        spare = -memory.missing_bytes / GIB
        yield Notice("Tight", f"{_fullest(memory)}: {spare:.1f} GiB to spare, an estimate is good to about a tenth")
    if memory.need_bytes * (1 + GROWTH_RESERVE) > memory.budget_bytes:
        yield Notice("LittleRoomForGrowth", f"less than {GROWTH_RESERVE:.0%} of the device is left for growth")
    offered = (request.nodes or found.shape.nodes) * (request.per_node or found.shape.per_node)
    if offered > found.shape.gpus:
        idle = offered - found.shape.gpus
        yield Notice("IdleDevices", f"{idle} of {offered} devices stay idle: no layout that fits divides by {offered}")
    if found.layout.tensor > found.shape.per_node:
        yield Notice("TensorAcrossNodes", f"TP {found.layout.tensor} leaves the node of {found.shape.per_node} devices")


def _kv_advice(request: ServingRequest, layout: Layout) -> Iterator[Notice]:
    if request.architecture.replicates_kv and layout.tensor > 1:
        yield Notice(
            "RepeatedCache",
            f"each of {layout.tensor} tensor ranks holds the whole KV cache, because all heads share it",
        )
    if is_paged_compressed(request):
        yield Notice(
            "UncertainCache",
            f"{_MEASURED_V4}: try the longest request, or write a shorter one",
        )


_MEASURED_V4 = (
    "the compressed KV cache is counted as measured with vLLM 0.26 on 2 × H20 at 0.95 with TP 2 (912,128 tokens at most "
    "of deepseek-v4-flash, 121,344 of deepseek-v4-flash-0731)"
)


def _unmeasured(request: ServingRequest, found: _Try) -> Iterator[Notice]:
    layout, shape, storage = found.layout, found.shape, storage_of(request)
    is_guess = is_paged_compressed(request) and layout.pipeline > shape.nodes
    if is_guess or serving_layouts.stands_for_tensor(request.architecture, storage, layout, shape):
        yield Notice(
            UNMEASURED,
            f"{layout} is an estimate: stages inside a node were measured nowhere, and vLLM recommends tensor "
            "parallelism there; try the longest request before you rely on it",
        )


def _training_warnings(request: TrainingRequest, shape: Shape) -> Iterator[Notice]:
    network, context = request.network_gb_s, request.architecture.context
    if request.sequence > context:
        yield Notice("LongSequence", f"sequences of {request.sequence:,} exceed the model's context of {context:,}")
    if shape.nodes > 1 and network is not None and network < SLOW_NETWORK_GB_S:
        yield Notice(
            "SlowNetwork",
            f"{shape.nodes} nodes over {network:g} GB/s will mostly wait; training nodes have"
            f" {SLOW_NETWORK_GB_S:g} GB/s at the least, and 8 × 50 GB/s usually",
        )


# ---- what would fit instead --------------------------------------------------------------------------------------


def _out_of_memory(nearest: _Try, accelerator: Accelerator) -> Refused:
    memory, shape = nearest.memory, nearest.shape
    if memory.fits:  # devices would hold it, their hosts do not
        host = memory.host_bytes * shape.per_node
        return Refused(
            "OutOfHostMemory", f"offloading keeps {_gib(host)} GiB on each node", shape, nearest.layout, memory
        )
    parts = ", ".join(f"{line.name} {_gib(line.bytes)}" for line in memory.lines if line.bytes >= GIB / 20)
    return Refused(
        "OutOfMemory",
        f"on {shape} × {accelerator.name} the fullest device lacks {_gib(memory.missing_bytes)} GiB:"
        f" it needs {_gib(memory.need_bytes)} of the {_gib(memory.budget_bytes)} GiB that may be used ({parts})",
        shape,
        nearest.layout,
        memory,
    )


def _longest_instead(request: ServingRequest, nearest: _Try) -> str:
    """What the nearest miss would hold of one sequence, where its weights leave room for any."""
    longest = longest_that_fits(request, nearest.layout, nearest.memory)
    if longest == 0 or request.concurrency > 1:
        return ""
    told = f"; the longest single sequence that fits there by {nearest.layout} is {longest:,} tokens"
    return told + (f"; {_MEASURED_V4}" if is_paged_compressed(request) else "")


def _data_parallel_alternative(request: ServingRequest, found: _Try) -> tuple[Alternative, ...]:
    """The same devices with data-parallel attention, where that holds more sequences."""
    if request.objective is Objective.THROUGHPUT or not request.architecture.replicates_kv or found.layout.tensor == 1:
        return ()
    wanted = replace(request, objective=Objective.THROUGHPUT)
    for other in _serving_tries(wanted, found.shape):
        if other.memory.fits and other.layout.data > 1:
            now = sequences_that_fit(request, found.layout, found.memory)
            then = sequences_that_fit(request, other.layout, other.memory)
            if then > now:
                change = f"data-parallel attention with expert parallelism holds {then} full contexts instead of {now}"
                return (Alternative(change, other.shape, other.layout),)
    return ()


def _serving_alternatives(request: ServingRequest) -> tuple[Alternative, ...]:
    """Each single change that makes the request fit, the least invasive first."""
    changes: list[tuple[str, ServingRequest]] = []
    if kv_dtype_of(request) != "fp8" and request.accelerator.runs("fp8"):
        changes.append(("an fp8 KV cache", replace(request, kv_dtype="fp8")))
    if request.architecture.extra_parameters and not request.tables_on_host:
        changes.append(("n-gram tables in host memory", replace(request, tables_on_host=True)))
    changes.extend(_shorter_contexts(request))
    if request.nodes is not None or request.per_node is not None:
        changes.append(("more devices", replace(request, nodes=None, per_node=None)))
    changes.extend((f"{storage} weights", replace(request, storage=storage)) for storage in _other_formats(request))
    found = _working(changes, _first_fit_serving)
    if found or (request.nodes is None and request.per_node is None):
        return found
    free = replace(request, nodes=None, per_node=None)
    others = [
        (f"{storage} weights on more devices", replace(free, storage=storage)) for storage in _other_formats(free)
    ]
    return _working(others, _first_fit_serving)


def _shorter_contexts(request: ServingRequest) -> list[tuple[str, ServingRequest]]:
    """The longest that fits below the wanted context: the model's own, or a power of two."""
    for context in sorted({request.architecture.context, *_SHORTER_CONTEXTS}, reverse=True):
        if context < context_of(request):
            shorter = replace(request, context=context)
            if _first_fit_serving(shorter) is not None:
                return [(f"a context of {context:,} tokens", shorter)]
    return []


def _other_formats(request: ServingRequest) -> list[str]:
    """Formats that the device runs, nearest in size first; without formats that only other uses know."""
    now = stored_bytes(request.architecture, FORMATS[storage_of(request)])
    known = [name for name in FORMATS if name not in (*_NEVER_OFFERED, storage_of(request))]
    runs = [name for name in known if request.accelerator.runs(name)]
    return sorted(runs, key=lambda name: abs(stored_bytes(request.architecture, FORMATS[name]) - now))


def _first_fit_serving(request: ServingRequest) -> _Try | None:
    if _unsupported_serving(request) is not None:
        return None
    found = _search(request, _shapes(request), _serving_tries)
    return found if found is not None and _fits(request, found) else None


def _training_alternatives(request: TrainingRequest) -> tuple[Alternative, ...]:
    changes: list[tuple[str, TrainingRequest]] = []
    if request.nodes is not None or request.per_node is not None:
        changes.append(("more devices", replace(request, nodes=None, per_node=None)))
    if request.offload is Offload.NONE:
        changes.append(("the optimizer in host memory", replace(request, offload=Offload.OPTIMIZER)))
    if request.sequence > 1024:
        changes.append((f"sequences of {request.sequence // 2}", replace(request, sequence=request.sequence // 2)))
    for method in (Method.LORA, Method.QLORA):
        if request.method is Method.FULL or (request.method is Method.LORA and method is Method.QLORA):
            changes.append((method.value, replace(request, method=method)))
    return _working(changes, _first_fit_training)


def _first_fit_training(request: TrainingRequest) -> _Try | None:
    if _unsupported_training(request) is not None:
        return None
    found = _best_training(request)
    return found if found is not None and _fits(request, found) else None


def _working(
    changes: Iterable[tuple[str, _Request]], fit: Callable[[_Request], "_Try | None"]
) -> tuple[Alternative, ...]:
    found = [(change, fit(request)) for change, request in changes]
    return tuple(Alternative(change, hit.shape, hit.layout) for change, hit in found if hit is not None)


# ---- what can't be asked -----------------------------------------------------------------------------------------


def _unsupported_serving(request: ServingRequest) -> Refused | None:
    storage, accelerator = storage_of(request), request.accelerator
    if storage == "nf4":
        return Refused("UnsupportedFormat", "nf4 is the frozen base of a QLoRA training, no engine serves it")
    if not accelerator.runs(storage):
        runs = ", ".join(sorted(accelerator.dtypes | accelerator.quantizations))
        return Refused("UnsupportedFormat", f"{accelerator.name} does not run {storage} weights; it runs {runs}")
    if context_of(request) > request.architecture.context:
        limit = request.architecture.context
        return Refused("ContextTooLong", f"a context of {context_of(request):,} exceeds the model's {limit:,} tokens")
    if kv_dtype_of(request) == "fp8" and not accelerator.runs("fp8"):
        return Refused("UnsupportedFormat", f"{accelerator.name} can't keep an fp8 KV cache")
    return None


def _unsupported_training(request: TrainingRequest) -> Refused | None:
    accelerator = request.accelerator
    compute = {Precision.FP32: "fp32", Precision.FP8: "fp8"}.get(request.precision, "bf16")
    # Every device computes in fp32; profiles list it only where it is worth using.
    if compute != "fp32" and compute not in accelerator.dtypes:
        return Refused("UnsupportedFormat", f"{accelerator.name} does not compute in {compute}")
    if request.method is not Method.FULL:
        storage = base_format(request.method, request.precision, request.base_storage).name
        if request.method is Method.QLORA and storage != "nf4":
            return Refused("UnsupportedFormat", f"the base of QLoRA is nf4; over a {storage} base it is method LoRA")
        if storage != "fp32" and not accelerator.runs(storage):
            return Refused("UnsupportedFormat", f"{accelerator.name} does not run a {storage} base")
    return None


def _check_serving(request: ServingRequest) -> None:
    _check_devices(request)
    _within("context", request.context, None)
    _within("concurrency", request.concurrency, MOST_SEQUENCES)
    _within("step_tokens", request.step_tokens, None)
    if request.engine not in ENGINES or storage_of(request) not in FORMATS or kv_dtype_of(request) not in KV_BYTES:
        raise ValueError(f"unknown engine {request.engine}, weights {request.storage} or cache {request.kv_dtype}")
    if request.memory_fraction is not None and not 0 < request.memory_fraction <= 1:
        raise ValueError(f"memory fraction {request.memory_fraction} is not in (0, 1]")


def _check_training(request: TrainingRequest) -> None:
    _check_devices(request)
    _within("sequence", request.sequence, MOST_TOKENS)
    _within("global_batch", request.global_batch, MOST_SEQUENCES)
    _within("micro_batch", request.micro_batch, MOST_SEQUENCES)
    _within("total_tokens", request.total_tokens, MOST_TRAINED_TOKENS)
    _within("keep", request.keep, None)
    _within("adapter.rank", request.adapter.rank, None)
    _within("adapter.virtual_tokens", request.adapter.virtual_tokens, None)
    if request.base_storage is not None and request.base_storage not in FORMATS:
        raise ValueError(f"unknown format {request.base_storage} of the base")
    if request.volume_gb_s <= 0 or (request.network_gb_s is not None and request.network_gb_s <= 0):
        raise ValueError("bandwidths must be positive")


def _check_devices(request: ServingRequest | TrainingRequest) -> None:
    _within("nodes", request.nodes, MOST_NODES)
    _within("max_nodes", request.max_nodes, MOST_NODES)
    _within("per_node", request.per_node, MOST_PER_NODE)


def _within(name: str, number: int | None, most: int | None) -> None:
    if number is None or (number >= 1 and (most is None or number <= most)):
        return
    limit = f"from 1 to {most:,}" if most is not None else "at least 1"
    raise ValueError(f"{name} must be {limit}, not {number}")
