"""An adapter's files: the note beside its tensors in a checkpoint, and its export in the form of peft.

The note says what the tensors mean: which matrices they stand beside, scaled how, and whose. Without it a checkpoint
would be gone on from with another scale or beside another base, and nobody would be told.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig
from safetensors.torch import save_file

from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE_FIELD
from deepseek_runtime.model_folder.files import read_json
from deepseek_runtime.trainer.export import finish, write_json

_NAMES_OF_EXPERTS = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Note:
    """`base` is the digest of the weights that were trained beside; `settings`, below `method.<block>`, say what the
    tensors mean: of LoRA rank, alpha and the ends of paths that are adapted, of prompts the virtual tokens."""

    method: str
    base: str
    block: str
    settings: Mapping[str, object]


def encode(note: Note) -> bytes:
    """The content of adapter.json."""
    return json.dumps({"method": note.method, **note.settings, "base": note.base}).encode()


def refuse_other(wanted: Note, content: bytes | None, step: int) -> None:
    """Raises Invalid where the checkpoint of that step is no earlier state of the wanted adapter, saying what to write."""
    if content is None:
        raise Invalid(
            f"the checkpoint of step {step} holds all parameters, of a training of method Full: write method.type Full,"
            " or start an adapter beside its export (model.fromTraining in place of checkpoints.resume.from)"
        )
    held = _decoded(content)
    if (method := method_of(content)) != wanted.method:
        raise Invalid(
            f"the checkpoint of step {step} is of a training of method {method}: write method.type {method}, or begin a"
            " new training without checkpoints.resume.from"
        )
    if held.get("base") != wanted.base:
        raise Invalid(
            f"the base's weights (sha256 {wanted.base[:12]}) are not those that the adapter of step {step} was trained"
            f" beside (sha256 {str(held.get('base'))[:12]}): put those back, or begin a new training beside these,"
            " without checkpoints.resume.from"
        )
    for name, now in wanted.settings.items():
        if (then := held.get(name)) != now:
            shown = f"[{', '.join(map(str, then))}]" if isinstance(then, list) else then
            raise Invalid(
                f"the adapter of step {step} has {name} {shown}: write method.{wanted.block}.{name}: {shown}, or begin a new"
                " training without checkpoints.resume.from"
            )


def method_of(note: bytes) -> str:
    """The method that a note's checkpoint is of."""
    return str(_decoded(note).get("method"))


def _decoded(note: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(note)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


def write_adapter(
    directory: Path, weights: Mapping[str, torch.Tensor], config: PeftConfig, base: str, base_name: str | None
) -> None:
    """Writes all files of the export but its manifest, readable for everybody. `weights` are named as peft reads them."""
    directory.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()},
        directory / ADAPTER_WEIGHTS,
        metadata={"format": "pt"},
    )
    shown = replace(config, base_model_name_or_path=base_name, inference_mode=True)
    shown.save_pretrained(str(directory))
    write_json(directory / ADAPTER_CONFIG, {**read_json(directory / ADAPTER_CONFIG), BASE_FIELD: base})
    finish(directory)


def as_read(config: LoraConfig, weights: Mapping[str, torch.Tensor]) -> LoraConfig:
    """The configuration under which peft finds the same matrices again in the whole model.

    Beside fused experts it takes names of dense layers for those of experts (see `lora`); a layer's weight, named as a
    parameter, it takes as it is, with the same tensors. Parameters know no dropout, which is of training alone.
    """
    layers, tensors = set(config.target_modules or ()), set(config.target_parameters or ())
    has_experts = any(".experts." in name or ".shared_experts." in name for name in weights)
    misread = {name for name in layers if has_experts and name.rpartition(".")[2] in _NAMES_OF_EXPERTS}
    if not (misread or tensors):
        return config
    return replace(
        config,
        target_modules=sorted(layers - misread),
        target_parameters=sorted(tensors | {f"{name}.weight" for name in misread}),
        lora_dropout=0.0,
    )
