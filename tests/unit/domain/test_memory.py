"""The lines of a device's memory: cache, states, activations, overheads, checkpoints, FLOPs."""

from dataclasses import replace

import pytest

from deepseek_operator.domain.devices.accelerator import GIB, Accelerator
from deepseek_operator.domain.devices.profiles import resolve
from deepseek_operator.domain.layout import FixedDegrees, Layout, Sharding, stages
from deepseek_operator.domain.models.catalogue import find
from deepseek_operator.domain.models.model import Architecture, LatentAttention
from deepseek_operator.domain.models.parameters import total
from deepseek_operator.domain.programs.engines.table import ENGINES, memory_lines
from deepseek_operator.domain.sizing import size_serving, size_training
from deepseek_operator.domain.sizing.activations import (
    Recompute,
    layer_values,
    logits_bytes,
    step_peak_bytes,
    training_bytes,
)
from deepseek_operator.domain.sizing.adapter_slots import slot_bytes
from deepseek_operator.domain.sizing.checkpoint_size import checkpoint_size
from deepseek_operator.domain.sizing.fit import Refused, Sized
from deepseek_operator.domain.sizing.flops import training_flops_per_token, training_speed
from deepseek_operator.domain.sizing.kv_cache import bytes_per_token, longest_sequence, sequence_bytes
from deepseek_operator.domain.sizing.overheads import indexer_workspace_bytes, runtime_bytes
from deepseek_operator.domain.sizing.report import render
from deepseek_operator.domain.sizing.request import ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.training_state import (
    Adapter,
    Method,
    Offload,
    Optimizer,
    Precision,
    adapter_states,
    full_states,
    matrix_share,
    policy,
    split_states,
    trained_parameters,
)
from deepseek_operator.domain.sizing.weights import FORMATS, RankShare, heaviest_rank, stage_totals

VLLM = memory_lines()["vllm"]

BF16 = frozenset({"bf16"})


def shape(name: str) -> Architecture:
    found = find(name).architecture
    assert found is not None
    return found


def device(interconnect: str) -> Accelerator:
    return Accelerator("card", "any", "example.com/card", 80, {"bf16": 989}, 3.35, 8, interconnect, 450, BF16, BF16)


# ---- cache -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bf16", "fp8"),
    [
        ("deepseek-v3", 70_272, 40_016),
        ("deepseek-v3.2", 78_324, 48_068),
        ("deepseek-v2", 69_120, 39_360),
        ("deepseek-v2-lite", 31_104, 17_712),
        ("deepseek-llm-7b", 491_520, 245_760),
        ("deepseek-llm-67b", 389_120, 194_560),
        ("deepseek-coder-33b", 253_952, 126_976),
        ("deepseek-r1-distill-llama-70b", 327_680, 163_840),
    ],
)
def test_cache_bytes_per_token_are_the_published_ones(name: str, bf16: int, fp8: int) -> None:
    assert bytes_per_token(shape(name), "bf16") == bf16
    assert bytes_per_token(shape(name), "fp8") == fp8


def test_latent_cache_is_repeated_on_tensor_ranks_and_cut_by_stages() -> None:
    v3 = shape("deepseek-v3")
    assert sequence_bytes(v3, 1000, "bf16", tensor=8) == sequence_bytes(v3, 1000, "bf16") == 70_272_000
    assert sequence_bytes(v3, 1000, "bf16", range(30)) == 30 * 576 * 2 * 1000


