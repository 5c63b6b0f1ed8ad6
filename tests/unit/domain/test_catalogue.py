"""The catalogue: recounts against published totals, names, and how its data is refused."""

import pytest

from deepseek_operator.domain.models.catalogue import Model, UnknownModel, find, find_variant, models, read
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.models.parameters import active, prediction_weights, total
from deepseek_operator.domain.sizing import architecture_of
from deepseek_operator.domain.sizing.fit import Refused
from deepseek_operator.domain.sizing.weights import FORMATS, stored_bytes

GIB = 1 << 30


def shape(name: str) -> Architecture:
    found = find(name).architecture
    assert found is not None
    return found


def named(selected: list[Model]) -> list[object]:
    return [pytest.param(model, id=model.id) for model in selected]


@pytest.mark.parametrize("model", named([m for m in models() if m.published_parameters and m.architecture]))
def test_recount_agrees_with_the_published_total(model: Model) -> None:
    assert model.architecture is not None
    assert total(model.architecture) == pytest.approx(model.published_parameters, rel=0.01)


@pytest.mark.parametrize("model", named([m for m in models() if m.published_with_prediction]))
def test_recount_with_prediction_layers_agrees_with_the_published_total(model: Model) -> None:
    assert model.architecture is not None
    counted = total(model.architecture) + sum(weight.count for weight in prediction_weights(model.architecture))
    assert counted == pytest.approx(model.published_with_prediction, rel=0.01)


def test_v3_counts_what_the_released_modelling_code_counts() -> None:
    # transformers 5.23.0, DeepseekV3ForCausalLM and DeepseekV32ForCausalLM built on the meta device
    assert total(shape("deepseek-v3")) == 671_026_404_352
    assert total(shape("deepseek-v3.2")) == pytest.approx(671_877_929_216, rel=1e-6)


def test_v4_counts_what_the_released_modelling_code_counts() -> None:
    # transformers 5.23.0, DeepseekV4ForCausalLM; its default shape of Flash compresses the first two layers as well
    assert total(shape("deepseek-v4-flash")) == pytest.approx(284_325_869_015, rel=1e-3)
    assert total(shape("deepseek-v4-pro")) == pytest.approx(1_572_973_188_067, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "billions"),
    [("deepseek-v3", 37), ("deepseek-v2", 21), ("deepseek-v4-pro", 49), ("deepseek-v4.1-flash", 16)],
)
def test_active_parameters_agree_with_the_published_ones(name: str, billions: float) -> None:
    assert active(shape(name)) == pytest.approx(billions * 1e9, rel=0.04)


@pytest.mark.parametrize(
    ("name", "storage", "gib"),
    [
        ("deepseek-r1-0528", "fp8", 641.3),
        ("deepseek-v3.2", "fp8", 642.14),
        ("deepseek-v4-flash", "mxfp4", 148.66),
        ("deepseek-v4-pro", "mxfp4", 805.34),
        ("deepseek-r1-distill-qwen-14b", "bf16", 27.51),
        ("deepseek-r1-distill-llama-8b", "bf16", 14.96),
    ],
)
def test_stored_weights_agree_with_published_sizes(name: str, storage: str, gib: float) -> None:
    assert stored_bytes(shape(name), FORMATS[storage], with_prediction=True) / GIB == pytest.approx(gib, rel=0.015)


def test_v41_experts_and_tables_weigh_what_was_published() -> None:
    v41 = shape("deepseek-v4.1-flash")
    assert v41.extra_parameters * v41.extra_bytes_each / GIB == pytest.approx(188.83, rel=0.001)
    assert v41.experts is not None
    experts = 3 * v41.hidden * v41.experts.width * v41.experts.routed * v41.layers
    assert experts * FORMATS["mxfp4"].expert / GIB == pytest.approx(268.95, rel=0.001)


def test_a_model_is_found_by_id_and_by_repository_in_any_case() -> None:
    assert find("DeepSeek-R1").id == find("deepseek-ai/deepseek-r1-zero").id == "deepseek-r1"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownModel, match="deepseek-r1-distill-llama-70b"):
        find("deepseek-r1-distill-llama-13b")


def test_a_model_without_a_seen_config_is_listed_and_not_sized() -> None:
    refused = architecture_of(find("deepseek-vl2"))
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.missing_gib) == ("UnknownShape", 0)
    assert "config.json has not been seen" in refused.message


