"""What sizing answers: the fewest devices, the reasons, the warnings, the refusals and what would fit."""

from dataclasses import replace

import pytest

from deepseek_operator.domain.devices.accelerator import GIB, Accelerator
from deepseek_operator.domain.layout import FixedDegrees, Layout, Sharding
from deepseek_operator.domain.models.catalogue import find
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.programs.engines.table import memory_lines
from deepseek_operator.domain.sizing import size_serving, size_training
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.fit import Refused, Shape, Sized
from deepseek_operator.domain.sizing.report import render
from deepseek_operator.domain.sizing.request import Objective, ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.serving_memory import CACHE, TABLES
from deepseek_operator.domain.sizing.training_state import Method, Offload, Precision

VLLM = memory_lines()["vllm"]

HOPPER = frozenset({"bf16", "fp16", "fp8", "int8"})
AMPERE = frozenset({"bf16", "fp16", "int8"})
FOUR_BIT = frozenset({"awq", "gptq", "w4a8", "nf4"})


def card(name: str, memory_gib: float, dtypes: frozenset[str] = HOPPER, per_node: int = 8) -> Accelerator:
    quantizations = FOUR_BIT | (dtypes & {"fp8", "int8"}) | ({"mxfp4"} if "fp8" in dtypes else set())
    peaks = {"bf16": 989.0}
    return Accelerator(
        name, "nvidia", "nvidia.com/gpu", memory_gib, peaks, 3.35, per_node, "NVLink", 450, dtypes, quantizations
    )


H200, H100, A100 = card("H200", 140.4), card("H100-80", 79.65), card("A100-80", 80.0, AMPERE)


def shape(name: str) -> Architecture:
    found = find(name).architecture
    assert found is not None
    return found


def serve(name: str, accelerator: Accelerator) -> ServingRequest:
    return ServingRequest(shape(name), accelerator, VLLM)


def train(name: str, accelerator: Accelerator) -> TrainingRequest:
    return TrainingRequest(shape(name), accelerator)


def fitting(result: Sized | Refused) -> Sized:
    assert isinstance(result, Sized), result
    return result


def refused(result: Sized | Refused) -> Refused:
    assert isinstance(result, Refused), result
    return result


def reasons(result: Sized | Refused) -> list[str]:
    return [notice.reason for notice in fitting(result).warnings]


# ---- serving -----------------------------------------------------------------------------------------------------


def test_r1_is_served_by_one_node_of_h200() -> None:
    result = fitting(size_serving(serve("deepseek-r1", H200)))
    assert (result.shape, result.layout) == (Shape(1, 8), Layout(tensor=8, expert=8))
    assert (result.nodes, result.per_node, result.storage) == (1, 8, "fp8")


def test_r1_on_eight_h100_is_refused_with_the_missing_memory_and_ways_out() -> None:
    result = refused(size_serving(replace(serve("deepseek-r1", H100), nodes=1, per_node=8)))
    assert result.reason == "OutOfMemory"
    assert 15 < result.missing_gib < 25
    assert f"lacks {result.missing_gib:.1f} GiB" in result.message
    offered = {alternative.change: alternative.shape for alternative in result.alternatives}
    assert offered["more devices"] == Shape(2, 8)
    assert offered["awq weights"] == Shape(1, 8)


def test_every_alternative_fits_when_it_is_asked_for() -> None:
    request = replace(serve("deepseek-r1", H100), nodes=1, per_node=8)
    for alternative in refused(size_serving(request)).alternatives:
        storage = alternative.change.removesuffix(" weights") if "weights" in alternative.change else None
        asked = replace(request, storage=storage, nodes=alternative.shape.nodes, per_node=alternative.shape.per_node)
        assert fitting(size_serving(asked)).layout == alternative.layout


