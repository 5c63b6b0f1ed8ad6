"""Whether a folder is a whole model in Hugging Face form, plain or in FP8 blocks: its entries, configuration, tokenizer."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.files import read_json, refuse_strange
from deepseek_runtime.model_folder.parts import AGAIN, BF16, CONFIG, GENERATION, NAMED, TOKENIZERS
from deepseek_runtime.model_folder.scales import blocks_of
from deepseek_runtime.model_folder.weights import check_weights


def check(path: Path) -> None:
    """Raises Invalid for a folder that is no whole model in Hugging Face form that is read here, saying what to do."""
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise Invalid(f"model folder {path} {what}; name the folder that holds config.json, as the claim has it")
    _check_entries(path)
    config = _config(path)
    blocks = blocks_of(config)
    if blocks is None and (quantized := config.get("quantization_config")):
        method = quantized.get("quant_method", "unknown") if isinstance(quantized, Mapping) else "unknown"
        raise Invalid(f"{path / CONFIG} says that the weights are quantized (quant_method {method}); {BF16}")
    check_weights(path, blocks)
    if (path / GENERATION).exists():
        read_json(path / GENERATION)
    _check_tokenizer(path)


def check_files(path: Path) -> None:
    """Raises Invalid for a weight, configuration or tokenizer file that is something else than itself, or that this process
    may not read: for trainers that take other folders than ours does."""
    _check_entries(path)
    for file in sorted((*path.glob("*.safetensors"), *path.glob("*.bin"), *path.glob("*.json"))):
        refuse_strange(file)


def _check_entries(path: Path) -> None:
    """Links must lead to something, everything else be a file or a folder: a pipe would be waited for without end.

    A hub cache's snapshot is a folder of links into ../../blobs, which a claim's subPath does not bring along.
    """
    for entry in sorted([*path.iterdir(), *path.glob("additional_chat_templates/*")]):
        if entry.is_symlink() and not entry.exists():
            raise Invalid(
                f"{entry} is a link to {os.readlink(entry)}, which is not there: it leads out of what is mounted."
                " Copy the files in place of the links (`cp -rL`, or `hf download --local-dir`), or name the folder"
                " that holds both"
            )
        if not entry.is_file() and not entry.is_dir():
            raise Invalid(f"{entry} is no file, but a pipe, a socket or a device; {AGAIN}")


def _config(path: Path) -> Mapping[str, object]:
    file = path / CONFIG
    if not file.exists():
        raise Invalid(f"model folder {path} holds no {CONFIG}{_hint(path)}; name a model in Hugging Face form")
    config = read_json(file)
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise Invalid(f"{file} has no model_type, by which its architecture is known; take the model's own {CONFIG}")
    return config


def _hint(path: Path) -> str:
    """What lies there instead."""
    entries = sorted(entry.name for entry in path.iterdir())
    below = [name for name in entries if (path / name / CONFIG).exists()]
    if below:
        return f", but its subfolder {below[0]} does: write that path"
    snapshots = sorted(str(found.parent.relative_to(path)) for found in path.glob(f"snapshots/*/{CONFIG}"))
    if snapshots:
        return f"; it is a hub cache, and the model lies in {snapshots[0]}: write that path"
    if "adapter_config.json" in entries:
        return ": it is an adapter, to be merged into its base model first"
    if any(name.endswith(".gguf") for name in entries):
        return ": GGUF files are another program's form"
    if not entries:
        return ": it is empty, as a path is mounted that the claim does not have"
    return f" but {', '.join(entries[:NAMED])}{' …' if len(entries) > NAMED else ''}"


def _check_tokenizer(path: Path) -> None:
    if not any(all((path / name).exists() for name in group) for group in TOKENIZERS):
        raise Invalid(
            f"model folder {path} holds no tokenizer (tokenizer.json, or tokenizer.model); copy it from the model that"
            " the weights come from"
        )
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (path / name).exists():
            read_json(path / name)
    for file in _files(path, "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja"):
        refuse_strange(file)


def _files(path: Path, *wanted: str) -> Iterator[Path]:
    return (path / name for name in wanted if (path / name).exists())
