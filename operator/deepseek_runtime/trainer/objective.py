"""The objective: what the loss of a batch is.

A step makes smaller the loss of its global batch: a sum over examples, divided by their weight. Sums are what
micro-batches and ranks can share, so that neither changes the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from deepseek_runtime import spec
from deepseek_runtime.trainer.data.example import IGNORED, Batch, Example, collate
from deepseek_runtime.trainer.pieces import nats_and_matches


class Objective(Protocol):
    """What is known of a batch before it went through the model, and what after."""

    def weight(self, examples: Sequence[Example]) -> int:
        """What the summed loss of these examples is divided by."""
        ...

    def loss_sum(
        self, model: PreTrainedModel, examples: Sequence[Example], pad_id: int, device: torch.device
    ) -> torch.Tensor:
        """The summed loss, a number with its gradient."""
        ...


@dataclass(frozen=True)
class NextToken:
    """Fine-tuning and pre-training: each predicted token costs its surprise in nats, and weighs one.

    `cross_entropy` says whether all logits of a pass are there at once.
    """

    cross_entropy: spec.CrossEntropy = "Whole"

    def weight(self, examples: Sequence[Example]) -> int:
        return sum(example.targets for example in examples)

    def loss_sum(
        self, model: PreTrainedModel, examples: Sequence[Example], pad_id: int, device: torch.device
    ) -> torch.Tensor:
        batch = collate(examples, pad_id, device)
        if self.cross_entropy == "Chunked":
            return nats_and_matches(model, batch)[0]
        return nats(model(**batch.inputs, use_cache=False).logits, batch)


def objective_of(name: spec.Objective, cross_entropy: spec.CrossEntropy = "Whole") -> Objective:
    match name:
        case "SFT" | "Pretrain":
            return NextToken(cross_entropy)
        case other:
            assert_never(other)


def nats(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Sum of the token losses."""
    return functional.cross_entropy(
        logits.flatten(0, 1).float(), batch.labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
