"""What the methods share that train something beside a base: the base is frozen, and left out of checkpoints."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from transformers import PreTrainedModel

from deepseek_runtime.spec import Precision
from deepseek_runtime.trainer import adapter
from deepseek_runtime.trainer.export import exported_kind


class Beside:
    """The base is kept in the type of the computation, since nothing is added to it; what is trained is fp32, as always."""

    def describe(self, model: PreTrainedModel) -> adapter.Note:
        """What a checkpoint says of it: whoever goes on from one is the same in this."""
        raise NotImplementedError

    def note(self, model: PreTrainedModel) -> bytes | None:
        return adapter.encode(self.describe(model))

    def accept(self, model: PreTrainedModel, note: bytes | None, step: int) -> None:
        adapter.refuse_other(self.describe(model), note, step)

    def trained(self, model: nn.Module) -> list[nn.Parameter]:
        return [parameter for parameter in model.parameters() if parameter.requires_grad]

    def weights(self, model: nn.Module) -> dict[str, Any]:
        return own(model, get_model_state_dict(model, options=StateDictOptions(ignore_frozen_params=True)))

    def take(self, model: nn.Module, weights: dict[str, Any]) -> None:
        # Not strict: the base's weights are not among them.
        set_model_state_dict(model, weights, options=StateDictOptions(strict=False))


def narrow(model: PreTrainedModel, precision: Precision) -> None:
    """Makes the frozen parameters as wide as the computation."""
    for parameter in model.parameters():
        if not parameter.requires_grad and parameter.is_floating_point():
            parameter.data = parameter.data.to(exported_kind(precision))


def whole(model: nn.Module, *, with_base: bool = False) -> dict[str, torch.Tensor]:
    """What is trained, with or without the base, on the host of rank 0; nothing on other ranks. All ranks together."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=not with_base)
    weights: dict[str, torch.Tensor] = get_model_state_dict(model, options=options)
    return weights if with_base else own(model, weights)


def own(model: nn.Module, weights: Mapping[str, Any]) -> dict[str, Any]:
    """The trained ones: torch leaves frozen weights out by one name only, and buffers never."""
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: tensor for name, tensor in weights.items() if name in names}
