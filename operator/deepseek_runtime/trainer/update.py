"""One optimizer step on one rank: forward, backward, clip, step."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel

from deepseek_runtime.trainer import meshes
from deepseek_runtime.trainer.balancing import Balance
from deepseek_runtime.trainer.data.corpus import Corpus
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.expert_load import ExpertLoad
from deepseek_runtime.trainer.gauges import least_seconds
from deepseek_runtime.trainer.objective import Objective
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.schedule import learning_rate
from deepseek_runtime.trainer.state import State


@dataclass(frozen=True)
class Update:
    """What one rank knows of a step that it made.

    Attributes:
        loss_sum: of this rank's share of the global batch.
        weight: of the whole global batch; the summed loss of all ranks divided by it is the step's loss.
        tokens: read by all ranks.
        data_s: seconds that it waited for its examples.
        least_s: seconds that all devices would take for them at their peak; None where that is not known.
        gradient_norm: of all ranks' gradients before they were clipped.
        learning_rate: that the step was made with.
        is_finite: whether the gradients and this rank's share of the parameters are.
    """

    loss_sum: float
    weight: int
    tokens: int
    data_s: float
    least_s: float | None
    gradient_norm: float
    learning_rate: float
    is_finite: bool

    @property
    def learnt(self) -> dict[str, float]:
        """What is told of the step, by the names in /progress."""
        return {
            "gradientNorm": self.gradient_norm,
            "learningRate": self.learning_rate,
            "dataWaitSeconds": round(self.data_s, 6),
        }


@dataclass(frozen=True)
class Learner:
    """The model and what makes it learn. `balance` is None where experts stay as they are chosen, `load` where nobody counts
    what they get."""

    rank: Rank
    model: PreTrainedModel
    pad_id: int
    state: State
    objective: Objective
    corpus: Corpus
    max_steps: int
    balance: Balance | None = None
    load: ExpertLoad | None = None

    def update(self, step: int, batch: int) -> Update:
        """Makes that step of that batch of the order, both counted from 1."""
        gang, since = self.rank.gang, time.monotonic()
        chosen = self.corpus.batch(batch)
        data_s = time.monotonic() - since
        weight = max(1, self.objective.weight(chosen))
        share = chosen[gang.rank * len(chosen) // gang.world_size : (gang.rank + 1) * len(chosen) // gang.world_size]
        loss_sum = self._backward(share, weight)
        tokens = sum(len(example.tokens) for example in chosen)
        least_s = least_seconds(self.rank.contract.work, chosen)
        return Update(loss_sum, weight, tokens, data_s, least_s, *self._move(step))

    def _backward(self, share: Sequence[Example], weight: int) -> float:
        """Gradients of this rank's share, in passes that its memory has room for; returns its summed loss."""
        gang = self.rank.gang
        total = torch.zeros((), dtype=torch.float64, device=gang.device)
        size = min(self.rank.parameters.micro_batch_size or len(share), len(share))
        for first in range(0, len(share), size):
            if isinstance(self.model, FSDPModule):
                self.model.set_requires_gradient_sync(first + size >= len(share))
            some = share[first : first + size]
            with (
                self.balance.counting(some) if self.balance is not None else nullcontext(),
                self.load.counting(some) if self.load else nullcontext(),
            ):
                loss = self.objective.loss_sum(self.model, some, self.pad_id, gang.device)
            # FSDP averages gradients over the ranks; a sum over all of them is wanted.
            (loss * (gang.world_size / weight)).backward()
            total += loss.detach()
        return float(total)  # waits for the device, once a step

    def _move(self, step: int) -> tuple[float, float, bool]:
        """Clips the gradients and moves the parameters; the last three of an Update."""
        self.state.snapshot.wait()
        parameters, rate = self.rank.parameters, learning_rate(self.rank.parameters, step, self.max_steps)
        if self.state.compression is not None:
            self.state.compression.reduce(step)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = meshes.norm(gradients)
        if parameters.gradient_clip_norm:
            meshes.clip(gradients, parameters.gradient_clip_norm, norm)
        for optimizer in self.state.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        if self.balance is not None:
            self.balance.move()
        known = float(norm)
        return known, rate, math.isfinite(known) and self.state.has_finite_parameters()