def test_fp8_weights_are_refused_on_a100_and_other_formats_offered() -> None:
    result = refused(size_serving(replace(serve("deepseek-r1", A100), nodes=1, per_node=8)))
    assert result.reason == "UnsupportedFormat"
    assert [alternative.change for alternative in result.alternatives] == ["w4a8 weights", "awq weights"]


def test_tensor_parallelism_that_cuts_fp8_blocks_is_refused_by_name() -> None:
    request = replace(serve("deepseek-v3", H100), nodes=4, per_node=8, fixed=FixedDegrees(tensor=32))
    result = refused(size_serving(request))
    assert result.reason == "NoLayout"
    assert "cuts fp8 blocks of 128" in result.message


def test_a_context_beyond_the_model_is_refused() -> None:
    result = refused(size_serving(replace(serve("deepseek-llm-7b", H100), context=8192)))
    assert (result.reason, result.missing_gib) == ("ContextTooLong", 0)


def test_a_shorter_context_is_offered_where_only_the_cache_is_too_large() -> None:
    request = replace(serve("deepseek-r1-distill-qwen-32b", card("A100-80", 80.0)), nodes=1, per_node=1)
    result = refused(size_serving(request))
    assert "a context of 32,768 tokens" in [alternative.change for alternative in result.alternatives]


def test_the_models_own_context_is_offered_for_one_beyond_it() -> None:
    result = refused(size_serving(replace(serve("deepseek-r1", H200), context=1_000_000)))
    assert "a context of 163,840 tokens" in [alternative.change for alternative in result.alternatives]


def test_compressed_attention_is_kept_in_fp8_where_the_device_has_it() -> None:
    ample = (card("fp8", 1000.0), card("no-fp8", 1000.0, AMPERE))
    hopper, ampere = (
        fitting(size_serving(replace(serve("deepseek-v4-flash", device), storage="bf16"))) for device in ample
    )
    assert ampere.memory.bytes_of(CACHE) / hopper.memory.bytes_of(CACHE) == pytest.approx(1024 / 584, rel=0.1)
    wider = fitting(size_serving(replace(serve("deepseek-v4-flash", H200), kv_dtype="bf16", nodes=1, per_node=8)))
    assert wider.memory.fits


def test_a_base_of_qlora_is_nf4_and_nf4_is_nothing_else() -> None:
    assert (
        "no engine serves it" in refused(size_serving(replace(serve("deepseek-llm-7b", H200), storage="nf4"))).message
    )
    request = replace(train("deepseek-llm-7b", H200), method=Method.QLORA)
    assert "it is method LoRA" in refused(size_training(replace(request, base_storage="bf16"))).message
    fitting(size_training(replace(request, base_storage="nf4")))


def test_throughput_holds_more_sequences_than_latency_and_says_so() -> None:
    latency = fitting(size_serving(serve("deepseek-r1", H200)))
    throughput = fitting(size_serving(replace(serve("deepseek-r1", H200), objective=Objective.THROUGHPUT)))
    assert throughput.layout == Layout(data=8, expert=8)
    assert latency.serving is not None
    assert throughput.serving is not None
    assert throughput.serving.sequences > 3 * latency.serving.sequences
    (offer,) = latency.alternatives
    assert offer.layout == throughput.layout
    assert f"holds {throughput.serving.sequences} full contexts" in offer.change


def test_a_repeated_cache_is_a_warning_for_latent_attention_only() -> None:
    assert "RepeatedCache" in reasons(size_serving(serve("deepseek-r1", H200)))
    assert "RepeatedCache" not in reasons(size_serving(serve("deepseek-r1-distill-llama-70b", H200)))


def test_concurrency_asks_for_that_many_contexts() -> None:
    request = replace(serve("deepseek-r1-distill-llama-8b", H100), context=8192, concurrency=16)
    result = fitting(size_serving(request))
    assert result.memory.bytes_of(CACHE) == 16 * 8192 * 131_072
    assert result.serving is not None
    assert result.serving.sequences >= 16


