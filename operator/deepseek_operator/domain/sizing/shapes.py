"""Which shapes are worth a look: nodes and devices on each, fewest first, those that can't hold the model left out."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from heapq import heappop, heappush

from deepseek_operator.domain.layout import divisors
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.models.parameters import total
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.fit import Shape
from deepseek_operator.domain.sizing.overheads import CONTEXT_BYTES, TRAINING_BUDGET
from deepseek_operator.domain.sizing.request import ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.serving_memory import least_cache, storage_of
from deepseek_operator.domain.sizing.training_memory import least_activations
from deepseek_operator.domain.sizing.training_state import Method, Offload, base_format, policy
from deepseek_operator.domain.sizing.weights import FORMATS, stored_bytes


def shapes_to_try(request: ServingRequest | TrainingRequest) -> Iterator[Shape]:
    """Shapes to try, fewest devices first; with both numbers fixed, that one and then smaller ones.

    Shapes whose devices together could not hold the model are left out, save for the largest, whose miss is reported.
    """
    usual, nodes, per_node = request.accelerator.per_node, request.nodes, request.per_node
    if not request.accelerator.joins_devices:
        usual, per_node, nodes = 1, 1, nodes or 1
    if isinstance(request, ServingRequest) and not request.engine.parallel:
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
