"""What a checkpoint holds: weights, optimizer state, each rank's random state, and the name of the data.

The place in the data is the step itself (see `data.Order`), the learning rate a function of it.
"""

import io
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

DATA_NAME = "data.json"


@dataclass(frozen=True)
class State:
    """The parts of a training that change with every step."""

    model: nn.Module
    optimizer: Optimizer

    def tensors(self) -> dict[str, dict[str, Any]]:
        """References to the live tensors; whoever writes them later must copy them first."""
        return {
            "model": get_model_state_dict(self.model),
            "optimizer": get_optimizer_state_dict(self.model, self.optimizer),
        }

    def load(self, directory: Path) -> None:
        """Reads this rank's share, whatever the number of ranks that wrote it."""
        tensors = self.tensors()
        unmoved = self._take_unmoved(tensors["optimizer"]["state"], directory)
        dcp.load(tensors, checkpoint_id=directory)
        set_model_state_dict(self.model, tensors["model"])
        options = StateDictOptions(strict=not unmoved)
        set_optimizer_state_dict(self.model, self.optimizer, tensors["optimizer"], options=options)
        for parameter in unmoved:
            self.optimizer.state.pop(parameter, None)

    def _take_unmoved(self, states: dict[str, dict[str, object]], directory: Path) -> list[nn.Parameter]:
        """Takes the parameters out that never got a gradient, such as those of DeepSeek-V3.2's indexer, whose choice
        of tokens has none: the optimizer that was saved knew nothing of them, and torch makes a state for all."""
        held = FileSystemReader(directory).read_metadata().state_dict_metadata
        unmoved = {
            name: parameter
            for name, parameter in self.model.named_parameters()
            if not any(f"optimizer.state.{name}.{field}" in held for field in states.get(name, ()))
        }
        for name in unmoved:
            states.pop(name, None)
        return list(unmoved.values())

    def load_weights(self, directory: Path) -> None:
        weights = {"model": get_model_state_dict(self.model)}
        dcp.load(weights, checkpoint_id=directory)
        set_model_state_dict(self.model, weights["model"])

    def has_finite_parameters(self) -> bool:
        """Whether this rank's share of the parameters holds neither NaN nor infinity."""
        shares = (p.to_local() if hasattr(p, "to_local") else p for p in self.model.parameters())
        # Asked at every step: a sum is one pass without a copy, finite just when all are (finite ones would have to add
        # up to 3e38), and only one answer is waited for.
        return bool(torch.isfinite(torch.stack([share.sum() for share in shares])).all())


def random_file(rank: int) -> str:
    return f"random-{rank:05d}.pt"


def random_state() -> bytes:
    """The state of every random source of this process."""
    buffer = io.BytesIO()
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    version, words, gauss = random.getstate()
    torch.save({"torch": torch.get_rng_state(), "cuda": cuda, "python": [version, list(words), gauss]}, buffer)
    return buffer.getvalue()


def restore_random_state(file: Path, seed: int) -> bool:
    """Goes on where this rank's random sources were; a rank that did not exist then gets fresh ones and False."""
    if not file.exists():
        torch.manual_seed(seed)
        random.seed(seed)
        return False
    saved = torch.load(file, weights_only=True)
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(saved["cuda"])
    version, words, gauss = saved["python"]
    random.setstate((version, tuple(words), gauss))
    return True