def test_a_borrowed_shape_names_its_source() -> None:
    borrowed = {model.id: model.shape_from for model in models() if model.shape_from}
    assert {"deepseek-coder-v2", "deepseek-v2.5", "deepseek-prover-v2-671b"} <= borrowed.keys()
    assert architecture_of(find("deepseek-coder-v2")) == shape("deepseek-v2")


def test_a_borrowed_shape_keeps_its_own_context() -> None:
    lite, coder = shape("deepseek-v2-lite"), shape("deepseek-coder-v2-lite")
    assert (lite.context, coder.context) == (32_768, 131_072)
    assert total(lite) == total(coder)


def test_a_new_model_is_a_change_of_data() -> None:
    text = """
    [shape.tiny]
    num_hidden_layers = 2
    hidden_size = 64
    num_attention_heads = 4
    intermediate_size = 128
    vocab_size = 256
    max_position_embeddings = 512
    [[model]]
    id = "tiny"
    hub = ["example/tiny"]
    family = "test"
    shape = "tiny"
    source = "this test"
    """
    (tiny,) = read(text)
    assert tiny.architecture is not None
    assert total(tiny.architecture) == 2 * 256 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64) + 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('shape = {}\n[[model]]\nid = "a"\nhub = ["x"]\nfamily = "f"\nsource = "s"\nlayers = 3', "unknown keys layers"),
        (
            "[shape.s]\nnum_hidden_layers = 2\nhidden_size = 64\nnum_attention_heads = 4\nintermediate_size = 8\n"
            'vocab_size = 8\nmax_position_embeddings = 8\n[[model]]\nid = "a"\nhub = ["x"]\nfamily = "f"\n'
            'source = "s"\nshape = "s"\ncontext = 0',
            "context must be a positive integer",
        ),
        (
            'shape = {}\n[[model]]\nid = "a"\nhub = ["x"]\nfamily = "f"\nsource = "s"\n'
            '[[model]]\nid = "b"\nhub = ["X"]\nfamily = "f"\nsource = "s"',
            "named twice",
        ),
    ],
)
def test_wrong_catalogue_data_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("name", "model", "stored_as"),
    [
        ("deepseek-r1-distill-qwen-7b-awq", "deepseek-r1-distill-qwen-7b", "awq"),
        ("DeepSeek-R1-Distill-Qwen-7B", "deepseek-r1-distill-qwen-7b", None),
        ("unsloth/DeepSeek-R1-Distill-Llama-8B", "deepseek-r1-distill-llama-8b", None),
        ("unsloth/DeepSeek-R1-Distill-Llama-8B-unsloth-bnb-4bit", "deepseek-r1-distill-llama-8b", "nf4"),
        ("RedHatAI/DeepSeek-R1-Distill-Llama-70B-quantized.w8a8", "deepseek-r1-distill-llama-70b", "int8"),
        ("neuralmagic/DeepSeek-R1-Distill-Qwen-32B-FP8-dynamic", "deepseek-r1-distill-qwen-32b", "fp8"),
        ("nvidia/DeepSeek-R1-FP4", "deepseek-r1", "nvfp4"),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "deepseek-r1-0528", "nvfp4"),
        ("cognitivecomputations/DeepSeek-V3-AWQ", "deepseek-v3", "awq"),
        ("someone/deepseek-coder-33b-instruct-GPTQ-Int8", "deepseek-coder-33b", "int8"),
    ],
)
def test_a_published_copy_is_found_with_the_format_that_its_name_says(
    name: str, model: str, stored_as: str | None
) -> None:
    found, said = find_variant(name)
    assert (found.id, said) == (model, stored_as)


def test_every_name_and_every_recorded_copy_is_found() -> None:
    for model in models():
        for name in (model.id, *model.hub):
            assert find_variant(name) == (model, None), name
        for stored_as, name in model.variants.items():
            assert find_variant(name) == (model, stored_as), name


@pytest.mark.parametrize(
    "name", ["unsloth/DeepSeek-R1-GGUF", "mlx-community/DeepSeek-R1-Distill-Qwen-7B-MLX", "x/DeepSeek-V3-ONNX"]
)
def test_files_of_another_program_are_told_as_such(name: str) -> None:
    with pytest.raises(UnknownModel, match="names files of"):
        find_variant(name)


@pytest.mark.parametrize("name", ["deepseek-r1-lite", "gpt-oss-20b", "deepseek-r1-distill-qwen-7b-tuned", "-awq"])
def test_what_only_looks_alike_is_not_taken_for_the_model(name: str) -> None:
    with pytest.raises(UnknownModel, match="nearest"):
        find_variant(name)
