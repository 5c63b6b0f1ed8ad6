"""The loss of a batch without its logits: the model's head is applied piece by piece of the tokens.

The logits of all tokens over the vocabulary, in the computation's type, in fp32, and their gradient, are often the
largest thing in a training's memory: 14 GiB for a sequence of 8,192 over 152,064 words. Here a piece's logits live until
its loss is known, and backward computes them again; a piece is as many tokens as make them about as large as the hidden
states, as in Liger's fused linear cross entropy (arXiv 2410.10989, section 3.2). It costs the head's matrix product once
more. The sum has another order, so the loss is the same but for rounding.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from deepseek_runtime.trainer.data.example import IGNORED, Batch

# Smaller pieces leave a device idle between them, and their logits are small anyway.
FEWEST_TOKENS = 16


def nats_and_matches(model: PreTrainedModel, batch: Batch) -> tuple[torch.Tensor, int]:
    """Sum of the token losses, a number with its gradient, and how many sequences have the likeliest token everywhere.

    The head is computed inside the model's own forward pass: under FSDP its weights are whole nowhere else.
    """
    head = model.get_output_embeddings()
    with _computing(head, lambda hidden: _scores(head, hidden, batch.labels)):
        scores: torch.Tensor = model(**batch.inputs, use_cache=False).logits
    return scores[0], int(scores[1])


@contextmanager
def _computing(head: nn.Module, forward: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Meanwhile the module computes something else of its input; its weights, and who hooks to it, stay."""
    head.forward = forward
    try:
        yield
    finally:
        del head.forward


def _scores(head: nn.Module, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The two numbers of `nats_and_matches`, as one tensor of shape (2,)."""
    tokens, wanted = hidden.flatten(0, 1), labels.flatten()
    size = max(FEWEST_TOKENS, tokens.shape[0] * tokens.shape[1] // head.weight.shape[0])
    pieces = [
        checkpoint(_piece, head, *piece, use_reentrant=False, preserve_rng_state=False)
        for piece in zip(tokens.split(size), wanted.split(size), strict=True)
    ]
    nats = torch.stack([nats for nats, _ in pieces]).sum()
    is_right = torch.cat([is_right for _, is_right in pieces]).view_as(labels)
    return torch.stack([nats, is_right.all(-1).sum().to(nats.dtype)])


def _piece(head: nn.Module, hidden: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = type(head).forward(head, hidden).float()
    nats = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return nats, (logits.argmax(-1) == labels) | (labels == IGNORED)
