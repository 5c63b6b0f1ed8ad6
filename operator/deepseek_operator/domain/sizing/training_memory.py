"""The memory of one device of a training, line by line."""

from dataclasses import replace

from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.sizing.activations import Recompute, fused_loss_bytes, logits_bytes, training_bytes
from deepseek_operator.domain.sizing.fit import Line, Memory, Shape
from deepseek_operator.domain.sizing.overheads import CONTEXT_BYTES, TRAINING_BUDGET, runtime_bytes
from deepseek_operator.domain.sizing.request import TrainingRequest
from deepseek_operator.domain.sizing.training_state import (
    Method,
    Precision,
    StateBytes,
    adapter_states,
    base_format,
    full_states,
    matrix_share,
    policy,
    trained_parameters,
)

FROZEN, PARAMETERS, GRADIENTS, OPTIMIZER = "frozen base", "parameters", "gradients", "optimizer"
GATHERED, ACTIVATIONS, LOGITS, RUNTIME = "gathered blocks", "activations", "logits", "runtime"


def training_memory(
    request: TrainingRequest, layout: Layout, shape: Shape, recompute: Recompute, states: StateBytes
) -> Memory:
    """Return the memory of the fullest device, ``states`` being what ``state_bytes`` says of this layout.

    States of the fullest stage, activations of the first and logits of the last are added up: no device holds more.
    """
    micro, value_bytes = sequences_of(request), 4 if request.precision is Precision.FP32 else 2
    flight = min(layout.pipeline, accumulation_of(request, layout))
    kept = training_bytes(request.architecture, layout, request.sequence, micro, flight, recompute, value_bytes)
    loss = fused_loss_bytes if request.fused_loss else logits_bytes
    lines = (
        Line(FROZEN, states.frozen),
        Line(PARAMETERS, states.parameters),
        Line(GRADIENTS, states.gradients),
        Line(OPTIMIZER, states.optimizer),
        Line(GATHERED, states.gathered),
        Line(ACTIVATIONS, kept),
        Line(LOGITS, loss(request.architecture, layout, request.sequence, micro)),
        Line(RUNTIME, runtime_bytes(layout, request.accelerator, shape.nodes)),
    )
    budget = TRAINING_BUDGET * request.accelerator.memory_bytes
    return Memory(tuple(line for line in lines if line.bytes), budget, states.host)


def least_activations(request: TrainingRequest, split: int, stages: int, recompute: Recompute) -> float:
    """Bytes of activations, logits and context that no layout goes below which splits a sequence over ``split`` ranks
    (tensor × context) and the layers over ``stages``."""
    micro, value_bytes = sequences_of(request), 4 if request.precision is Precision.FP32 else 2
    layout = Layout(context=split, pipeline=stages)
    flight = stages if request.global_batch is None else 1
    kept = training_bytes(request.architecture, layout, request.sequence, micro, flight, recompute, value_bytes)
    loss = fused_loss_bytes if request.fused_loss else logits_bytes
    return kept + loss(request.architecture, layout, request.sequence, micro) + CONTEXT_BYTES


def state_bytes(request: TrainingRequest, layout: Layout) -> StateBytes:
    """Return the model states of the fullest device."""
    matrices = matrix_share(request.architecture, request.method)
    states = policy(request.precision, request.optimizer, layout.sharding, request.fused_backward, matrices)
    if request.method is Method.FULL:
        full = full_states(request.architecture, layout, states, request.offload)
        return replace(full, frozen=_reference(request, layout)) if request.has_reference else full
    base = base_format(request.method, request.precision, request.base_storage)
    trained = trained_parameters(request.architecture, request.method, request.adapter)
    return adapter_states(request.architecture, layout, base, trained, states, request.offload, request.compressed)


def _reference(request: TrainingRequest, layout: Layout) -> float:
    """Bytes of a frozen copy of the model on the fullest device, sharded as its parameters are."""
    base = base_format(Method.FULL, request.precision, None)
    nothing = policy(request.precision, request.optimizer, layout.sharding)
    return adapter_states(request.architecture, layout, base, 0, nothing).frozen


def micro_batch_of(request: TrainingRequest) -> int:
    """Return the examples per device and pass."""
    return request.micro_batch or 1


def sequences_of(request: TrainingRequest) -> int:
    """Return the sequences per device and pass."""
    return micro_batch_of(request) * (2 if request.pairs else 1)


def accumulation_of(request: TrainingRequest, layout: Layout) -> int:
    """Return the micro-batches per step; without a global batch just enough to fill the pipeline."""
    if request.global_batch is None:
        return layout.pipeline
    return max(1, request.global_batch // (layout.data * micro_batch_of(request)))
