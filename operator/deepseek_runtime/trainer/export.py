"""The trained model in Hugging Face form, as engines load it: safetensors, configuration, tokenizer.

What a base model came with is handed on as it was: its configuration, its tokenizer's files and its generation
settings are not written anew by a library that may know fewer fields. Only weights are. The tokenizer alone is told more
plainly, where other libraries would read other tokens than training did.

transformers writes a DeepSeek-V3 configuration without `topk_method`, `scoring_func` and
`moe_layer_freq`; vLLM then looks for a router bias that it believes absent and fails. They are added.
"""

import json
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from deepseek_runtime.checkpoint.files import sync_files
from deepseek_runtime.model_folder.files import read_json
from deepseek_runtime.model_folder.parts import ATTACHED, CONFIG, GENERATION
from deepseek_runtime.spec import Custom, Precision, Weights

# The router of transformers' DeepseekV3 class: sigmoid scores, bias-corrected top-k, MoE in every layer
# after the first dense ones.
V3_ROUTER = {"topk_method": "noaux_tc", "scoring_func": "sigmoid", "moe_layer_freq": 1}
# The hub's custom: engines read several files at once, and a broken copy is repeated file by file.
SHARD_SIZE = "5GB"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
# The class that is what tokenizer.json says, by the name that transformers 4 knows as well.
PLAIN_CLASS = "PreTrainedTokenizerFast"
# Servers run under another uid than trainings; safetensors makes files that only their owner reads.
FILE_MODE, FOLDER_MODE = 0o644, 0o755


def full_weights(model: PreTrainedModel, precision: Precision) -> dict[str, torch.Tensor]:
    """All weights on the host of rank 0, nothing on other ranks. Called by all ranks together.

    With bf16 the parameters are rounded, as they were for every computation; buffers never were, and a rounded bias of
    the router would send tokens to other experts than in training. A weight that is tied to another is left out.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return as_exported(model, get_model_state_dict(model, options=options), precision)


def as_exported(
    model: PreTrainedModel, weights: Mapping[str, torch.Tensor], precision: Precision
) -> dict[str, torch.Tensor]:
    """The weights in the type of the computation, without those that are tied to another; buffers as they are."""
    kind = exported_kind(precision)
    buffers = {name for name, _ in model.named_buffers()}
    return {
        name: tensor if name in buffers else tensor.to(kind)
        for name, tensor in weights.items()
        if name not in model.all_tied_weights_keys
    }


def exported_kind(precision: Precision) -> torch.dtype:
    """The type of what was trained in an export: that of the computation."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def write_export(
    directory: Path,
    model: PreTrainedModel,
    weights: Mapping[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    source: Custom | Weights,
) -> None:
    """Writes all files of the export but its manifest, readable for everybody. `source` is what was trained from."""
    transformers_logging.disable_progress_bar()
    directory.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        shell = AutoModelForCausalLM.from_config(model.config, trust_remote_code=False)
    # A copy of the mapping: transformers takes out what it has written, unless the architecture's names are converted.
    shell.save_pretrained(directory, state_dict=dict(weights), max_shard_size=SHARD_SIZE)
    kind = next(weights[name].dtype for name, _ in model.named_parameters() if name in weights)
    base = source.path if isinstance(source, Weights) else None
    if base is None:
        tokenizer.save_pretrained(directory)
    else:
        _hand_on(base, directory)
    _tell_plainly(directory, tokenizer)
    written = read_json(directory / CONFIG)
    write_json(directory / CONFIG, _config(written, read_json(base / CONFIG) if base else None, kind))
    given = read_json(base / GENERATION) if base and (base / GENERATION).exists() else {}
    write_json(directory / GENERATION, _generation(given, written, tokenizer))
    finish(directory)


def finish(directory: Path) -> None:
    """Makes all files of the export readable for everybody, and sees that they are on the disk."""
    _open_to_all(directory)
    sync_files(directory)


def _hand_on(base: Path, directory: Path) -> None:
    """The tokenizer's files, its templates, the model's own code and licence, byte for byte."""
    for pattern in ATTACHED:
        for file in sorted(base.glob(pattern)):
            if file.is_file():
                target = directory / file.relative_to(base)
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, target)


def _tell_plainly(directory: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Lets tokenizer.json alone decide in every engine, as it did in training.

    By the class in tokenizer_config.json, releases of transformers put rules of a family in its place (5.19, on which vLLM
    0.32 is built, garbles DeepSeek's files where they are called LlamaTokenizerFast), and those from 5 on drop
    `add_bos_token`, without which a prompt would begin otherwise than it was trained.
    """
    file, settings = directory / TOKENIZER, directory / TOKENIZER_CONFIG
    if not file.exists():
        return
    told = read_json(settings) if settings.exists() else {}
    if told.get("tokenizer_class") != PLAIN_CLASS:
        _write_in_order(settings, {**told, "tokenizer_class": PLAIN_CLASS})
    if Tokenizer.from_file(str(file)).encode("a").ids != list(tokenizer("a").input_ids):
        own = json.loads(tokenizer.backend_tokenizer.to_str())
        _write_in_order(file, {**read_json(file), "post_processor": own["post_processor"]})


def _write_in_order(file: Path, value: Mapping[str, object]) -> None:
    """Keeps the order of entries: a vocabulary is read by people in that of its ids."""
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _config(
    written: Mapping[str, object], base: Mapping[str, object] | None, kind: torch.dtype
) -> Mapping[str, object]:
    """The base's own fields where there is one, else transformers'; in both the type of the weights is the new one."""
    config = (
        {**_older_names(written), **written} if base is None else {"architectures": written["architectures"], **base}
    )
    config.pop("quantization_config", None)  # a base in FP8 was converted as it was read
    name = str(kind).removeprefix("torch.")
    config |= {"dtype": name, "torch_dtype": name}
    if config.get("model_type") == "deepseek_v3":
        config = {**V3_ROUTER, **config}
    if config.get("num_nextn_predict_layers"):
        # Layers for speculation are neither trained nor exported; an engine must not look for them.
        config["num_nextn_predict_layers"] = 0
    return config


def _older_names(written: Mapping[str, object]) -> dict[str, object]:
    """Rotary embeddings as transformers 4 and the engines built on it read them; absent fields mean its defaults."""
    match written.get("rope_parameters"):
        case {"rope_theta": theta, **rest}:
            is_scaled = rest.get("rope_type", "default") != "default"
            return {"rope_theta": theta, **({"rope_scaling": dict(rest)} if is_scaled else {})}
    return {}


def _generation(
    given: Mapping[str, object], config: Mapping[str, object], tokenizer: PreTrainedTokenizerBase
) -> Mapping[str, object]:
    """The base's settings; the token that ended every example in training ends an answer, beside those listed."""
    ids = {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id}
    made = {name: number for name, number in ids.items() if number is not None} if not given else {}
    listed = given.get("eos_token_id", config.get("eos_token_id"))
    ends = [*(listed if isinstance(listed, list) else [listed]), tokenizer.eos_token_id]
    known = list(dict.fromkeys(number for number in ends if number is not None))
    return {**made, **given, "eos_token_id": known[0] if len(known) == 1 else known}


def _open_to_all(directory: Path) -> None:
    """Whatever the umask of this process: the export, and the way to it from the training's own directory."""
    for path in (directory.parent.parent, directory.parent, directory, *sorted(directory.rglob("*"))):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | (FOLDER_MODE if path.is_dir() else FILE_MODE)
        if mode != wanted:
            path.chmod(wanted)


def write_json(file: Path, value: Mapping[str, object]) -> None:
    """Writes a file as people read it: fields in order, one a line."""
    file.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
