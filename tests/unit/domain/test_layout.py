"""Which layouts a model's shape allows, and in which order they are preferred."""

import pytest

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.layout import FixedDegrees, Layout, Sharding, divisors, stages, why_not_tensor
from deepseek_operator.domain.models.catalogue import find
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.sizing import serving_layouts, training_layouts
from deepseek_operator.domain.sizing.fit import Shape
from deepseek_operator.domain.sizing.request import Objective, TrainingRequest

BF16 = frozenset({"bf16"})
DEVICE = Accelerator("card", "any", "example.com/card", 80, {"bf16": 989}, 3.35, 8, "NVLink", 450, BF16, BF16)


def shape(name: str) -> Architecture:
    found = find(name).architecture
    assert found is not None
    return found


def allowed(name: str, storage: str, sliced: bool = True) -> list[int]:
    degrees = (1, 2, 3, 4, 8, 16, 32, 64)
    return [tensor for tensor in degrees if why_not_tensor(shape(name), storage, tensor, sliced) is None]


def test_fp8_blocks_of_v3_forbid_tensor_parallelism_32() -> None:
    assert allowed("deepseek-v3", "fp8") == [1, 2, 4, 8, 16]
    assert allowed("deepseek-v3", "bf16") == [1, 2, 4, 8, 16, 32, 64]
    reason = why_not_tensor(shape("deepseek-r1"), "fp8", 32, False)
    assert reason is not None
    assert "cuts fp8 blocks of 128" in reason


def test_groups_of_four_bit_weights_limit_tensor_parallelism() -> None:
    assert allowed("deepseek-r1-distill-qwen-14b", "bf16") == [1, 2, 4, 8]
    assert allowed("deepseek-r1-distill-qwen-14b", "awq") == [1, 2, 4]


def test_whole_experts_lift_the_limit_that_cut_experts_set() -> None:
    assert 8 not in allowed("deepseek-v2", "awq", sliced=True)
    assert 8 in allowed("deepseek-v2", "awq", sliced=False)


def test_head_counts_limit_tensor_parallelism() -> None:
    assert allowed("deepseek-coder-33b", "bf16") == [1, 2, 4, 8]  # 56 heads
    assert allowed("deepseek-r1-distill-qwen-1.5b", "bf16") == [1, 2, 4]  # 12 heads, 2 key-value heads
    assert allowed("deepseek-v4-flash", "mxfp4") == [1, 2, 4, 8]  # 8 output groups


def test_uneven_stages_give_the_rest_to_those_before_the_last() -> None:
    assert [len(stage) for stage in stages(61, 4)] == [15, 15, 16, 15]
    assert [len(stage) for stage in stages(61, 2)] == [31, 30]
    assert [layer for stage in stages(61, 7) for layer in stage] == list(range(61))


def test_latency_prefers_tensor_inside_the_node_and_stages_across() -> None:
    found = serving_layouts.candidates(
        shape("deepseek-r1"), "fp8", Shape(2, 8), FixedDegrees(), Objective.LATENCY
    )  # fmt: skip
    assert found[0] == Layout(tensor=8, pipeline=2, expert=8)
    assert all(layout.tensor <= 8 for layout in found)


def test_throughput_prefers_data_parallel_attention_with_all_experts_dealt_out() -> None:
    found = serving_layouts.candidates(
        shape("deepseek-r1"), "fp8", Shape(2, 8), FixedDegrees(), Objective.THROUGHPUT
    )  # fmt: skip
    assert found[0] == Layout(data=16, expert=16)


def test_dense_models_are_never_served_data_parallel_inside_a_replica() -> None:
    found = serving_layouts.candidates(
        shape("deepseek-r1-distill-llama-70b"), "bf16", Shape(1, 8), FixedDegrees(), Objective.THROUGHPUT
    )
    assert {layout.data for layout in found} == {1}


def test_a_fixed_tensor_degree_may_span_nodes() -> None:
    fixed = FixedDegrees(tensor=16)
    found = serving_layouts.candidates(shape("deepseek-r1"), "fp8", Shape(2, 8), fixed, Objective.LATENCY)
    assert {(layout.tensor, layout.pipeline) for layout in found} == {(16, 1)}


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        (FixedDegrees(tensor=7), "128 attention heads do not divide by 7"),
        (FixedDegrees(pipeline=64), "61 layers can't make 64 pipeline stages"),
        (FixedDegrees(expert=3), "256 experts do not divide by expert parallelism 3"),
        (FixedDegrees(tensor=8, pipeline=8), "makes 8 devices"),
    ],
)
def test_an_impossible_degree_is_named(fixed: FixedDegrees, message: str) -> None:
    assert message in serving_layouts.why_none(shape("deepseek-r1"), "fp8", Shape(1, 8), fixed)


def test_training_keeps_to_the_parallelism_that_the_trainer_offers() -> None:
    request = TrainingRequest(shape("deepseek-v3"), DEVICE, axes=frozenset({"data"}))
    assert training_layouts.candidates(request, Shape(4, 8)) == [
        Layout(data=32, sharding=Sharding.FSDP, shard=32)
    ]  # fmt: skip


def test_training_divides_the_global_batch() -> None:
    request = TrainingRequest(shape("deepseek-llm-7b"), DEVICE, global_batch=12, axes=frozenset({"data", "tensor"}))
    assert {layout.data for layout in training_layouts.candidates(request, Shape(1, 8))} == {1, 2, 4}


def test_hybrid_sharding_stays_inside_the_node() -> None:
    request = TrainingRequest(shape("deepseek-llm-7b"), DEVICE, sharding=Sharding.HSDP)
    for layout in training_layouts.candidates(request, Shape(4, 8)):
        assert layout.shard * layout.tensor <= 8
        assert layout.data % layout.shard == 0


def test_long_sequences_may_be_split_and_short_ones_are_not() -> None:
    def contexts(sequence: int) -> set[int]:
        request = TrainingRequest(shape("deepseek-r1-distill-llama-8b"), DEVICE, sequence=sequence)
        return {layout.context for layout in training_layouts.candidates(request, Shape(1, 8))}

    assert contexts(4096) == {1}
    assert contexts(32768) == {1, 2, 4}


def test_a_layout_reads_as_the_field_writes_it() -> None:
    layout = Layout(tensor=8, pipeline=2, data=4, expert=32, sharding=Sharding.FSDP, shard=4)
    assert str(layout) == "TP 8 × PP 2 × DP 4, EP 32, FSDP over 4"
    assert str(Layout()) == "one device"
    assert layout.gpus == 64


def test_divisors_are_all_of_them() -> None:
    assert divisors(12) == (1, 2, 3, 4, 6, 12)