def test_n_gram_tables_can_move_to_the_host() -> None:
    request = replace(serve("deepseek-v4.1-flash", H200), nodes=1, per_node=4)
    on_device, on_host = (fitting(size_serving(replace(request, tables_on_host=host))) for host in (False, True))
    assert on_device.memory.bytes_of(TABLES) / GIB == pytest.approx(188.83 / 4, rel=0.01)
    assert on_host.memory.bytes_of(TABLES) == 0


def test_speculation_adds_the_prediction_layer() -> None:
    plain, speculative = (
        fitting(size_serving(replace(serve("deepseek-v3", H200), speculation=on))).memory for on in (False, True)
    )
    assert (speculative.need_bytes - plain.need_bytes) / GIB == pytest.approx(11.6 / 8 / 1.0737, rel=0.15)


@pytest.mark.parametrize(("engine", "budget_gib"), [("vllm", 0.92 * 80), ("tensorrt-llm", 80), ("builtin", 0.9 * 80)])
def test_each_engine_draws_its_own_line(engine: str, budget_gib: float) -> None:
    request = replace(serve("deepseek-r1-distill-llama-8b", A100), engine=memory_lines()[engine], context=4096)
    assert fitting(size_serving(request)).memory.budget_bytes / GIB == pytest.approx(budget_gib)


def test_sglang_counts_its_step_outside_the_static_part() -> None:
    request = replace(serve("deepseek-r1-distill-llama-8b", A100), engine=memory_lines()["sglang"], context=4096)
    memory = fitting(size_serving(request)).memory
    assert 0.88 * 80 < memory.budget_bytes / GIB < 80


def test_slices_of_a_card_never_work_together() -> None:
    slices = replace(card("MIG", 19.5, per_node=24), interconnect="none")
    one = fitting(size_serving(ServingRequest(shape("deepseek-r1-distill-llama-8b"), slices, VLLM, context=4096)))
    assert one.shape == Shape(1, 1)
    request = ServingRequest(shape("deepseek-r1-distill-qwen-32b"), slices, VLLM, context=4096, nodes=1)
    assert refused(size_serving(request)).reason == "OutOfMemory"


def test_slices_of_a_card_are_not_offered_by_the_dozen() -> None:
    slices = replace(card("MIG", 9.5, per_node=56), interconnect="none")
    served = refused(size_serving(ServingRequest(shape("deepseek-r1-distill-llama-8b"), slices, VLLM)))
    trained = refused(size_training(TrainingRequest(shape("deepseek-r1-distill-qwen-1.5b"), slices)))
    assert all(option.shape == Shape(1, 1) for option in (*served.alternatives, *trained.alternatives))
    assert served.shape == trained.shape == Shape(1, 1)


def test_a_pipeline_holds_as_many_sequences_as_its_fullest_stage() -> None:
    # The outer stages hold embedding and head, the inner ones more layers to cache: none is the fullest in both.
    request = replace(serve("deepseek-r1-distill-qwen-32b", card("A10", 22.0)), nodes=6, per_node=1)
    result = fitting(size_serving(request))
    assert result.layout == Layout(pipeline=6)
    assert result.serving is not None
    assert (result.serving.sequences, result.serving.longest_sequence) == (1, 131_072)


def test_a_short_sequence_is_split_where_that_alone_fits() -> None:
    fourteen = replace(train("deepseek-r1-distill-qwen-14b", H100), nodes=5, per_node=2, recompute=Recompute.NONE)
    short, long = (fitting(size_training(replace(fourteen, sequence=length))) for length in (16_384, 32_768))
    assert min(short.layout.context, long.layout.context) > 1
    assert fitting(size_training(replace(fourteen, sequence=2048))).layout.context == 1


def test_ranks_share_a_sequence_in_equal_pieces() -> None:
    request = replace(train("deepseek-r1-distill-qwen-14b", H100), nodes=2, per_node=3, sequence=36_864)
    assert fitting(size_training(request)).layout.context in (3, 6)
    assert refused(size_training(replace(request, sequence=32_768))).reason == "OutOfMemory"
    asked = replace(request, sequence=32_768, fixed=FixedDegrees(context=3))
    assert "does not divide into the 6 pieces" in refused(size_training(asked)).message


