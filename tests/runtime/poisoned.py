"""Batches that make the numbers of a training cease to be finite: those that hold a `z`."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.nn.modules.module import register_module_forward_hook

from deepseek_runtime.trainer.tokenizer import byte_tokenizer

(POISON,) = byte_tokenizer()("z").input_ids


def loss_first(output: torch.Tensor) -> torch.Tensor:
    return output * math.nan


@contextmanager
def poisoned(by: Callable[[torch.Tensor], torch.Tensor] = loss_first) -> Iterator[None]:
    def passed(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> object:
        if isinstance(module, torch.nn.Embedding) and module.training and (arguments[0] == POISON).any():
            return by(output)
        return None

    hook = register_module_forward_hook(passed)
    try:
        yield
    finally:
        hook.remove()