def test_grouped_cache_is_cut_down_to_one_head() -> None:
    llama = shape("deepseek-r1-distill-llama-8b")
    whole = sequence_bytes(llama, 1, "bf16")
    assert [whole // sequence_bytes(llama, 1, "bf16", tensor=tensor) for tensor in (2, 8, 16)] == [2, 8, 8]


def test_compressed_cache_is_a_window_and_one_entry_per_ratio() -> None:
    v4 = shape("deepseek-v4-flash")
    tokens, entry = 1 << 20, 584
    sparse = 128 * entry + tokens // 4 * (entry + 64) + 2 * 4 * 2 * 512 * 4
    dense = 128 * entry + tokens // 128 * entry + 2 * 128 * 512 * 4
    assert sequence_bytes(v4, tokens, "fp8", range(2, 4)) == sparse + dense
    assert sequence_bytes(v4, tokens, "fp8", range(2)) == 2 * 128 * entry
    assert bytes_per_token(v4, "fp8") is None


def test_shared_entries_are_the_published_890_bytes() -> None:
    v41 = shape("deepseek-v4.1-flash")
    window = 40 * 128 * 584
    assert sequence_bytes(v41, 100_000, "fp8") == window + 89_000_000


def test_a_stage_above_the_last_source_still_reads_its_entries() -> None:
    v41 = shape("deepseek-v4.1-flash")
    assert sequence_bytes(v41, 100_000, "fp8", range(30, 40)) > 10 * 128 * 584


def test_the_longest_sequence_is_the_last_that_fits() -> None:
    v4 = shape("deepseek-v4-flash")
    longest = longest_sequence(v4, GIB, "fp8", range(43), 1, 1 << 20)
    assert sequence_bytes(v4, longest, "fp8") <= GIB < sequence_bytes(v4, longest + 128, "fp8")


# ---- weights -----------------------------------------------------------------------------------------------------


def test_stages_hold_all_weights_between_them() -> None:
    v3 = shape("deepseek-v3")
    sums = [
        sum(t.tensor + t.kv_heads + t.repeated + t.experts for t in stage_totals(v3, FORMATS["fp8"], pipeline))
        for pipeline in (1, 2, 7, 61)
    ]
    assert sums == pytest.approx([sums[0]] * 4)


def test_down_projections_of_latent_attention_are_repeated_on_tensor_ranks() -> None:
    v3 = shape("deepseek-v3")
    assert isinstance(v3.attention, LatentAttention)
    repeated = 61 * 7168 * (1536 + 512 + 64)
    share = heaviest_rank(v3, FORMATS["fp8"], Layout(tensor=8, expert=8))
    routers, embeddings = 58 * 256 * 7168, 2 * 129_280 * 7168
    sharded = total(v3) - 58 * 256 * 3 * 7168 * 2048 - repeated - routers - embeddings
    assert share.dense == pytest.approx(repeated + 2 * routers + (sharded + 2 * embeddings) / 8, rel=0.002)
    assert share.experts == pytest.approx(58 * 32 * 3 * 7168 * 2048, rel=0.001)


def test_data_parallel_attention_repeats_all_but_the_experts() -> None:
    v3 = shape("deepseek-v3")
    spread = heaviest_rank(v3, FORMATS["fp8"], Layout(data=8, expert=8))
    cut = heaviest_rank(v3, FORMATS["fp8"], Layout(tensor=8, expert=8))
    assert spread.experts == cut.experts
    assert spread.dense == pytest.approx(17.1e9 + 1.85e9, rel=0.02)  # 17.0e9 parameters, embeddings in two bytes


# ---- training states ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "sharding", "bytes_each"),
    [
        (Precision.FP32, Sharding.NONE, 16),
        (Precision.BF16, Sharding.NONE, 18),
        (Precision.BF16, Sharding.ZERO3, 18),
        (Precision.BF16, Sharding.FSDP, 16),
        (Precision.FP8, Sharding.ZERO1, 18),
        (Precision.PURE_BF16, Sharding.FSDP, 8),
    ],
)
def test_bytes_per_parameter_are_those_of_the_papers(
    precision: Precision, sharding: Sharding, bytes_each: float
) -> None:
    assert policy(precision, Optimizer.ADAMW, sharding).total == bytes_each


def test_small_adam_and_fused_backward_leave_parameters_alone() -> None:
    states = policy(Precision.PURE_BF16, Optimizer.PAGED_ADAMW_8BIT, Sharding.NONE, fused_backward=True)
    assert (states.parameter, states.gradient, states.moments, states.paged_moments) == (2, 0, 0, 2)
    assert policy(Precision.BF16, Optimizer.ADAMW_8BIT, Sharding.FSDP).moments == 2