def test_the_builtin_engine_is_one_process() -> None:
    request = replace(serve("deepseek-r1-distill-llama-70b", H100), engine=memory_lines()["builtin"])
    assert refused(size_serving(request)).shape == Shape(1, 1)
    small = replace(serve("deepseek-r1-distill-qwen-1.5b", H100), engine=memory_lines()["builtin"])
    assert fitting(size_serving(small)).layout == Layout()


def test_devices_that_no_layout_uses_are_a_warning() -> None:
    request = replace(serve("deepseek-r1-distill-qwen-1.5b", H100), context=4096, nodes=1, per_node=29)
    result = fitting(size_serving(request))
    assert result.shape.gpus < 29
    assert "IdleDevices" in reasons(result)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nodes": 0},
        {"nodes": 1025},
        {"max_nodes": 1025},
        {"per_node": 65},
        {"concurrency": -1},
        {"concurrency": 1 << 21},
        {"storage": "int3"},
        {"memory_fraction": 1.5},
        {"context": 0},
    ],
)
def test_a_number_that_no_request_may_hold_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        size_serving(replace(serve("deepseek-r1", H200), **wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequence": 0},
        {"sequence": (1 << 20) + 1},
        {"global_batch": 0},
        {"total_tokens": 0},
        {"total_tokens": 10**400},
        {"nodes": 1025},
        {"base_storage": "int3"},
        {"volume_gb_s": 0.0},
        {"network_gb_s": -1.0},
    ],
)
def test_a_training_number_that_no_request_may_hold_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        size_training(replace(train("deepseek-llm-7b", H200), **wrong))  # type: ignore[arg-type]


# ---- training ----------------------------------------------------------------------------------------------------


def test_a_full_fine_tune_of_70b_on_sixteen_a100_is_accepted_as_tight() -> None:
    result = fitting(size_training(train("deepseek-r1-distill-llama-70b", A100)))
    assert result.shape == Shape(2, 8)
    assert "Tight" in reasons(result)
    assert result.layout.tensor <= 8
    assert result.training is not None
    assert result.training.checkpoint_bytes == 14 * 70_553_706_496


def test_a_full_fine_tune_of_70b_on_eight_a100_is_refused_with_ways_out() -> None:
    request = replace(train("deepseek-r1-distill-llama-70b", A100), nodes=1, per_node=8)
    result = refused(size_training(request))
    assert result.missing_gib > 50
    offered = {alternative.change: alternative.shape for alternative in result.alternatives}
    assert offered["more devices"] == Shape(2, 8)
    assert {"the optimizer in host memory", "LoRA", "QLoRA"} <= offered.keys()


def test_host_memory_bounds_offloading() -> None:
    request = replace(
        train("deepseek-r1-distill-llama-70b", A100), nodes=1, per_node=8, offload=Offload.OPTIMIZER
    )  # fmt: skip
    enough, too_little = (size_training(replace(request, host_memory_gib=host)) for host in (2000, 500))
    assert fitting(enough).training is not None
    assert refused(too_little).reason == "OutOfHostMemory"
    assert refused(too_little).missing_gib == 0


def test_fp8_training_is_refused_on_a100() -> None:
    result = refused(size_training(replace(train("deepseek-v3", A100), precision=Precision.FP8)))
    assert result.message == "A100-80 does not compute in fp8"


def test_recomputation_is_chosen_only_where_it_is_needed() -> None:
    request = replace(train("deepseek-r1-distill-llama-8b", H100), nodes=1, per_node=8)
    levels = []
    for sequence in (2048, 16384):
        result = fitting(size_training(replace(request, sequence=sequence, fixed=FixedDegrees(tensor=1))))
        assert result.training is not None
        levels.append(result.training.recompute)
    assert levels[0] == "None"
    assert levels[1] in ("Selective", "Full")


