"""What holds for every model, device and request: monotony, divisibility, and that no device is forgotten."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.layout import Layout, Sharding, stages, why_not_tensor
from deepseek_operator.domain.models.catalogue import models
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.programs.engines.table import memory_lines
from deepseek_operator.domain.sizing import serving_layouts, size_serving, size_training, training_layouts
from deepseek_operator.domain.sizing.fit import Refused, Shape, Sized
from deepseek_operator.domain.sizing.request import Objective, ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.training_state import Method, Offload, Optimizer, Precision, full_states, policy
from deepseek_operator.domain.sizing.weights import FORMATS, heaviest_rank
from deepseek_operator.domain.values.quantity import binary, canonical, parse
from tests.support.search import examples

VLLM = memory_lines()["vllm"]

EVERY = frozenset(FORMATS)
SIZED = [model.architecture for model in models() if model.architecture is not None]
QUICK = settings(max_examples=examples(20), deadline=None)

architectures = st.sampled_from(SIZED)
memories = st.floats(8, 300)
node_sizes = st.sampled_from([1, 2, 4, 8, 16])
shapes = st.builds(Shape, st.integers(1, 5), st.integers(1, 9))
contexts = st.sampled_from([512, 4096])
objectives = st.sampled_from(list(Objective))
methods = st.sampled_from(list(Method))
precisions = st.sampled_from([Precision.BF16, Precision.PURE_BF16, Precision.FP32])


def device(memory_gib: float, per_node: int = 8, link: str = "NVLink") -> Accelerator:
    peaks = {"bf16": 989.0}
    return Accelerator("d", "any", "example.com/d", memory_gib, peaks, 3.35, per_node, link, 450, EVERY, EVERY)


def serving(architecture: Architecture, memory: float, shape: Shape, context: int) -> ServingRequest:
    card = device(memory, shape.per_node)
    return ServingRequest(architecture, card, VLLM, context=context, nodes=shape.nodes, per_node=shape.per_node)


def training(architecture: Architecture, memory: float, shape: Shape, method: Method) -> TrainingRequest:
    card = device(memory, shape.per_node)
    return TrainingRequest(
        architecture, card, method=method, sequence=2048, nodes=shape.nodes, per_node=shape.per_node
    )  # fmt: skip


def keeps_fitting(before: Sized | Refused, after: Sized | Refused) -> None:
    assert isinstance(before, Refused) or isinstance(after, Sized), (before, after)


@QUICK
@given(architectures, memories, st.floats(1, 4), shapes, contexts)
def test_more_memory_never_turns_serving_into_not_fitting(
    architecture: Architecture, memory: float, factor: float, shape: Shape, context: int
) -> None:
    small, large = (serving(architecture, amount, shape, context) for amount in (memory, memory * factor))
    keeps_fitting(size_serving(small), size_serving(large))


@QUICK
@given(architectures, memories, st.floats(1, 4), shapes, methods)
def test_more_memory_never_turns_training_into_not_fitting(
    architecture: Architecture, memory: float, factor: float, shape: Shape, method: Method
) -> None:
    small, large = (training(architecture, amount, shape, method) for amount in (memory, memory * factor))
    keeps_fitting(size_training(small), size_training(large))


@QUICK
@given(architectures, memories, shapes, st.booleans(), contexts)
def test_more_devices_never_turn_serving_into_not_fitting(
    architecture: Architecture, memory: float, shape: Shape, wider: bool, context: int
) -> None:
    request = replace(serving(architecture, memory, shape, context), accelerator=device(memory))
    more = Shape(shape.nodes, shape.per_node + 1) if wider else Shape(shape.nodes + 1, shape.per_node)
    keeps_fitting(size_serving(request), size_serving(replace(request, nodes=more.nodes, per_node=more.per_node)))


@QUICK
@given(architectures, memories, shapes, st.booleans(), methods)
def test_more_devices_never_turn_training_into_not_fitting(
    architecture: Architecture, memory: float, shape: Shape, wider: bool, method: Method
) -> None:
    request = replace(training(architecture, memory, shape, method), accelerator=device(memory), global_batch=96)
    more = Shape(shape.nodes, shape.per_node + 1) if wider else Shape(shape.nodes + 1, shape.per_node)
    keeps_fitting(size_training(request), size_training(replace(request, nodes=more.nodes, per_node=more.per_node)))


@QUICK
@given(architectures, memories, shapes, st.sampled_from([("bf16", "fp8"), ("fp8", "w4a8"), ("bf16", "int8"), ("int8", "awq"), ("bf16", "nvfp4")]), contexts)  # fmt: skip
def test_smaller_weights_never_turn_serving_into_not_fitting(
    architecture: Architecture, memory: float, shape: Shape, formats: tuple[str, str], context: int
) -> None:
    request = serving(architecture, memory, shape, context)
    keeps_fitting(*(size_serving(replace(request, storage=storage)) for storage in formats))


@QUICK
@given(architectures, memories, shapes)
def test_a_smaller_cache_never_turns_serving_into_not_fitting(
    architecture: Architecture, memory: float, shape: Shape
) -> None:
    request = serving(architecture, memory, shape, 4096)
    keeps_fitting(*(size_serving(replace(request, kv_dtype=dtype)) for dtype in ("bf16", "fp8")))


@QUICK
@given(architectures, memories, shapes, st.integers(512, 131_072), st.integers(1, 8))
def test_a_shorter_context_and_fewer_sequences_never_turn_serving_into_not_fitting(
    architecture: Architecture, memory: float, shape: Shape, context: int, sequences: int
) -> None:
    long = min(context, architecture.context)
    many = replace(serving(architecture, memory, shape, long), concurrency=sequences)
    keeps_fitting(size_serving(many), size_serving(replace(many, context=long // 2)))
    keeps_fitting(size_serving(many), size_serving(replace(many, concurrency=max(1, sequences // 2))))


@QUICK
@given(architectures, st.floats(20, 200), shapes, methods, st.sampled_from([4096, 32_768, 65_536]))
def test_a_shorter_sequence_never_turns_training_into_not_fitting(
    architecture: Architecture, memory: float, shape: Shape, method: Method, sequence: int
) -> None:
    request = replace(training(architecture, memory, shape, method), sequence=sequence)
    keeps_fitting(size_training(request), size_training(replace(request, sequence=sequence // 2)))


@QUICK
@given(architectures, st.floats(20, 200), node_sizes, methods, st.sampled_from([4096, 32_768, 65_536]))
def test_a_shorter_sequence_never_takes_more_devices(
    architecture: Architecture, memory: float, per_node: int, method: Method, sequence: int
) -> None:
    card = device(memory, per_node)
    request = TrainingRequest(architecture, card, method=method, sequence=sequence, max_nodes=8)
    long, short = (size_training(replace(request, sequence=length)) for length in (sequence, sequence // 2))
    keeps_fitting(long, short)
    if isinstance(long, Sized) and isinstance(short, Sized):
        assert short.shape.gpus <= long.shape.gpus


@settings(max_examples=examples(100), deadline=None)
@given(
    architectures, memories, shapes, contexts, st.integers(1, 16), st.sampled_from(["vllm", "sglang", "tensorrt-llm"])
)
def test_a_replica_holds_what_it_was_sized_for(
    architecture: Architecture, memory: float, shape: Shape, context: int, sequences: int, engine: str
) -> None:
    request = replace(
        serving(architecture, memory, shape, context), concurrency=sequences, engine=memory_lines()[engine]
    )
    result = size_serving(request)
    if isinstance(result, Sized):
        assert result.serving is not None
        assert result.serving.sequences >= sequences
        assert result.serving.longest_sequence >= context


@QUICK
@given(architectures, memories, node_sizes, objectives)
def test_a_sized_replica_fits_respects_the_shape_and_multiplies_out(
    architecture: Architecture, memory: float, per_node: int, objective: Objective
) -> None:
    request = ServingRequest(architecture, device(memory, per_node), VLLM, context=4096, objective=objective)
    result = size_serving(request)
    if isinstance(result, Refused):
        return
    layout = result.layout
    assert layout.gpus == result.shape.gpus == result.nodes * result.per_node
    assert result.memory.fits
    assert per_node % layout.tensor == 0
    assert layout.pipeline <= architecture.layers
    assert why_not_tensor(architecture, result.storage, layout.tensor, layout.expert == 1) is None
    if architecture.experts is not None:
        assert architecture.experts.routed % layout.expert == 0
        assert layout.expert in (1, layout.tensor * layout.data)


@QUICK
@given(architectures, memories, node_sizes)
def test_one_node_less_would_not_have_served(architecture: Architecture, memory: float, per_node: int) -> None:
    request = ServingRequest(architecture, device(memory, per_node), VLLM, context=4096, max_nodes=16)
    result = size_serving(request)
    if isinstance(result, Sized) and result.nodes > 2:
        assert isinstance(size_serving(replace(request, nodes=result.nodes - 1)), Refused)


@QUICK
@given(architectures, st.floats(40, 300), node_sizes, methods, st.sampled_from(list(Sharding)))
def test_a_sized_training_fits_and_multiplies_out(
    architecture: Architecture, memory: float, per_node: int, method: Method, sharding: Sharding
) -> None:
    request = TrainingRequest(
        architecture, device(memory, per_node), method=method, sharding=sharding, sequence=2048, global_batch=256,
        max_nodes=8,
    )  # fmt: skip
    result = size_training(request)
    if isinstance(result, Refused):
        return
    layout = result.layout
    assert layout.gpus == layout.tensor * layout.pipeline * layout.data * layout.context == result.shape.gpus
    assert result.memory.fits
    assert layout.tensor <= per_node
    assert layout.data % layout.shard == 0
    assert 2048 % (layout.tensor * (2 * layout.context if layout.context > 1 else 1)) == 0
    assert result.training is not None
    assert layout.data * result.training.micro_batch * result.training.accumulation == 256
    if architecture.experts is not None:
        assert (layout.data * layout.context * layout.tensor) % layout.expert == 0
        assert architecture.experts.routed % layout.expert == 0


@QUICK
@given(architectures, st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8, 32]), precisions, st.sampled_from(list(Optimizer)))  # fmt: skip
def test_each_further_step_of_sharding_never_raises_the_bytes_of_a_device(
    architecture: Architecture, tensor: int, data: int, precision: Precision, optimizer: Optimizer
) -> None:
    sizes = []
    for sharding in (Sharding.NONE, Sharding.ZERO1, Sharding.ZERO2, Sharding.ZERO3, Sharding.FSDP):
        shard = 1 if sharding is Sharding.NONE else data
        layout = Layout(tensor=tensor, data=data, sharding=sharding, shard=shard)
        sizes.append(full_states(architecture, layout, policy(precision, optimizer, sharding)).device)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(sizes)), sizes


@QUICK
@given(
    architectures, st.sampled_from([Sharding.ZERO1, Sharding.ZERO2, Sharding.ZERO3, Sharding.FSDP]), st.integers(1, 64)
)
def test_sharding_over_more_ranks_never_raises_the_bytes_of_a_device(
    architecture: Architecture, sharding: Sharding, data: int
) -> None:
    states = policy(Precision.BF16, Optimizer.ADAMW, sharding)
    one, more = (
        full_states(architecture, Layout(data=ranks, sharding=sharding, shard=ranks), states).device
        for ranks in (data, 2 * data)
    )
    assert more <= one * (1 + 1e-12)


@QUICK
@given(architectures, st.sampled_from(["bf16", "fp8", "awq"]), st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 20))
def test_wider_tensor_and_longer_pipelines_never_raise_the_weights_of_a_device(
    architecture: Architecture, storage: str, tensor: int, pipeline: int
) -> None:
    here = heaviest_rank(architecture, FORMATS[storage], Layout(tensor=tensor, pipeline=pipeline)).total
    assert heaviest_rank(architecture, FORMATS[storage], Layout(tensor=2 * tensor, pipeline=pipeline)).total <= here
    # A rest of layers may land beside the head, so a stage more can cost a layer's share, never a stage's.
    whole = heaviest_rank(architecture, FORMATS[storage], Layout(tensor=tensor)).total
    assert here <= whole * (1 + 1e-12)


@QUICK
@given(architectures, st.integers(1, 30))
def test_stages_cover_every_layer_once(architecture: Architecture, pipeline: int) -> None:
    assume(pipeline <= architecture.layers)
    parts = list(stages(architecture.layers, pipeline))
    assert [layer for part in parts for layer in part] == list(range(architecture.layers))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@QUICK
@given(architectures, shapes, st.sampled_from(list(Sharding)))
def test_every_candidate_fills_its_shape(architecture: Architecture, shape: Shape, sharding: Sharding) -> None:
    request = TrainingRequest(architecture, device(80), sharding=sharding)
    free = ServingRequest(architecture, device(80), VLLM).fixed
    found = training_layouts.candidates(request, shape)
    found += serving_layouts.candidates(architecture, "bf16", shape, free, Objective.LATENCY)
    assert found
    assert {layout.gpus for layout in found} == {shape.gpus}


@QUICK
@given(architectures, st.floats(40, 200), shapes, methods)
def test_offloading_never_turns_training_into_not_fitting(
    architecture: Architecture, memory: float, shape: Shape, method: Method
) -> None:
    request = training(architecture, memory, shape, method)
    results = [size_training(replace(request, offload=offload)) for offload in Offload]
    keeps_fitting(results[0], results[1])
    keeps_fitting(results[1], results[2])


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, 1 << 62))
def test_bytes_survive_being_written_as_a_quantity(amount: int) -> None:
    assert parse(binary(amount)) == amount
    assert parse(canonical(binary(amount))) == amount


@settings(max_examples=examples(100), deadline=None)
@given(st.decimals(min_value=0, max_value=10**9, places=3), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_the_canonical_form_keeps_the_value_and_is_its_own_canonical_form(number: object, suffix: str) -> None:
    text = f"{number}{suffix}"
    assert parse(canonical(text)) == parse(text)
    assert canonical(canonical(text)) == canonical(text)
