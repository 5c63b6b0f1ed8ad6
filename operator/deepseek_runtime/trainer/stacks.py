"""Which parameters are matrices that a layer multiplies by, and how many of them one parameter holds.

Embeddings and the head are looked up row by row, norms and biases are vectors, a router's rows are names of experts: none
of these is turned as a whole, and Muon leaves them to AdamW (its author's and Moonshot's rule, arXiv 2502.16982, 2.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from peft.tuners.lora.layer import ParamWrapper
from torch import nn

_FUSED = 3
"""Axes of the tensor of all experts of a layer, each of which is a matrix."""


@dataclass(frozen=True)
class Stack:
    """`count` matrices in one parameter: below each other, or column by column in turns (`is_woven`)."""

    count: int = 1
    is_woven: bool = False

    def apart(self, whole: torch.Tensor) -> torch.Tensor:
        """All of them, of shape (matrices, rows, columns)."""
        if self.is_woven:
            return whole.reshape(whole.shape[0], -1, self.count).permute(2, 0, 1)
        matrices = whole.numel() // (whole.shape[-2] * whole.shape[-1]) * self.count
        return whole.reshape(matrices, whole.shape[-2] // self.count, whole.shape[-1])

    def together(self, matrices: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """As one parameter of that shape again."""
        return (matrices.permute(1, 2, 0) if self.is_woven else matrices).reshape(shape)


def matrices_of(model: nn.Module, trained: Sequence[nn.Parameter]) -> dict[nn.Parameter, Stack]:
    """The trained parameters that hold such matrices."""
    left = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    if (head := _head(model)) is not None:
        left.add(id(head.weight))
    stacks = {**_layers(model), **_experts(model), **_adapters_of_experts(model)}
    return {one: stacks[one] for one in trained if one in stacks and id(one) not in left}


def _head(model: nn.Module) -> nn.Module | None:
    found = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return found if isinstance(found, nn.Module) else None


def _layers(model: nn.Module) -> dict[nn.Parameter, Stack]:
    return {module.weight: Stack() for module in model.modules() if isinstance(module, nn.Linear)}


def _experts(model: nn.Module) -> dict[nn.Parameter, Stack]:
    """Each expert's are its own; what opens its gate and what passes it lie below each other in one tensor, and are two as
    in a layer without experts."""
    return {
        parameter: Stack(2 if name.endswith("gate_up_proj") else 1)
        for name, parameter in model.named_parameters()
        if parameter.ndim == _FUSED
    }


def _adapters_of_experts(model: nn.Module) -> dict[nn.Parameter, Stack]:
    """peft keeps those of all experts in one A and one B (0.21, `ParamWrapper.get_delta_factors`)."""
    found: dict[nn.Parameter, Stack] = {}
    for module in model.modules():
        if isinstance(module, ParamWrapper):
            found |= {layer.weight: Stack(module.num_experts) for layer in module.lora_A.values()}
            found |= {layer.weight: Stack(module.num_experts, is_woven=True) for layer in module.lora_B.values()}
    return found
