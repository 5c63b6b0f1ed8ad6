"""The trained model in Hugging Face form, as engines load it: safetensors, configuration, tokenizer.

transformers writes a DeepSeek-V3 configuration without `topk_method`, `scoring_func` and
`moe_layer_freq`; vLLM then looks for a router bias that it believes absent and fails. They are added.
"""

import json
from pathlib import Path

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from deepseek_runtime.checkpoint.volume import sync_files
from deepseek_runtime.spec import Precision

# The router of transformers' DeepseekV3 class: sigmoid scores, bias-corrected top-k, MoE in every layer
# after the first dense ones.
V3_ROUTER = {"topk_method": "noaux_tc", "scoring_func": "sigmoid", "moe_layer_freq": 1}


def full_weights(model: PreTrainedModel, precision: Precision) -> dict[str, torch.Tensor]:
    """All weights on the host of rank 0, nothing on other ranks. Called by all ranks together.

    With bf16 the parameters are rounded, as they were for every computation; buffers never were, and a rounded bias of
    the router would send tokens to other experts than in training.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(model, options=options)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    buffers = {name for name, _ in model.named_buffers()}
    return {name: tensor if name in buffers else tensor.to(kind) for name, tensor in weights.items()}


def write_export(
    directory: Path,
    model: PreTrainedModel,
    weights: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Writes all files of the export but its manifest."""
    transformers_logging.disable_progress_bar()
    directory.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        shell = AutoModelForCausalLM.from_config(model.config)
    shell.save_pretrained(directory, state_dict=weights)
    tokenizer.save_pretrained(directory)
    GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    ).save_pretrained(directory)
    _complete_config(directory / "config.json", weights[next(name for name, _ in model.named_parameters())].dtype)
    sync_files(directory)


def _complete_config(file: Path, kind: torch.dtype) -> None:
    config = json.loads(file.read_text())
    config["dtype"] = str(kind).removeprefix("torch.")
    if config.get("model_type") == "deepseek_v3":
        config |= V3_ROUTER
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
