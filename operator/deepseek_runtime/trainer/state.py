"""What a checkpoint holds: weights, optimizer state, each rank's random state, and the name of the data.

The place in the data is the step itself (see `data.Order`), the learning rate a function of it.
"""

import io
import random
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.optim import Optimizer

from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer.compression import Compression
from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.method import Method
from deepseek_runtime.trainer.snapshot import Snapshot

# What names of the optimizers' tensors begin with in a checkpoint.
_MOMENTS = "optimizer.state."
# Fields that only this optimizer keeps of a parameter; AdamW keeps what is left.
_FIELDS = {"exp_avg_scale": "AdamW8bit", "momentum_buffer": "Muon"}
_COMPRESSION = "compression"


@dataclass(frozen=True)
class State:
    """The parts of a training that change with every step. Each trained parameter is moved by one of the optimizers.

    Whoever changes them waits for `snapshot` first, which a save may just be taking.
    """

    model: nn.Module
    optimizers: tuple[Optimizer, ...]
    method: Method
    compression: Compression | None = None
    snapshot: Snapshot = field(default_factory=Snapshot)

    def tensors(self, step: int) -> dict[str, dict[str, Any]]:
        """References to the live tensors after a step; whoever writes them later must copy them first.

        Before the first step there are weights alone: an optimizer without a past is asked for nothing, or torch would
        make it one, of one step.
        """
        weights = {"model": self.method.weights(self.model)}
        if not step:
            return weights
        kept = {_COMPRESSION: self.compression.tensors()} if self.compression is not None else {}
        return {**weights, "optimizer": get_optimizer_state_dict(self.model, self.optimizers), **kept}

    def accept(self, held: Held) -> None:
        """Raises Invalid where a checkpoint holds the state of another optimizer, saying what to write. All ranks together."""
        if not (step := held.manifest.step):
            return
        own = {field for fields in self.tensors(step)["optimizer"]["state"].values() for field in fields}
        names = held.metadata.state_dict_metadata
        known = {name.rpartition(".")[2] for name in names if name.startswith(_MOMENTS)}
        if known and known != own:
            raise Invalid(
                f"the checkpoint of step {step} holds the state of optimizer {_named(known)}, this training's is"
                f" {_named(own)}: write hyperparameters.optimizer {_named(known)} as there, or begin with its weights alone"
                " (initFrom in place of checkpoints.resume.from)"
            )

    def load(self, held: Held) -> None:
        """Reads this rank's share, whatever the number of ranks that wrote it. Raises Damaged.

        Only tensors are read: the optimizer's settings are those of the specification.
        """
        if held.manifest.step == 0:
            for optimizer in self.optimizers:
                optimizer.state.clear()
            self.load_weights(held)
            if self.compression is not None:
                self.compression.take({})
            return
        with held.reading():
            tensors = self.tensors(held.manifest.step)
            moments = tensors["optimizer"]["state"]
            unmoved = self._take_unmoved(moments, held.metadata)
            # These are the optimizers' own tensors: given back to torch, moments of 8 bits would be made fp32.
            held.fill({"model": tensors["model"], "optimizer": {"state": moments}})
            self.method.take(self.model, tensors["model"])
            for optimizer in self.optimizers:
                for parameter in unmoved:
                    optimizer.state.pop(parameter, None)
            if self.compression is not None:
                self._load_compression(self.compression, held)

    def _load_compression(self, compression: Compression, held: Held) -> None:
        described = held.metadata.state_dict_metadata
        sizes = {
            name.removeprefix(f"{_COMPRESSION}."): entry.size
            for name, entry in described.items()
            if name.startswith(f"{_COMPRESSION}.") and isinstance(entry, TensorStorageMetadata)
        }
        kept = compression.wanted(sizes)
        if kept:
            held.fill({_COMPRESSION: kept})
        compression.take(kept)

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


def _named(fields: set[str]) -> str:
    """The optimizer that keeps these of its parameters."""
    return next((name for field, name in _FIELDS.items() if field in fields), "AdamW")


def random_state() -> bytes:
    """The state of every random source of this process."""
    buffer = io.BytesIO()
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    version, words, gauss = random.getstate()
    torch.save({"torch": torch.get_rng_state(), "cuda": cuda, "python": [version, list(words), gauss]}, buffer)
    return buffer.getvalue()
