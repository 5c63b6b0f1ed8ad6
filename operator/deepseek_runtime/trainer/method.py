"""The method: which parameters are trained, and what of the model goes into checkpoints and exports."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime import spec
from deepseek_runtime.trainer import export


class Method(Protocol):
    """Each of these but `write` is called by all ranks together."""

    def trained(self, model: nn.Module) -> list[nn.Parameter]:
        """What the optimizer moves."""
        ...

    def weights(self, model: nn.Module) -> dict[str, Any]:
        """What a checkpoint holds of the model, by name: references to the live tensors."""
        ...

    def take(self, model: nn.Module, weights: dict[str, Any]) -> None:
        """Gives the model the weights of a checkpoint, as `weights` returns them."""
        ...

    def exported(self, model: PreTrainedModel, precision: spec.Precision) -> dict[str, torch.Tensor]:
        """What an export holds, on the host of rank 0; nothing on other ranks."""
        ...

    def write(
        self,
        directory: Path,
        model: PreTrainedModel,
        weights: Mapping[str, torch.Tensor],
        tokenizer: PreTrainedTokenizerBase,
        source: spec.Custom | spec.Weights,
    ) -> None:
        """Writes all files of an export but its manifest, on rank 0 alone."""
        ...


class Full:
    """All parameters are trained and saved; an export is the whole model."""

    def trained(self, model: nn.Module) -> list[nn.Parameter]:
        return [parameter for parameter in model.parameters() if parameter.requires_grad]

    def weights(self, model: nn.Module) -> dict[str, Any]:
        held: dict[str, Any] = get_model_state_dict(model)
        return held

    def take(self, model: nn.Module, weights: dict[str, Any]) -> None:
        set_model_state_dict(model, weights)

    def exported(self, model: PreTrainedModel, precision: spec.Precision) -> dict[str, torch.Tensor]:
        return export.full_weights(model, precision)

    def write(
        self,
        directory: Path,
        model: PreTrainedModel,
        weights: Mapping[str, torch.Tensor],
        tokenizer: PreTrainedTokenizerBase,
        source: spec.Custom | spec.Weights,
    ) -> None:
        export.write_export(directory, model, weights, tokenizer, source)


def method_of(asked: spec.Method) -> Method:
    match asked:
        case spec.Full():
            return Full()