def test_accumulation_makes_up_the_global_batch() -> None:
    request = replace(
        train("deepseek-r1-distill-llama-8b", H100), nodes=1, per_node=8, global_batch=64, micro_batch=2,
        fixed=FixedDegrees(tensor=1, pipeline=1), recompute=Recompute.FULL,
    )  # fmt: skip
    result = fitting(size_training(request))
    assert result.training is not None
    assert result.layout.data * result.training.micro_batch * result.training.accumulation == 64


def test_a_slow_network_is_a_warning_and_slows_the_estimate() -> None:
    request = replace(train("deepseek-r1-distill-llama-70b", A100), nodes=4, per_node=8, total_tokens=10**9)
    fast, slow = (fitting(size_training(replace(request, network_gb_s=network))) for network in (400, 3.1))
    assert "SlowNetwork" in reasons(slow)
    assert "SlowNetwork" not in reasons(fast)
    assert fast.training is not None
    assert slow.training is not None
    assert fast.training.speed is not None
    assert slow.training.speed is not None
    assert fast.training.speed.days is not None
    assert slow.training.speed.days == pytest.approx(4 * fast.training.speed.days)


def test_long_sequences_are_a_warning() -> None:
    request = replace(train("deepseek-llm-7b", H100), sequence=8192, nodes=1, per_node=8)
    assert "LongSequence" in reasons(size_training(request))


def test_v3_needs_its_experts_dealt_out_and_about_twenty_nodes() -> None:
    result = fitting(size_training(train("deepseek-v3", H100)))
    assert 17 <= result.nodes <= 24
    assert 256 % result.layout.expert == 0
    assert result.layout.sharding is Sharding.FSDP


def test_qlora_is_sharded_over_data_ranks_only() -> None:
    request = replace(train("deepseek-r1-distill-llama-70b", card("A100-40", 40.0)), method=Method.QLORA)
    layout = fitting(size_training(request)).layout
    assert (layout.tensor, layout.pipeline) == (1, 1)


# ---- the report --------------------------------------------------------------------------------------------------


def test_the_report_of_a_fit_has_facts_memory_reasons_and_advice() -> None:
    text = render(size_serving(serve("deepseek-r1", H200)))
    lines = text.splitlines()
    assert lines[0].split() == ["fits", "on", "8", "devices"]
    assert lines[1].split() == ["layout", "TP", "8,", "EP", "8"]
    assert [line for line in lines if line and not line.startswith(" ")][-4:] == [
        "memory of the fullest device, GiB",
        "because",
        "warnings",
        "or",
    ]
    assert "TP 8 because the devices of a node are joined by NVLink" in text


def test_the_report_of_a_refusal_names_what_is_missing_and_what_would_fit() -> None:
    result = size_serving(replace(serve("deepseek-r1", H100), nodes=1, per_node=8))
    text = render(result)
    assert text.startswith("does not fit: OutOfMemory\non 8 × H100-80 the fullest device lacks")
    assert ["missing", f"{refused(result).missing_gib:.2f}"] in [line.split() for line in text.splitlines()]
    assert "more devices: 16 devices (TP 8 × PP 2, EP 8)" in text


def test_the_report_of_a_training_names_checkpoint_volume_and_speed() -> None:
    text = render(size_training(replace(train("deepseek-r1-distill-llama-8b", H100), total_tokens=10**9)))
    assert "checkpoint     112.4 GB, saved in 112 s" in text
    assert "MFU 40% assumed" in text
    assert "duration" in text


def test_the_sum_of_the_lines_is_the_need() -> None:
    memory = fitting(size_training(train("deepseek-v3", H100))).memory
    assert memory.need_bytes == sum(line.bytes for line in memory.lines)
    assert memory.missing_bytes == memory.need_bytes - memory.budget_bytes
