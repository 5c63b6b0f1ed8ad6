"""How good the model is on held-out data: loss per token, and exact matches of greedy completions.

A completion is what the model would write, token by token, exactly when each of its tokens is the likeliest one after
those before it. One pass over the whole text tells that for all of them at once, so nothing is generated: an evaluation
costs as many passes as there are batches, whatever the lengths, and its loss comes from the same passes.

Under FSDP every forward pass is a meeting of all ranks: each makes the same number of them, a rank
without texts of its own goes along with somebody else's and does not count.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from deepseek_runtime.trainer.data.corpus import Heldout
from deepseek_runtime.trainer.data.example import IGNORED, Batch, Example, collate
from deepseek_runtime.trainer.gang import Gang
from deepseek_runtime.trainer.objective import nats
from deepseek_runtime.trainer.pieces import nats_and_matches

# Larger passes gain nothing; smaller ones are taken where training could not hold so many sequences either.
BATCH_SIZE = 64


@dataclass(frozen=True)
class Evaluation:
    """`accuracy` from 0 to 1, None when no held-out prompt has an answer to match; `loss` in nats per token."""

    loss: float
    accuracy: float | None


def evaluate(
    model: PreTrainedModel,
    heldout: Heldout,
    gang: Gang,
    pad_id: int,
    beat: Callable[[], None],
    *,
    micro_batch_size: int,
    wants_stop: Callable[[], bool],
    in_pieces: bool = False,
) -> Evaluation | None:
    """Runs on all ranks together, each with at most `micro_batch_size` sequences per pass; every rank returns the same.

    Every pass is a sign of life. None when any rank was asked to stop: the grace period is for saving.
    """
    size = min(BATCH_SIZE, micro_batch_size * gang.world_size)
    surprise = tokens = right = 0.0
    with inference(model):
        for examples, is_answered in ((heldout.answers, True), (heldout.texts, False)):
            for share, counted in _shares(examples, gang, size):
                found, matched = _scored(model, collate(share, pad_id, gang.device), in_pieces=in_pieces)
                surprise += float(found) * counted
                tokens += sum(example.targets for example in share) * counted
                right += matched * counted if is_answered else 0.0
                beat()
                if gang.any(wants_stop()):
                    return None
    surprise, tokens, right = gang.total([surprise, tokens, right])
    return Evaluation(surprise / tokens, right / len(heldout.answers) if heldout.answers else None)


@contextmanager
def inference(model: PreTrainedModel) -> Iterator[None]:
    """The model as it answers: without dropout, and without gradients."""
    model.eval()
    with torch.no_grad():
        yield
    model.train()


def _scored(model: PreTrainedModel, batch: Batch, *, in_pieces: bool) -> tuple[torch.Tensor, int]:
    """Sum of the token losses, and how many completions match."""
    if in_pieces:
        return nats_and_matches(model, batch)
    logits = model(**batch.inputs, use_cache=False).logits
    return nats(logits, batch), matches(logits, batch)


def matches(logits: torch.Tensor, batch: Batch) -> int:
    """How many completions the model would write greedily exactly as they are, the end token included."""
    is_right = (logits.argmax(-1) == batch.labels) | (batch.labels == IGNORED)
    return int(is_right.all(-1).sum())


def _shares(examples: Sequence[Example], gang: Gang, size: int) -> Iterator[tuple[Sequence[Example], float]]:
    """This rank's part of every batch, with 1.0, or somebody else's first example with 0.0 where it has none."""
    # By length, so that little is padded.
    ordered = sorted(examples, key=lambda example: len(example.tokens))
    for start in range(0, len(ordered), size):
        batch = ordered[start : start + size]
        own = batch[gang.rank :: gang.world_size]
        yield (own, 1.0) if own else (batch[:1], 0.0)
