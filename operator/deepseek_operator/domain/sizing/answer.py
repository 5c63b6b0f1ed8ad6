"""What a person is told of the best try: its figures if it fits, what is missing if it does not."""

from deepseek_operator.domain.devices.accelerator import GIB, Accelerator
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.models.parameters import active, total
from deepseek_operator.domain.sizing import serving_layouts, training_layouts
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.alternatives import data_parallel_alternative
from deepseek_operator.domain.sizing.checkpoint_size import checkpoint_size
from deepseek_operator.domain.sizing.fit import Refused, ServingFigures, Sized, TrainingFigures
from deepseek_operator.domain.sizing.flops import ServingSpeed, serving_speed, training_flops_per_token, training_speed
from deepseek_operator.domain.sizing.notices import (
    MEASURED_V4,
    fullest,
    gib,
    kv_advice,
    training_warnings,
    unmeasured,
    warnings,
)
from deepseek_operator.domain.sizing.overheads import FRAGMENTATION
from deepseek_operator.domain.sizing.request import ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.search import Try
from deepseek_operator.domain.sizing.serving_memory import (
    WEIGHTS,
    context_of,
    is_paged_compressed,
    longest_that_fits,
    sequences_that_fit,
    storage_of,
)
from deepseek_operator.domain.sizing.training_memory import accumulation_of, micro_batch_of
from deepseek_operator.domain.sizing.training_state import matrix_share, trained_parameters
from deepseek_operator.domain.sizing.weights import FORMATS, stored_bytes


def sized_serving(request: ServingRequest, found: Try) -> Sized:
    """The replica with its figures, reasons and warnings."""
    architecture, layout, memory = request.architecture, found.layout, found.memory
    return Sized(
        shape=found.shape,
        layout=layout,
        memory=memory,
        storage=storage_of(request),
        explanation=(
            *serving_layouts.explain(architecture, storage_of(request), layout, found.shape, request.accelerator),
            fullest(memory),
        ),
        warnings=(
            *warnings(request, found, memory.bytes_of(WEIGHTS) * FRAGMENTATION),
            *kv_advice(request, layout),
            *unmeasured(request, found),
        ),
        serving=ServingFigures(
            context=context_of(request),
            sequences=sequences_that_fit(request, layout, memory),
            longest_sequence=longest_that_fits(request, layout, memory),
            speed=_serving_speed(request, layout),
        ),
        alternatives=data_parallel_alternative(request, found),
    )


def sized_training(request: TrainingRequest, found: Try) -> Sized:
    """The gang with its figures, reasons and warnings."""
    assert found.recompute is not None
    return Sized(
        shape=found.shape,
        layout=found.layout,
        memory=found.memory,
        storage=request.precision.value,
        explanation=(
            *training_layouts.explain(request, found.layout, found.shape),
            _recomputation(found.recompute, request.recompute is None),
            fullest(found.memory),
        ),
        warnings=(*warnings(request, found, 0.0), *training_warnings(request, found.shape)),
        training=_training_figures(request, found, found.recompute),
    )


def _recomputation(level: Recompute, chosen: bool) -> str:
    what = "no recomputation" if level is Recompute.NONE else f"{level.value.lower()} recomputation"
    return f"{what}, {'the cheapest step that is not tight, or the smallest' if chosen else 'as asked'}"


def _training_figures(request: TrainingRequest, found: Try, recompute: Recompute) -> TrainingFigures:
    architecture, shape = request.architecture, found.shape
    trained = trained_parameters(architecture, request.method, request.adapter)
    size = checkpoint_size(
        total(architecture),
        trained,
        request.method,
        request.precision,
        request.optimizer,
        merges=request.merges,
        matrices=matrix_share(architecture, request.method),
    )
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


def out_of_memory(nearest: Try, accelerator: Accelerator) -> Refused:
    """What the nearest miss lacks, on its device or its host."""
    memory, shape = nearest.memory, nearest.shape
    if memory.fits:  # devices would hold it, their hosts do not
        host = memory.host_bytes * shape.per_node
        return Refused(
            "OutOfHostMemory", f"offloading keeps {gib(host)} GiB on each node", shape, nearest.layout, memory
        )
    parts = ", ".join(f"{line.name} {gib(line.bytes)}" for line in memory.lines if line.bytes >= GIB / 20)
    return Refused(
        "OutOfMemory",
        f"on {shape} × {accelerator.name} the fullest device lacks {gib(memory.missing_bytes)} GiB:"
        f" it needs {gib(memory.need_bytes)} of the {gib(memory.budget_bytes)} GiB that may be used ({parts})",
        shape,
        nearest.layout,
        memory,
    )


def longest_instead(request: ServingRequest, nearest: Try) -> str:
    """What the nearest miss would hold of one sequence, where its weights leave room for any."""
    longest = longest_that_fits(request, nearest.layout, nearest.memory)
    if longest == 0 or request.concurrency > 1:
        return ""
    told = f"; the longest single sequence that fits there by {nearest.layout} is {longest:,} tokens"
    return told + (f"; {MEASURED_V4}" if is_paged_compressed(request) else "")
