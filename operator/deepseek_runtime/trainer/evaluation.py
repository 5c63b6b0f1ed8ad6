"""How good the model is on held-out data: loss per token, and exact matches of greedy completions.

Prompts of equal length go together, so nothing is padded and an answer is what the engine would give.
Under FSDP every forward pass is a meeting of all ranks: each makes the same number of them, a rank
without prompts of its own goes along with somebody else's and does not count.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn import functional
from transformers import DynamicCache, PreTrainedModel

from deepseek_runtime.trainer.data import IGNORED, Example, collate
from deepseek_runtime.trainer.gang import Gang

# Larger passes gain nothing; smaller ones are taken where training could not hold so many sequences either.
BATCH_SIZE = 64


@dataclass(frozen=True)
class Evaluation:
    """`accuracy` from 0 to 1, None when no held-out prompt has an answer to match; `loss` in nats per token."""

    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class Heldout:
    """Held-out examples; `answers` are those of prompt and completion, which are completed as well."""

    texts: Sequence[Example]
    answers: Sequence[Example]

    def __bool__(self) -> bool:
        return bool(self.texts or self.answers)


@torch.no_grad()
def evaluate(
    model: PreTrainedModel,
    heldout: Heldout,
    gang: Gang,
    eos_id: int,
    pad_id: int,
    beat: Callable[[], None],
    *,
    micro_batch_size: int,
    wants_stop: Callable[[], bool],
) -> Evaluation | None:
    """Runs on all ranks together, each with at most `micro_batch_size` sequences per pass; every rank returns the same.

    None when any rank was asked to stop: the grace period is for saving.
    """
    size = min(BATCH_SIZE, micro_batch_size * gang.world_size)
    nats = tokens = right = 0.0
    with _inference(model):
        for share, counted in _shares([*heldout.answers, *heldout.texts], gang, size):
            loss, targets = loss_sum(model, share, pad_id, gang.device)
            nats += float(loss) * counted
            tokens += targets * counted
            beat()
            if gang.any(wants_stop()):
                return None
        for share, counted in _shares(heldout.answers, gang, size):
            right += matches(model, share, eos_id, gang.device) * counted
            beat()
            if gang.any(wants_stop()):
                return None
    nats, tokens, right = gang.total([nats, tokens, right])
    return Evaluation(nats / tokens, right / len(heldout.answers) if heldout.answers else None)


@contextmanager
def _inference(model: PreTrainedModel) -> Iterator[None]:
    model.eval()
    yield
    model.train()


def loss_sum(
    model: PreTrainedModel, examples: Sequence[Example], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, int]:
    """Sum of the token losses in nats, and the number of predicted tokens."""
    batch = collate(examples, pad_id, device)
    logits = model(input_ids=batch.ids, use_cache=False).logits
    loss = functional.cross_entropy(
        logits.flatten(0, 1).float(), batch.labels.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return loss, sum(example.targets for example in examples)


def matches(model: PreTrainedModel, examples: Sequence[Example], eos_id: int, device: torch.device) -> int:
    """How many prompts (all of one length) are answered greedily with exactly their completion, end included."""
    wanted = [example.completion for example in examples]
    ids = torch.tensor([example.prompt for example in examples], device=device)
    produced = greedy(model, ids, max(len(one) for one in wanted)).tolist()
    return sum(given[: len(one)] == one for given, one in zip(produced, wanted, strict=True))


def greedy(model: PreTrainedModel, ids: torch.Tensor, count: int) -> torch.Tensor:
    """The `count` likeliest next tokens, one after the other; shape (sequences, count)."""
    cache = DynamicCache(config=model.config)
    produced = []
    for _ in range(count):
        logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits
        ids = logits[:, -1:].argmax(-1)
        produced.append(ids)
    return torch.cat(produced, 1)


def _shares(examples: Sequence[Example], gang: Gang, size: int) -> Iterator[tuple[Sequence[Example], float]]:
    """This rank's part of every batch, with 1.0, or somebody else's first example with 0.0 where it has none."""
    for batch in _batches(examples, size):
        own = batch[gang.rank :: gang.world_size]
        yield (own, 1.0) if own else (batch[:1], 0.0)


def _batches(examples: Sequence[Example], size: int) -> Iterator[Sequence[Example]]:
    """Equal prompt and whole lengths together: rows of a batch then take the same number of passes."""
    alike: dict[tuple[int, int], list[Example]] = {}
    for example in examples:
        alike.setdefault((example.loss_from, len(example.tokens)), []).append(example)
    for _, group in sorted(alike.items()):
        for start in range(0, len(group), size):
            yield group[start : start + size]
