"""The one entry to sizing: a request in, ``Sized`` or ``Refused`` out. Pure arithmetic, no cluster.

The rule: the fewest devices that fit, counted in whole tiles of a node and then in whole nodes; among the layouts of
that many devices the first in the order of ``serving_layouts`` and ``training_layouts`` that is not tight, or else the
smallest. Devices that the user has fixed are all used where any layout uses them all, otherwise as many as can be, with a warning.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Generic

from deepseek_operator.domain.models.catalogue import Model
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.sizing import serving_layouts, training_layouts
from deepseek_operator.domain.sizing.alternatives import serving_alternatives, training_alternatives
from deepseek_operator.domain.sizing.answer import longest_instead, out_of_memory, sized_serving, sized_training
from deepseek_operator.domain.sizing.fit import Refused, Sized
from deepseek_operator.domain.sizing.limits import (
    check_serving,
    check_training,
    unsupported_serving,
    unsupported_training,
)
from deepseek_operator.domain.sizing.request import ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.search import Request, Try, best_of, best_training, holds, serving_tries
from deepseek_operator.domain.sizing.serving_memory import storage_of
from deepseek_operator.domain.sizing.shapes import shapes_to_try

REMEMBERED = 256
"""Answers that are kept, so that a spec that is looked at again costs nothing."""


def architecture_of(model: Model) -> Architecture | Refused:
    """Return the shape of a catalogue entry, or why it can't be sized."""
    if model.architecture is not None:
        return model.architecture
    return Refused(
        "UnknownShape",
        f"{model.id} is a known model whose config.json has not been seen ({model.source}); give its shape as a"
        " custom model to have it sized",
    )


class _Asked(Generic[Request]):
    """A request as a key: equal when every number in it is."""

    def __init__(self, request: Request) -> None:
        self.request: Request = request
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
    check_serving(request)
    unsupported = unsupported_serving(request)
    if unsupported is not None:
        return replace(unsupported, alternatives=serving_alternatives(request))
    found = best_of(request, shapes_to_try(request), serving_tries)
    match found:
        case Try() if holds(request, found):
            return sized_serving(request, found)
        case Try():
            refused = out_of_memory(found, request.accelerator)
            message = refused.message + longest_instead(request, found)
            return replace(refused, message=message, alternatives=serving_alternatives(request))
        case None:
            shape = next(shapes_to_try(request))
            message = serving_layouts.why_none(request.architecture, storage_of(request), shape, request.fixed)
            return Refused("NoLayout", message, shape, alternatives=serving_alternatives(request))


def size_training(request: TrainingRequest) -> Sized | Refused:
    """Return the smallest gang that trains the request, or why there is none and what would fit.

    The last answers are remembered. Raises ValueError for a number that no request may hold.
    """
    return _size_training(_Asked(request))


@lru_cache(maxsize=REMEMBERED)
def _size_training(asked: _Asked[TrainingRequest]) -> Sized | Refused:
    request: TrainingRequest = asked.request
    check_training(request)
    unsupported = unsupported_training(request)
    if unsupported is not None:
        return unsupported
    found = best_training(request)
    match found:
        case Try() if holds(request, found):
            return sized_training(request, found)
        case Try():
            refused = out_of_memory(found, request.accelerator)
            return replace(refused, alternatives=training_alternatives(request))
        case None:
            shape = next(shapes_to_try(request))
            return Refused("NoLayout", training_layouts.why_none(request, shape), shape)