def test_muon_keeps_one_momentum_of_the_matrices_of_layers_alone() -> None:
    """The rest of Qwen2.5-7B are two times 152,064 embeddings of 3,584 and some vectors, of 7.6e9 parameters."""
    share = matrix_share(shape("deepseek-r1-distill-qwen-7b"), Method.FULL)
    assert share == pytest.approx(1 - 2 * 152_064 * 3584 / 7.6156e9, abs=1e-4)
    assert policy(Precision.BF16, Optimizer.MUON, Sharding.FSDP, matrices=share).moments == 8 - 4 * share
    assert [matrix_share(shape("deepseek-v3"), one) for one in (Method.LORA, Method.PROMPT_TUNING)] == [1, 0]


def test_a_checkpoint_holds_the_moments_that_its_optimizer_keeps() -> None:
    sizes = {
        optimizer: checkpoint_size(1000, 1000, Method.FULL, Precision.FP32, optimizer, matrices=0.5).checkpoint
        for optimizer in Optimizer
    }
    assert list(sizes.values()) == [12_000, 10_000, 6_000, 6_000]


@pytest.mark.parametrize(
    ("offload", "device_gib", "host_gib"),
    [(Offload.NONE, 46.91, 0.0), (Offload.OPTIMIZER, 5.43, 62.23), (Offload.ALL, 0.25, 70.0)],
)
def test_zero3_states_are_those_of_deepspeeds_estimator(offload: Offload, device_gib: float, host_gib: float) -> None:
    """DeepSpeed's documented example: 2783 M parameters, largest layer 65 M, one device."""
    states = policy(Precision.BF16, Optimizer.ADAMW, Sharding.ZERO3)
    layout = Layout(sharding=Sharding.ZERO3)
    found = split_states(RankShare(2783e6, 0), 65e6, layout, states, offload)
    assert found.device / GIB == pytest.approx(device_gib, abs=0.26)  # the estimator counts two blocks on one device
    assert found.host / GIB == pytest.approx(host_gib, rel=0.01)


def test_zero_stages_share_out_what_they_say() -> None:
    layout = {s: Layout(data=4, sharding=s, shard=4) for s in (Sharding.ZERO1, Sharding.ZERO2, Sharding.ZERO3)}
    states = policy(Precision.BF16, Optimizer.ADAMW, Sharding.ZERO1)
    share = RankShare(1e9, 0)
    sizes = {s: split_states(share, 1e7, layout[s], states) for s in layout}
    assert [s.parameters / 1e9 for s in sizes.values()] == [2, 2, 0.5]
    assert [s.gradients / 1e9 for s in sizes.values()] == [4, 1, 1]
    assert [s.optimizer / 1e9 for s in sizes.values()] == [3, 3, 3]
    assert [s.gathered / 1e9 for s in sizes.values()] == [0, 0, 0.04]


def test_experts_are_shared_by_the_ranks_that_expert_parallelism_leaves() -> None:
    v3, states = shape("deepseek-v3"), policy(Precision.BF16, Optimizer.ADAMW, Sharding.FSDP)
    per_device = [
        full_states(v3, Layout(data=64, expert=expert, sharding=Sharding.FSDP, shard=64), states).optimizer
        for expert in (1, 8, 64)
    ]
    assert per_device == pytest.approx([8 * total(v3) / 64] * 3, rel=0.01)


def test_lora_trains_rank_times_both_widths_of_each_attention_matrix() -> None:
    llama = shape("deepseek-r1-distill-llama-8b")
    each = (4096 + 4096) * 2 + (4096 + 1024) * 2
    assert trained_parameters(llama, Method.LORA, Adapter(rank=8)) == 32 * 8 * each
    feed_forward = 3 * (4096 + 14336)
    assert trained_parameters(llama, Method.LORA, Adapter(rank=8, all_linear=True)) == 32 * 8 * (each + feed_forward)


