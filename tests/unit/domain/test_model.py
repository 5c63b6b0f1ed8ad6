"""Reading a private model's config.json."""

import pytest

from deepseek_operator.domain.models.model import (
    CompressedAttention,
    GroupedQueryAttention,
    Indexer,
    LatentAttention,
    MixtureOfExperts,
    UnknownArchitecture,
    from_config_json,
)

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
LATENT = {
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}


def test_grouped_query_attention_takes_its_width_from_the_hidden_size() -> None:
    assert from_config_json(LLAMA).attention == GroupedQueryAttention(32, 8, 128)


def test_absent_kv_heads_mean_multi_head_attention() -> None:
    config = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    assert from_config_json(config).attention == GroupedQueryAttention(32, 32, 128)


def test_qwen2_carries_biases_that_its_config_does_not_mention() -> None:
    assert from_config_json(LLAMA | {"model_type": "qwen2"}).attention == GroupedQueryAttention(32, 8, 128, True)


def test_latent_attention_with_an_indexer_and_experts_is_read() -> None:
    config = LLAMA | LATENT | {"index_topk": 2048, "index_n_heads": 64, "index_head_dim": 128}
    config |= {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 512}
    read = from_config_json(config)
    assert read.attention == LatentAttention(32, 512, 1536, 128, 64, 128, Indexer(64, 128, 2048))
    assert read.experts == MixtureOfExperts(8, 2, 0, 512, 0)


def test_compress_ratios_of_prediction_layers_are_left_out() -> None:
    config = LLAMA | {"num_hidden_layers": 2, "compress_ratios": [4, 128, 0], "head_dim": 512, "sliding_window": 128}
    config |= {"qk_rope_head_dim": 64, "q_lora_rank": 64, "o_lora_rank": 64, "o_groups": 8}
    config |= {"index_topk": 512, "index_n_heads": 64, "index_head_dim": 128}
    attention = from_config_json(config).attention
    assert isinstance(attention, CompressedAttention)
    assert attention.ratios == (4, 128)


def test_a_nested_text_part_is_read_with_the_outer_quantization() -> None:
    quantization = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    read = from_config_json({"text_config": LLAMA, "quantization_config": quantization})
    assert (read.hidden, read.native_format, read.weight_block) == (4096, "fp8", 128)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "hidden_size must be a positive integer"),
        ({"hidden_size": True}, "hidden_size must be a positive integer"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be a positive integer"),
        ({"vocab_size": 1 << 50}, "vocab_size must be a positive integer"),
        ({"num_key_value_heads": 5}, "no multiple of 5 key-value heads"),
        ({"num_attention_heads": 33}, "no multiple of 33 heads"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"),
        ({"quantization_config": {"quant_method": "exl3"}}, "'exl3' with these bits is not one that sizing knows"),
        ({"quantization_config": ["fp8"]}, "quantization_config must be a mapping"),
        ({"moe_layer_freq": 2}, "moe_layer_freq other than 1"),
        ({"n_routed_experts": 4, "num_experts_per_tok": 8, "moe_intermediate_size": 64}, "more active than routed"),
        ({"compress_ratios": [4]}, "compress_ratios has 1 entries for 32 layers"),
        ({"kv_lora_rank": 512}, "qk_nope_head_dim must be a positive integer"),
    ],
)
def test_a_config_that_sizing_can_not_use_is_refused_by_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(UnknownArchitecture, match=message):
        from_config_json(LLAMA | change)


@pytest.mark.parametrize("field", ["num_hidden_layers", "n_routed_experts"])
def test_a_size_beyond_every_model_is_not_counted_for_minutes(field: str) -> None:
    with pytest.raises(UnknownArchitecture, match="512 layers or 4096 experts"):
        from_config_json(LLAMA | {field: 5000})


def test_a_model_ten_times_the_largest_is_not_laid_out_for_minutes() -> None:
    experts = {"n_routed_experts": 4096, "num_experts_per_tok": 8, "moe_intermediate_size": 14_336}
    with pytest.raises(UnknownArchitecture, match="more than 16,000e9 parameters"):
        from_config_json(LLAMA | experts | {"num_hidden_layers": 512})


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "gpt_oss", "bert"])
def test_a_family_whose_experts_are_named_otherwise_is_not_sized_as_a_dense_model(family: str) -> None:
    with pytest.raises(UnknownArchitecture, match=f"model_type '{family}' is not one that sizing knows"):
        from_config_json(LLAMA | {"model_type": family})


@pytest.mark.parametrize("field", ["num_experts", "num_local_experts"])
def test_experts_under_another_name_are_not_overlooked(field: str) -> None:
    by_hand = {key: value for key, value in LLAMA.items() if key != "model_type"}
    assert from_config_json(by_hand).experts is None
    with pytest.raises(UnknownArchitecture, match=f"n_routed_experts, not by {field}"):
        from_config_json(by_hand | {field: 8})


def test_a_null_flag_is_an_absent_one() -> None:
    assert from_config_json(LLAMA | {"tie_word_embeddings": None, "attention_bias": None}) == from_config_json(LLAMA)


def _compressed_tensors(bits: int, kind: str, inputs: int | None = None, **more: object) -> dict[str, object]:
    group = {"targets": ["Linear"], "weights": {"num_bits": bits, "type": kind, **more}}
    if inputs is not None:
        group["input_activations"] = {"num_bits": inputs, "type": kind}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}


@pytest.mark.parametrize(
    ("quantization", "stored"),
    [
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "int8"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"quant_method": "awq", "w_bit": 8}, "int8"),
        ({"quant_method": "auto-round", "bits": 4}, "gptq"),
        (_compressed_tensors(8, "int", 8), "int8"),
        (_compressed_tensors(8, "float", 8), "fp8"),
        (_compressed_tensors(4, "int"), "gptq"),
        (_compressed_tensors(4, "int", 8), "w4a8"),
        (_compressed_tensors(4, "float", 4, group_size=16), "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        ({"quantization": {"quant_algo": "W4A8_AWQ"}}, "w4a8"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "nf4"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}}, "fp8"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}}}, "mxfp4"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
    ],
)
def test_bits_and_type_decide_how_weights_are_stored_not_the_methods_name(
    quantization: dict[str, object], stored: str
) -> None:
    assert from_config_json(LLAMA | {"quantization_config": quantization}).native_format == stored


@pytest.mark.parametrize(
    "quantization",
    [{"quant_method": "exl3"}, {"quant_method": "gptq", "bits": 3}, {"bits": True}, _compressed_tensors(2, "int")],
)
def test_a_format_that_nobody_knows_is_answered_with_the_field_and_the_users_word_wins(
    quantization: dict[str, object],
) -> None:
    config = LLAMA | {"quantization_config": quantization}
    with pytest.raises(UnknownArchitecture, match="write how the weights are stored as quantization"):
        from_config_json(config)
    assert from_config_json(config, "int8").native_format == "int8"
