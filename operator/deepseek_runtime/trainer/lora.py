"""LoRA: the base stays as it is, two narrow matrices beside each target learn (arXiv 2106.09685), by peft."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer, LoraModel
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime import spec
from deepseek_runtime.trainer import adapter, export
from deepseek_runtime.trainer.beside import Beside, narrow, whole
from deepseek_runtime.trainer.targets import blocks_of, targets_of

_NAME = "default"
"""What peft calls an adapter that is the only one."""
_PREFIX = "base_model.model."
"""What peft puts before every name: its own wrapper, and in it the model."""
_BASE = ".base_layer."
"""In the path of every weight that an adapter stands beside."""


@dataclass(frozen=True)
class Lora(Beside):
    """`base` is the digest of the base's weights. Checkpoints hold the adapter alone."""

    asked: spec.LoRA
    base: str
    precision: spec.Precision
    seed: int

    def prepare(self, model: PreTrainedModel) -> None:
        # Every rank draws the same first matrices.
        torch.manual_seed(self.seed)
        model.requires_grad_(False)
        # Into the blocks, not into the model: where it knows the architecture, peft takes the dense layers beside fused
        # experts for names that the experts had in transformers 4, and adapts those instead (0.21, "qwen2_moe").
        inject_adapter_in_model(self._config(model), blocks_of(model), _NAME)
        _draw(model)
        narrow(model, self.precision)

    def begin(self, model: PreTrainedModel) -> None:
        """The first matrices were drawn before it was divided."""

    def exported(self, model: PreTrainedModel, precision: spec.Precision) -> dict[str, torch.Tensor]:
        is_merged = self.asked.export == "Merged"
        weights = whole(model, with_base=is_merged)
        if not weights:
            return {}
        if is_merged:
            return export.as_exported(model, _merged(model, weights), precision)
        kind = export.exported_kind(precision)
        return {name.replace(f".{_NAME}.", "."): tensor.to(kind) for name, tensor in weights.items()}

    def write(
        self,
        directory: Path,
        model: PreTrainedModel,
        weights: Mapping[str, torch.Tensor],
        tokenizer: PreTrainedTokenizerBase,
        source: spec.Custom | spec.Weights,
    ) -> None:
        if self.asked.export == "Merged":
            export.write_export(directory, model, weights, tokenizer, source)
        else:
            name = source.name if isinstance(source, spec.Weights) else None
            named = {f"{_PREFIX}{path}": tensor for path, tensor in weights.items()}
            adapter.write_adapter(directory, named, adapter.as_read(_config_of(model), weights), self.base, name)

    def _config(self, model: PreTrainedModel) -> LoraConfig:
        targets = targets_of(model, self.asked.targets)
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=self.asked.rank,
            lora_alpha=self.asked.alpha,
            lora_dropout=self.asked.dropout,
            target_modules=list(targets.layers),
            target_parameters=list(targets.tensors) or None,
        )

    def describe(self, model: PreTrainedModel) -> adapter.Note:
        config = _config_of(model)
        targets = [*sorted(config.target_modules or ()), *sorted(config.target_parameters or ())]
        settings = {"rank": self.asked.rank, "alpha": self.asked.alpha, "targets": targets}
        return adapter.Note("LoRA", self.base, "lora", settings)


def _draw(model: nn.Module) -> None:
    """First matrices, on the host: peft puts them beside the base, which is an outline without numbers yet."""
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            for matrices in (layer.lora_A, layer.lora_B):
                matrices.to_empty(device="cpu")
            layer.reset_lora_parameters(_NAME, True)


def _config_of(model: PreTrainedModel) -> LoraConfig:
    """What the model was prepared with."""
    config = blocks_of(model).peft_config[_NAME]
    assert isinstance(config, LoraConfig)
    return config


def _merged(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The base's weights with the adapter added, under the names of a model without one. On one process, in fp32: a sum
    in bf16 would lose what is small beside the base's."""
    with torch.device("meta"):
        shell = AutoModelForCausalLM.from_config(model.config, trust_remote_code=False)
    tuner = LoraModel(blocks_of(shell), {_NAME: _config_of(model)}, _NAME, low_cpu_mem_usage=True)
    # Copies: on a CPU what was gathered may be the very weights that are trained beside.
    wide = {name: tensor.to(torch.float32, copy=True) if _BASE in name else tensor for name, tensor in weights.items()}
    shell.load_state_dict(wide, strict=False, assign=True)
    tuner.merge_and_unload(progressbar=False)
    return {name: tensor for name, tensor in shell.state_dict().items() if not tensor.is_meta}
