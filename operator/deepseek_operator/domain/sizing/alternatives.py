"""What would fit instead: single changes of a request, each one tried."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from deepseek_operator.domain.layout import Sharding
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.fit import Alternative
from deepseek_operator.domain.sizing.limits import unsupported_serving, unsupported_training
from deepseek_operator.domain.sizing.request import Objective, ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.search import Request, Try, best_of, best_training, holds, serving_tries
from deepseek_operator.domain.sizing.serving_memory import context_of, kv_dtype_of, sequences_that_fit, storage_of
from deepseek_operator.domain.sizing.shapes import shapes_to_try
from deepseek_operator.domain.sizing.training_state import Method, Offload, Optimizer
from deepseek_operator.domain.sizing.weights import FORMATS, stored_bytes

# fp32 and fp16 gain nothing, nf4 is for QLoRA, mxfp4 exists as published or not at all, gptq weighs what awq weighs.
_NEVER_OFFERED = ("fp32", "fp16", "nf4", "mxfp4", "gptq")
_SHORTER_CONTEXTS = tuple(1 << power for power in range(20, 11, -1))


def data_parallel_alternative(request: ServingRequest, found: Try) -> tuple[Alternative, ...]:
    """The same devices with data-parallel attention, where that holds more sequences."""
    if request.objective is Objective.THROUGHPUT or not request.architecture.replicates_kv or found.layout.tensor == 1:
        return ()
    wanted = replace(request, objective=Objective.THROUGHPUT)
    for other in serving_tries(wanted, found.shape):
        if other.memory.fits and other.layout.data > 1:
            now = sequences_that_fit(request, found.layout, found.memory)
            then = sequences_that_fit(request, other.layout, other.memory)
            if then > now:
                change = f"data-parallel attention with expert parallelism holds {then} full contexts instead of {now}"
                return (Alternative(change, other.shape, other.layout),)
    return ()


def serving_alternatives(request: ServingRequest) -> tuple[Alternative, ...]:
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


def _first_fit_serving(request: ServingRequest) -> Try | None:
    if unsupported_serving(request) is not None:
        return None
    found = best_of(request, shapes_to_try(request), serving_tries)
    return found if found is not None and holds(request, found) else None


CHUNKED = "a loss in pieces (crossEntropy: Chunked)"
"""The change that makes no logits of all tokens; the built-in trainer's name for it, and `size --fused-loss`."""

RECOMPUTED = "activations computed again"
"""How a change of ``activationRecomputation`` begins; `size` tries every level by itself."""

SHARED_BY_ALL = "states shared out over all nodes (parallelism.sharding: Full)"
"""The change that keeps no copy on each node."""


SMALL_MOMENTS = "moments in 8 bits (optimizer: AdamW8bit)"
"""The change that keeps a quarter of AdamW's moments."""


def training_alternatives(request: TrainingRequest) -> tuple[Alternative, ...]:
    """Each single change that makes the training fit, the least invasive first.

    Where neither a loss in pieces nor recomputation alone does, both together are tried.
    """
    changes: list[tuple[str, TrainingRequest]] = []
    if request.nodes is not None or request.per_node is not None:
        changes.append(("more devices", replace(request, nodes=None, per_node=None)))
    if request.sharding is Sharding.HSDP:
        changes.append((SHARED_BY_ALL, replace(request, sharding=Sharding.FSDP)))
    knobs = _memory_knobs(request)
    changes.extend(knobs)
    if knobs and not _working(knobs, _first_fit_training):
        changes.extend(_both_knobs(request))
    if request.optimizer is Optimizer.ADAMW:
        changes.append((SMALL_MOMENTS, replace(request, optimizer=Optimizer.ADAMW_8BIT)))
    if request.offload is Offload.NONE:
        changes.append(("the optimizer in host memory", replace(request, offload=Offload.OPTIMIZER)))
    if request.sequence > 1024:
        changes.append((f"sequences of {request.sequence // 2}", replace(request, sequence=request.sequence // 2)))
    for method in (Method.LORA, Method.QLORA):
        if request.method is Method.FULL or (request.method is Method.LORA and method is Method.QLORA):
            changes.append((method.value, replace(request, method=method)))
    return _working(changes, _first_fit_training)


def _memory_knobs(request: TrainingRequest) -> list[tuple[str, TrainingRequest]]:
    """What costs time and changes nothing that is learnt: a loss in pieces, and the first level of recomputation that fits."""
    changes = [] if request.fused_loss else [(CHUNKED, replace(request, fused_loss=True))]
    return [*changes, *_first_level(request)]


def _both_knobs(request: TrainingRequest) -> list[tuple[str, TrainingRequest]]:
    if request.fused_loss:
        return []
    return [(f"{change}, and {CHUNKED}", both) for change, both in _first_level(replace(request, fused_loss=True))]


def _first_level(request: TrainingRequest) -> list[tuple[str, TrainingRequest]]:
    """The level that computes least again among those that fit; none where the search is free to take any."""
    if request.recompute is None:
        return []
    levels = list(Recompute)
    for level in levels[levels.index(request.recompute) + 1 :]:
        if level is Recompute.SELECTIVE and (request.fixed.expert or 1) > 1:
            continue  # the built-in trainer computes no part of a layer again whose experts are dealt out
        more = replace(request, recompute=level)
        if _first_fit_training(more) is not None:
            return [(f"{RECOMPUTED} (activationRecomputation: {level.value})", more)]
    return []


def _first_fit_training(request: TrainingRequest) -> Try | None:
    if unsupported_training(request) is not None:
        return None
    found = best_training(request)
    return found if found is not None and holds(request, found) else None


def _working(changes: Iterable[tuple[str, Request]], fit: Callable[[Request], "Try | None"]) -> tuple[Alternative, ...]:
    found = [(change, fit(request)) for change, request in changes]
    return tuple(Alternative(change, hit.shape, hit.layout) for change, hit in found if hit is not None)
