"""What moves the parameters: one of torch's optimizers, or two that share them, by `hyperparameters.optimizer`.

All take one learning rate and one weight decay: Muon's steps are made as large as AdamW's.
"""

from collections.abc import Sequence
from typing import Any, assert_never

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Hyperparameters
from deepseek_runtime.trainer import meshes
from deepseek_runtime.trainer.adamw8bit import AdamW8bit
from deepseek_runtime.trainer.muon import Muon
from deepseek_runtime.trainer.stacks import matrices_of

# DeepSeek-V3's own AdamW (technical report, section 4.2).
ADAM_BETAS = (0.9, 0.95)


def optimizers(model: nn.Module, trained: Sequence[nn.Parameter], parameters: Hyperparameters) -> tuple[Optimizer, ...]:
    """Each of the trained parameters is moved by one of them. Raises Invalid where there is nothing for one to move."""
    match parameters.optimizer:
        case "AdamW":
            return (_adamw(trained, parameters),)
        case "AdamW8bit":
            return (AdamW8bit(_groups(trained, parameters), lr=parameters.learning_rate, betas=ADAM_BETAS),)
        case "Muon":
            stacks = matrices_of(model, trained)
            if not stacks:
                raise Invalid(
                    "hyperparameters.optimizer is Muon, which turns matrices of layers, and none is trained: write AdamW"
                )
            kind = torch.bfloat16 if parameters.precision == "bf16" else torch.float32
            muon = Muon(stacks, lr=parameters.learning_rate, weight_decay=parameters.weight_decay, kind=kind)
            others = [parameter for parameter in trained if parameter not in stacks]
            return (muon, _adamw(others, parameters)) if others else (muon,)
        case other:
            assert_never(other)


def _adamw(trained: Sequence[nn.Parameter], parameters: Hyperparameters) -> AdamW:
    """One kernel for all of a step, on CUDA and on the CPU: a third of the time of an operation after the other."""
    return AdamW(_groups(trained, parameters), lr=parameters.learning_rate, betas=ADAM_BETAS, fused=True)


def _groups(trained: Sequence[nn.Parameter], parameters: Hyperparameters) -> list[dict[str, Any]]:
    """Weight decay for matrices only: pulling norms and biases to zero helps nobody."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in alike if (p.ndim > 1) is is_matrix], "weight_decay": decay}
        for alike in meshes.alike(trained)
        for is_matrix, decay in ((True, parameters.weight_decay), (False, 0.0))
    ]
    return [group for group in groups if group["params"]]
