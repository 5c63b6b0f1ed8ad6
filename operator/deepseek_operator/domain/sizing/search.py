"""Which layout of which devices: the fewest that fit, and on them the first that is not tight, or else the smallest."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice, takewhile
from typing import TypeAlias, TypeVar

from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.sizing import serving_layouts, training_layouts
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.fit import Memory, Shape
from deepseek_operator.domain.sizing.overheads import TRAINING_BUDGET
from deepseek_operator.domain.sizing.request import ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.serving_memory import is_paged_compressed, serving_memory, storage_of
from deepseek_operator.domain.sizing.shapes import shapes_to_try
from deepseek_operator.domain.sizing.training_memory import least_activations, state_bytes, training_memory

Request = TypeVar("Request", ServingRequest, TrainingRequest)
MOST_TRIES, MOST_SHAPES = 20_000, 1024
"""What one search looks at before it answers with the best so far, half a second's work. The dearest of the catalogue's
models takes 14,000 tries: V4-Pro over 48 GiB cards, which wants 600 of them."""
_TIGHT_SERVING, _TIGHT_TRAINING = 0.90, 0.85
"""Part of the budget above which a fit is called tight. Weights and cache are counted to a few hundredths, the
activations of a training to about a tenth."""
_VERY_TIGHT, _ALIKE = 0.95, 0.02
"""Part of the budget above which a smaller need is worth a slower step, and by which two needs count as alike."""


@dataclass(frozen=True)
class Try:
    """One layout of one shape, with what its fullest device needs."""

    shape: Shape
    layout: Layout
    memory: Memory
    recompute: Recompute | None = None


def best_of(request: Request, shapes: Iterable[Shape], tries: Callable[[Request, Shape], Iterator[Try]]) -> Try | None:
    """Return the best try on the first shape where any fits, else the nearest miss, else None: nothing to try.

    After ``MOST_TRIES`` the best so far is the answer: by number and not by time, so that it is always the same.
    """
    nearest: Try | None = None
    left = MOST_TRIES
    for shape in islice(shapes, MOST_SHAPES):
        fitting: list[Try] = []
        for found in islice(tries(request, shape), left):
            left -= 1
            if not holds(request, found):
                nearest = found if nearest is None or _missing(found) < _missing(nearest) else nearest
            elif not is_tight(request, found.memory):
                return found
            else:
                fitting.append(found)
        if fitting:
            return _safest(fitting)
        if left <= 0:
            break
    return nearest


def is_tight(request: ServingRequest | TrainingRequest, memory: Memory) -> bool:
    """True when a fit leaves less than the errors of its estimate."""
    part = _TIGHT_SERVING if isinstance(request, ServingRequest) else _TIGHT_TRAINING
    return memory.need_bytes > part * memory.budget_bytes


def _safest(tight: list[Try]) -> Try:
    """Where every fit is tight: the first with a twentieth to spare, else the first that needs hardly the least."""
    least = min(found.memory.need_bytes for found in tight)
    for found in tight:
        budget = found.memory.budget_bytes
        if found.memory.need_bytes <= max(_VERY_TIGHT * budget, least + _ALIKE * budget):
            return found
    raise AssertionError("the smallest is like itself")


def _missing(found: Try) -> float:
    return found.memory.missing_bytes


def serving_tries(request: ServingRequest, shape: Shape) -> Iterator[Try]:
    """Layouts of one shape for a replica, each with what it needs."""
    storage = storage_of(request)
    for layout in serving_layouts.candidates(request.architecture, storage, shape, request.fixed, request.objective):
        # The cache of compressed attention is known by measurement alone, and stages inside a node were not measured.
        if request.fixed.pipeline is None and is_paged_compressed(request) and layout.pipeline > shape.nodes:
            continue
        yield Try(shape, layout, serving_memory(request, layout, shape))


def best_training(request: TrainingRequest) -> Try | None:
    """The best try; sequences too short to be split gladly are split where that alone fits a shape."""
    room = _room(request)
    found = best_of(request, shapes_to_try(request), partial(_training_tries, room=room))
    if not training_layouts.may_split_shorter(request):
        return found
    fits = found is not None and holds(request, found)
    better = takewhile(lambda shape: not fits or found is None or shape != found.shape, shapes_to_try(request))
    split = best_of(request, better, partial(_training_tries, room=room, split_any=True))
    return split if split is not None and holds(request, split) else found


_LevelRoom: TypeAlias = Callable[[int, int, Recompute], float]


def _room(request: TrainingRequest) -> _LevelRoom:
    """What activations leave of a device, at most, by the ranks that split a sequence, the stages, and the level."""
    budget = TRAINING_BUDGET * request.accelerator.memory_bytes

    @cache
    def room(split: int, stages: int, level: Recompute) -> float:
        return budget - least_activations(request, split, stages, level)

    return room


def _training_tries(request: TrainingRequest, shape: Shape, room: _LevelRoom, split_any: bool = False) -> Iterator[Try]:
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
        yield Try(shape, layout, training_memory(request, layout, shape, level, states(layout)), level)


def holds(request: ServingRequest | TrainingRequest, found: Try) -> bool:
    """Whether device and host hold it."""
    host = request.host_memory_gib if isinstance(request, TrainingRequest) else None
    return found.memory.fits and (host is None or found.memory.host_bytes * found.shape.per_node <= host * GIB)