def test_a_slot_for_adapters_is_what_vllm_allocates() -> None:
    """The tensors of its create_lora_weights, by hand: sides of every linear layer, divided as the layer divides them."""
    llama, whole = shape("deepseek-r1-distill-llama-8b"), range(32)
    attention, feed_forward = (4096 + 4096) * 2 + (4096 + 1024) * 2, 3 * (4096 + 14336)
    assert slot_bytes(llama, Layout(), whole, 16) == 32 * (attention + feed_forward) * 16 * 2
    eight = (4096 + 512) * 2 + (4096 + 128) * 2 + 3 * (4096 + 14336 // 8)
    assert slot_bytes(llama, Layout(tensor=8), whole, 16) == 32 * eight * 16 * 2
    assert slot_bytes(llama, Layout(pipeline=2), range(16), 16) * 2 == slot_bytes(llama, Layout(), whole, 16)
    assert slot_bytes(llama, Layout(), whole, 17) == 2 * slot_bytes(llama, Layout(), whole, 16)


def test_a_slot_stands_beside_every_expert_and_is_dealt_out_by_expert_ranks_alone() -> None:
    v3 = shape("deepseek-v3")
    experts = 58 * 256 * 3 * 16 * 2
    by_tensor = slot_bytes(v3, Layout(tensor=8), range(61), 16)
    by_experts = slot_bytes(v3, Layout(tensor=8, expert=8), range(61), 16)
    assert by_tensor - by_experts == experts * (7168 + 2048 // 8) - experts // 8 * (7168 + 2048)
    assert by_tensor > 9 * GIB


def test_lora_leaves_routed_experts_alone() -> None:
    v3 = shape("deepseek-v3")
    assert trained_parameters(v3, Method.LORA, Adapter(rank=16, all_linear=True)) < total(v3) / 1000


def test_prompts_train_an_embedding_per_virtual_token() -> None:
    llama = shape("deepseek-r1-distill-llama-8b")
    assert trained_parameters(llama, Method.PROMPT_TUNING, Adapter(virtual_tokens=20)) == 20 * 4096
    encoder = (4096 * 64 + 64) + (64 * 64 + 64) + (64 * 4096 + 4096)
    assert trained_parameters(llama, Method.P_TUNING, Adapter(virtual_tokens=20, encoder_hidden=64)) == (
        20 * 4096 + encoder
    )


def test_a_frozen_base_weighs_its_storage() -> None:
    llama, states = shape("deepseek-r1-distill-llama-8b"), policy(Precision.BF16, Optimizer.ADAMW, Sharding.NONE)
    found = adapter_states(llama, Layout(), FORMATS["nf4"], 1e6, states)
    embeddings = 2 * 128_256 * 4096
    assert found.frozen == pytest.approx((total(llama) - embeddings) * 0.5625 + embeddings * 2, rel=0.001)


# ---- activations, overheads --------------------------------------------------------------------------------------


def test_each_degree_of_recomputation_keeps_less() -> None:
    for name in ("deepseek-llm-7b", "deepseek-v3", "deepseek-v4-flash"):
        values = layer_values(shape(name), shape(name).experts is not None)
        assert values.everything > values.selective > values.block_input


def test_a_dense_layer_keeps_twelve_widths_and_its_projections() -> None:
    """12 h for inputs, queries and outputs, 4 kv for keys and values, 8 f for the gated layer, in bytes."""
    values = layer_values(shape("deepseek-r1-distill-llama-8b"), False)
    assert 2 * values.everything == 12 * 4096 + 4 * 1024 + 8 * 14336


def test_tensor_ranks_share_activations_and_logits() -> None:
    llama = shape("deepseek-r1-distill-llama-8b")
    one, eight = Layout(), Layout(tensor=8)
    full = [training_bytes(llama, layout, 4096, 1, 1, Recompute.FULL) for layout in (one, eight)]
    logits = [logits_bytes(llama, layout, 4096, 1) for layout in (one, eight)]
    assert full[0] == 8 * full[1]
    assert logits == [4096 * 128_256 * 12, 4096 * 128_256 * 12 / 8]


def test_waiting_micro_batches_of_a_pipeline_are_kept() -> None:
    llama = shape("deepseek-r1-distill-llama-8b")
    layout = Layout(pipeline=4)
    kept = [training_bytes(llama, layout, 4096, 1, flight, Recompute.NONE) for flight in (1, 4)]
    assert kept[1] == 4 * kept[0]


def test_an_engine_step_of_r1_takes_what_was_measured() -> None:
    assert step_peak_bytes(shape("deepseek-r1"), 2048, 8) / GIB == pytest.approx(0.24, abs=0.05)
    assert step_peak_bytes(shape("deepseek-r1-distill-qwen-14b"), 2048, 2) / GIB == pytest.approx(0.19, abs=0.07)


def test_unlinked_devices_keep_no_peer_buffers() -> None:
    pair = Layout(tensor=2)
    assert runtime_bytes(pair, device("NVLink"), 1) - runtime_bytes(pair, device("PCIe"), 1) == GIB
    assert runtime_bytes(Layout(), device("NVLink"), 1) == GIB // 4


def test_r1_on_two_nodes_keeps_a_little_more_than_the_measured_buffers() -> None:
    planned = runtime_bytes(Layout(tensor=8, pipeline=2), device("NVLink"), 2) / GIB
    assert 2.53 <= planned <= 2.53 * 1.2


def test_the_indexer_workspace_is_the_measured_825_mib() -> None:
    assert indexer_workspace_bytes(shape("deepseek-v3.2"), 163_840) == 825 << 20
    assert indexer_workspace_bytes(shape("deepseek-v3"), 163_840) == 0


# ---- checkpoints and work ----------------------------------------------------------------------------------------


def test_a_full_checkpoint_of_v3_is_9_4_terabytes() -> None:
    count = total(shape("deepseek-v3"))
    size = checkpoint_size(count, count, Method.FULL, Precision.BF16, Optimizer.ADAMW)
    assert size.checkpoint == pytest.approx(9.4e12, rel=0.001)
    assert size.volume(keep=2) == pytest.approx(1.1 * (3 * 9.4e12 + 1.34e12), rel=0.001)
    assert size.save_seconds(10) == pytest.approx(940, rel=0.001)


def test_an_adapter_checkpoint_holds_the_adapter_alone() -> None:
    size = checkpoint_size(70_000_000_000, 1_000_000, Method.LORA, Precision.FP32, Optimizer.ADAMW)
    assert (size.checkpoint, size.export) == (12_000_000, 4_000_000)


def test_a_volume_without_bandwidth_is_refused() -> None:
    size = checkpoint_size(1, 1, Method.FULL, Precision.FP32, Optimizer.ADAMW)
    with pytest.raises(ValueError, match="positive"):
        size.save_seconds(0)


def test_v3_pretraining_takes_its_published_hours_at_its_published_efficiency() -> None:
    """14.8 T tokens in 2.664 M H800 hours are 34.6 % of peak by 6 N alone; causal attention adds a seventh."""
    v3 = shape("deepseek-v3")
    flops = training_flops_per_token(v3, 4096, Method.FULL, Recompute.NONE)
    hours = flops * 14.8e12 / (989e12 * 0.346) / 3600
    assert hours == pytest.approx(2.664e6 * 8 / 7, rel=0.03)


def test_recomputation_adds_a_third_and_a_frozen_base_saves_one() -> None:
    llama = shape("deepseek-llm-7b")
    plain = training_flops_per_token(llama, 2048, Method.FULL, Recompute.NONE)
    assert training_flops_per_token(llama, 2048, Method.FULL, Recompute.FULL) == pytest.approx(plain * 4 / 3)
    assert training_flops_per_token(llama, 2048, Method.LORA, Recompute.NONE) == pytest.approx(plain * 2 / 3)


def test_a_slow_network_is_planned_with_a_tenth() -> None:
    llama, flops = shape("deepseek-llm-7b"), 1e11
    speeds = [
        training_speed(llama, device("NVLink"), 16, 2, flops, Method.FULL, Precision.BF16, network, 10**9)
        for network in (None, 3.0)
    ]
    assert [speed.mfu for speed in speeds if speed] == [0.40, 0.10]


def test_stages_are_the_layers() -> None:
    assert [list(stage) for stage in stages(3, 3)] == [[0], [1], [2]]


def test_a_fused_loss_is_what_makes_a_full_32b_training_fit_eight_80_gib_devices() -> None:
    """Sharded over data ranks alone, sequences of 8,192: the logits over 152,064 words are 13.9 GiB, in pieces 0.5."""
    shape = find("deepseek-r1-distill-qwen-32b").architecture
    assert shape is not None
    asked = TrainingRequest(
        shape, resolve("h100").accelerator, sequence=8192, axes=frozenset({"data"}), nodes=1, per_node=8,
        recompute=Recompute.FULL,
    )  # fmt: skip
    assert isinstance(size_training(asked), Refused)
    assert isinstance(size_training(replace(asked, fused_loss=True)), Sized)


@pytest.mark.parametrize(("name", "longest"), [("deepseek-v4-flash", 912_128), ("deepseek-v4-flash-0731", 121_344)])
def test_v4s_cache_is_what_vllm_was_measured_to_hold_on_two_h20(name: str, longest: int) -> None:
    """vllm-project/vllm#51041: the longest sequence that fits at 0.95 with MTP and TP 2."""
    shape = find(name).architecture
    assert shape is not None
    asked = ServingRequest(
        shape, resolve("h20").accelerator, VLLM, context=65_536, nodes=1, per_node=2, fixed=FixedDegrees(tensor=2),
        memory_fraction=0.95, speculation=True,
    )  # fmt: skip
    found = size_serving(asked)
    assert isinstance(found, Sized)
    assert found.serving is not None
    assert found.serving.longest_sequence == pytest.approx(longest, rel=0.05)
    assert isinstance(size_serving(replace(asked, context=None)), Refused)
    assert "UncertainCache" in {notice.reason for notice in found.warnings}
    by_sglang = size_serving(replace(asked, engine=ENGINES["sglang"].memory))
    assert isinstance(by_sglang, Sized)
    assert "UncertainCache" not in {notice.reason for notice in by_sglang.warnings}


@pytest.mark.parametrize("name", ["deepseek-v4-flash", "deepseek-v4-flash-0731", "deepseek-v4-pro"])
@pytest.mark.parametrize("gpus", [2, 4, 8])
def test_no_layout_that_nobody_measured_promises_a_length(name: str, gpus: int) -> None:
    """Asked for or not: stages inside a node are taken for V4 only where a person writes them, and are called an estimate."""
    shape = find(name).architecture
    assert shape is not None
    asked = ServingRequest(shape, resolve("h20").accelerator, VLLM, nodes=1, per_node=gpus)
    found = size_serving(asked)
    if isinstance(found, Sized):
        assert found.layout.pipeline == 1
    else:
        assert found.layout is not None
        assert found.layout.pipeline == 1
    written = size_serving(replace(asked, context=4096, fixed=FixedDegrees(pipeline=2)))
    if isinstance(written, Sized):
        assert "Unmeasured" in {notice.reason for notice in written.warnings}
        assert "tokens (an estimate)" in render(written)


def test_a_refusal_says_what_would_fit_of_one_sequence() -> None:
    shape = find("deepseek-v4-flash").architecture
    assert shape is not None
    refused = size_serving(ServingRequest(shape, resolve("h20").accelerator, VLLM, nodes=1, per_node=2))
    assert isinstance(refused, Refused)
    for told in ("longest single sequence that fits there by TP 2", "912,128", "121,344"):
        assert told in refused.message
