"""What a checkpoint holds: weights, optimizer state, each rank's random state, and the name of the data.

The place in the data is the step itself (see `data.Order`), the learning rate a function of it.
"""

import io
import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.method import Method


@dataclass(frozen=True)
class State:
    """The parts of a training that change with every step."""

    model: nn.Module
    optimizer: Optimizer
    method: Method

    def tensors(self, step: int) -> dict[str, dict[str, Any]]:
        """References to the live tensors after a step; whoever writes them later must copy them first.

        Before the first step there are weights alone: an optimizer without a past is asked for nothing, or torch would
        make it one, of one step.
        """
        weights = {"model": self.method.weights(self.model)}
        return {**weights, "optimizer": get_optimizer_state_dict(self.model, self.optimizer)} if step else weights

    def load(self, held: Held) -> None:
        """Reads this rank's share, whatever the number of ranks that wrote it. Raises Damaged.

        Only tensors are read: the optimizer's settings are those of the specification.
        """
        if held.manifest.step == 0:
            self.optimizer.state.clear()
            self.load_weights(held)
            return
        with held.reading():
            tensors = self.tensors(held.manifest.step)
            moments = tensors["optimizer"]["state"]
            unmoved = self._take_unmoved(moments, held.metadata)
            held.fill({"model": tensors["model"], "optimizer": {"state": moments}})
            self.method.take(self.model, tensors["model"])
            options = StateDictOptions(strict=not unmoved)
            set_optimizer_state_dict(self.model, self.optimizer, tensors["optimizer"], options=options)
            for parameter in unmoved:
                self.optimizer.state.pop(parameter, None)

    def _take_unmoved(self, states: dict[str, dict[str, object]], metadata: Metadata) -> list[nn.Parameter]:
        """Takes the parameters out that never got a gradient, such as those of DeepSeek-V3.2's indexer, whose choice
        of tokens has none: the optimizer that was saved knew nothing of them, and torch makes a state for all."""
        held = metadata.state_dict_metadata
        unmoved = {
            name: parameter
            for name, parameter in self.model.named_parameters()
            if not any(f"optimizer.state.{name}.{field}" in held for field in states.get(name, ()))
        }
        for name in unmoved:
            states.pop(name, None)
        return list(unmoved.values())

    def load_weights(self, held: Held) -> None:
        """Reads this rank's share of the parameters alone. Raises Damaged."""
        with held.reading():
            weights = {"model": self.method.weights(self.model)}
            held.fill(weights)
            self.method.take(self.model, weights["model"])

    def has_finite_parameters(self) -> bool:
        """Whether this rank's share of the parameters that are trained holds neither NaN nor infinity."""
        moved = (p for p in self.model.parameters() if p.requires_grad)
        shares = (p.to_local() if hasattr(p, "to_local") else p for p in moved)
        # Asked at every step: a sum is one pass without a copy, finite just when all are (finite ones would have to add
        # up to 3e38), and only one answer is waited for.
        return bool(torch.isfinite(torch.stack([share.sum() for share in shares])).all())


def random_state() -> bytes:
    """The state of every random source of this process."""
    buffer = io.BytesIO()
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    version, words, gauss = random.getstate()
    torch.save({"torch": torch.get_rng_state(), "cuda": cuda, "python": [version, list(words), gauss]}, buffer)
    return buffer.getvalue()
