"""An example as token ids, and batches of tensors made of them."""

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import torch

IGNORED = -100


@dataclass(frozen=True)
class Example:
    """Token ids; those before `loss_from` are only read, not predicted."""

    tokens: "array[int]"
    loss_from: int

    @property
    def targets(self) -> int:
        """How many tokens are predicted: the first token of a text never is."""
        return len(self.tokens) - max(self.loss_from, 1)

    @property
    def prompt(self) -> list[int]:
        return self.tokens[: self.loss_from].tolist()

    @property
    def completion(self) -> list[int]:
        return self.tokens[self.loss_from :].tolist()


@dataclass(frozen=True)
class Batch:
    """Right-padded ids and labels of shape (sequences, tokens); labels are shifted, IGNORED where no loss is."""

    ids: torch.Tensor
    labels: torch.Tensor


def collate(examples: Sequence[Example], pad_id: int, device: torch.device) -> Batch:
    """Pads to the longest. Causal attention lets no real token see the padding after it."""
    width = max(len(example.tokens) for example in examples) - 1
    ids = torch.full((len(examples), width), pad_id, dtype=torch.long)
    labels = torch.full((len(examples), width), IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        tokens = torch.tensor(example.tokens, dtype=torch.long)
        ids[row, : len(tokens) - 1] = tokens[:-1]
        start = max(example.loss_from, 1)
        labels[row, start - 1 : len(tokens) - 1] = tokens[start:]
    return Batch(ids.to(device), labels.to(device))


def fingerprint(examples: Sequence[Example]) -> str:
    """Names the data: a resume with other examples under the same step is no exact continuation."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(example.loss_from.to_bytes(4, "little"))
        digest.update(example.tokens.tobytes())
    return digest.hexdigest()
