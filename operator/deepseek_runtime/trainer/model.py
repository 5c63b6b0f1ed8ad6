"""The model: from a configuration or from weights, and its division over the processes by FSDP2.

Weights and optimizer state are fp32; with bf16 only the computation is. What is divided is an outline without numbers,
so that no process ever holds a whole model; `filling` gives each its share.
"""

import dataclasses
from collections.abc import Collection

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from deepseek_runtime.contract import Invalid
from deepseek_runtime.pretrained import load_config, load_tokenizer, refuse_unknown_architecture
from deepseek_runtime.spec import Custom, Precision, Weights
from deepseek_runtime.trainer.experts import deal_out
from deepseek_runtime.trainer.tokenizer import BOS_ID, BYTE_VOCABULARY, EOS_ID, PAD_ID, byte_tokenizer

# Blocks smaller than this together cost more in messages than their division saves in memory.
ONE_UNIT_BYTES = 64 << 20
# How a dataclass may say that a field holds a float: as the type, or as its text when annotations are not evaluated.
_FLOATS = (float, float | None, "float", "float | None")


def outline(model: Custom | Weights) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The fp32 model without numbers, on torch's meta device, with its tokenizer. Raises Invalid."""
    match model:
        case Custom(config):
            return _without_numbers(_config(dict(config))), byte_tokenizer()
        case Weights(path):
            return _without_numbers(load_config(path)), load_tokenizer(path)


def _without_numbers(config: PretrainedConfig) -> PreTrainedModel:
    with torch.device("meta"):
        made: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
    # As in training: what the configuration drops is dropped.
    return made.train()


def _config(fields: dict[str, object]) -> PretrainedConfig:
    fields.setdefault("vocab_size", BYTE_VOCABULARY)
    vocabulary = fields["vocab_size"]
    if not isinstance(vocabulary, int) or vocabulary < BYTE_VOCABULARY:
        raise Invalid(
            f"model.custom.vocab_size is {vocabulary!r}; write at least {BYTE_VOCABULARY} (one token per byte)"
        )
    fields |= {"pad_token_id": PAD_ID, "bos_token_id": BOS_ID, "eos_token_id": EOS_ID}
    kind = str(fields.get("model_type"))
    refuse_unknown_architecture(kind, "model.custom.model_type")
    try:
        return AutoConfig.for_model(**_with_points(fields, kind))
    except (TypeError, ValueError, KeyError, StrictDataclassError) as error:
        raise Invalid(
            f"model.custom is no configuration that transformers knows: {' '.join(str(error).split())}"
        ) from None


def _with_points(fields: dict[str, object], kind: str) -> dict[str, object]:
    """The fields with a float wherever the configuration declares one: an API server stores 1.0 as 1."""
    declared = {field.name: field.type for field in dataclasses.fields(CONFIG_MAPPING[kind])}
    return {
        name: float(value) if type(value) is int and declared.get(name) in _FLOATS else value
        for name, value in fields.items()
    }


def shard(
    model: PreTrainedModel,
    mesh: DeviceMesh,
    precision: Precision,
    expert: int = 1,
    whole: Collection[nn.Parameter] = (),
) -> None:
    """Divides parameters, gradients and optimizer state over the mesh, block by block unless the model is tiny.

    One process that computes in fp32 has nothing to divide and nothing to cast: FSDP would only gather copies of what is
    there. With `expert` above 1 routed experts are dealt out over so many processes first. Raises Invalid where they can't be.
    `whole` are parameters that every process keeps whole, with gradients of its own.
    """
    if mesh.size() == 1 and precision == "fp32" and expert == 1:
        return
    policy = MixedPrecisionPolicy()
    if precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    if expert > 1:
        deal_out(model, mesh, expert, policy)
    if sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()) > ONE_UNIT_BYTES:
        for block in blocks(model):
            fully_shard(block, mesh=mesh, mp_policy=policy, ignored_params=set(whole))
    fully_shard(model, mesh=mesh, mp_policy=policy, ignored_params=set(whole))


def blocks(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder layers, by the class names that the model says must not be split."""
    names = set(model._no_split_modules or ())
    return [module for module in model.modules() if type(module).__name__ in names]
