"""A model and its tokenizer, read from a folder: all of it, or a refusal that names what is missing.

transformers fills tensors that it does not find with random numbers and passes over those that it does not know, with
a warning at most; and where a tokenizer.json exists it drops `add_bos_token`, which DeepSeek's models were trained with.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.distributed import DistributedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.files import read_json
from deepseek_runtime.model_folder.folder import check
from deepseek_runtime.model_folder.parts import AGAIN, CONFIG, GENERATION, NAMED, names
from deepseek_runtime.model_folder.scales import Blocks, blocks_of
from deepseek_runtime.model_folder.weights import weight_files
from deepseek_runtime.scaled import opened

# The architectures of the catalogue that transformers holds, for messages; any other language model of its is taken.
FAMILY = ("deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "llama", "qwen2", "qwen3", "mistral")
# What wrappers put before every name when a state dict was saved from inside of them.
_WRAPPERS = re.compile(
    r"(^|(?<=\.))(_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module|base_model\.model)\."
)
# Tables of rotary embeddings: older files hold them, every library computes them.
_DERIVED = re.compile(r"\.rotary_emb\.(inv_freq|cos_cached|sin_cached)$")
# Nothing is fetched, and no code that lies in the folder, or that it names, is run. Pickles transformers reads by torch's
# own allow-list (weights_only), its default.
_UNTRUSTED: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# Where peft is installed, transformers puts an adapter that lies beside the weights on them unasked. It looks for one below
# this name, and that is a file: `check` has seen to it.
_NO_ADAPTER: Mapping[str, Any] = {"adapter_kwargs": {"subfolder": CONFIG}}
_LAYER = re.compile(r"(^|\.)layers\.(\d+)\.")


def refuse_unknown_architecture(kind: object, where: str) -> None:
    """Raises Invalid for a model_type that transformers has no language model for."""
    if isinstance(kind, str) and kind in CONFIG_MAPPING and kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    what = "is no language model" if isinstance(kind, str) and kind in CONFIG_MAPPING else "is not known"
    raise Invalid(
        f"{where} is {kind!r}, which {what} to transformers {transformers.__version__}, on which trainer and engine here"
        f" are built; of DeepSeek's family it has {', '.join(FAMILY)}. Another one needs a runtime.image and command, or"
        " engine.type vllm or sglang"
    )


def load_config(path: Path) -> PretrainedConfig:
    """The configuration of a whole model. Raises Invalid."""
    check(path)
    refuse_unknown_architecture(read_json(path / CONFIG).get("model_type"), f"{path / CONFIG}: model_type")
    config: PretrainedConfig = AutoConfig.from_pretrained(path, **_UNTRUSTED)
    if hasattr(config, "quantization_config"):
        # What is in FP8 is converted as it is read, and is plain from then on.
        del config.quantization_config
    return config


def load_network(
    path: Path, kind: "torch.dtype | str", ranks: int = 1, expert: int = 1, copies: int = 1
) -> PreTrainedModel:
    """The model in `kind` ("auto": as stored), inference's. Raises Invalid naming the tensors that don't fit.

    One rank has the whole of it on the host. Of several, called together, each has its rows (FSDP) on its device, and
    has read no others; with `expert` above 1 of the experts' those of its own, dealt out over so many of the ranks;
    with `copies` above 1 that many groups of neighbouring ranks have all of it each.
    """
    check(path)
    refuse_unknown_architecture(read_json(path / CONFIG).get("model_type"), f"{path / CONFIG}: model_type")
    over = DistributedConfig(fsdp_size=ranks // copies, dp_replicate_size=copies, ep_size=expert)
    shared = {"distributed_config": over} if ranks > 1 else {}
    asked = {"output_loading_info": True, "ignore_mismatched_sizes": True, **shared, **_UNTRUSTED}
    blocks = blocks_of(read_json(path / CONFIG))
    if blocks is not None:
        network, found = _converted(path, kind, blocks, asked)
    else:
        network, found = AutoModelForCausalLM.from_pretrained(path, dtype=kind, **asked, **_NO_ADAPTER)
    _refuse_misfits(path, network, found)
    assert isinstance(network, PreTrainedModel)
    return network


def _converted(path: Path, kind: "torch.dtype | str", blocks: Blocks, asked: Mapping[str, Any]) -> Any:
    """The model of FP8 files, in `kind` ("auto": in that of its computation), and what did not fit."""
    config = load_config(path)
    made = (config.dtype or torch.bfloat16) if kind == "auto" else kind
    files = [file for file in weight_files(path) if file.suffix == ".safetensors"]
    with opened(files, blocks) as tensors:
        network, found = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
            None, config=config, state_dict=tensors, dtype=made, **asked
        )
    if (path / GENERATION).exists():
        network.generation_config = GenerationConfig.from_pretrained(path, **_UNTRUSTED)
    return network, found


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The folder's tokenizer: what tokenizer.json says, and the beginning of text where tokenizer_config.json says so.

    The classes that transformers has for some families put rules of their own in place of the file's: Qwen2's splits
    numbers otherwise than DeepSeek's file, under the name of which a distilled model may carry it.
    """
    kind = PreTrainedTokenizerFast if (path / "tokenizer.json").exists() else AutoTokenizer
    tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(path, **_UNTRUSTED)
    file = path / "tokenizer_config.json"
    wanted = read_json(file).get("add_bos_token") if file.exists() else None
    if isinstance(wanted, bool) and wanted != _begins(tokenizer):
        tokenizer.add_bos_token = wanted
    return tokenizer


def beginning_of(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids that it puts before every text by itself: none, or the beginning of text, once."""
    ids = list(tokenizer("a").input_ids)
    plain = list(tokenizer("a", add_special_tokens=False).input_ids)
    return next((ids[:at] for at in range(len(ids)) if ids[at : at + len(plain)] == plain), [])


def _begins(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it puts the beginning of text before a text by itself: tokenizer.json may say so as well."""
    return tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]


def _refuse_misfits(path: Path, network: PreTrainedModel, found: Mapping[str, Any]) -> None:
    missing = set(found["missing_keys"])
    unexpected = {name for name in found["unexpected_keys"] if not _may_stay(name, network)}
    told = [f"{name} is of shape {list(stored)} and should be {list(wanted)}" for name, stored, wanted in _few(found)]
    if missing:
        told.append(f"missing tensors: {names(missing)}")
    if unexpected:
        told.append(f"tensors that the model has not: {names(unexpected)}")
    if told:
        raise Invalid(f"the weights in {path} don't fit its {CONFIG}: {'; '.join(told)}; {_advice(unexpected)}")


def _few(found: Mapping[str, Any]) -> list[tuple[str, Iterable[int], Iterable[int]]]:
    return sorted(found["mismatched_keys"])[:NAMED]


def _may_stay(name: str, network: PreTrainedModel) -> bool:
    """Layers after the last are for speculation (multi-token prediction); nothing here reads them."""
    layer = _LAYER.search(name)
    is_beyond = layer is not None and int(layer[2]) >= network.config.num_hidden_layers
    return is_beyond or name.startswith("mtp.") or _DERIVED.search(name) is not None


def _advice(unexpected: set[str]) -> str:
    wrapped = [found[0] for name in sorted(unexpected) if (found := _WRAPPERS.search(name))]
    if wrapped:
        return (
            f"the names carry the prefix {wrapped[0]!r} of a wrapper: take it off"
            " (save the model that was wrapped, by its own save_pretrained)"
        )
    return f"take {CONFIG} and weights of one and the same model, saved whole by save_pretrained; or {AGAIN}"
