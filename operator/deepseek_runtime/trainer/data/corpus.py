"""All datasets of a training: what it learns from, in which order, and what it is measured on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from deepseek_runtime.spec import Hyperparameters
from deepseek_runtime.trainer.data.dataset import Read
from deepseek_runtime.trainer.data.example import Example, Joined, fingerprint
from deepseek_runtime.trainer.data.order import Order


@dataclass(frozen=True)
class Heldout:
    """Held-out examples; `answers` are those of which only answers are predicted, which are to be matched as well."""

    texts: Sequence[Example]
    answers: Sequence[Example]

    def __bool__(self) -> bool:
        return bool(self.texts or self.answers)


@dataclass(frozen=True)
class Corpus:
    """`reads` are of all datasets, in the specification's order; `examples` are learnt from, as `order` says."""

    reads: Sequence[Read]
    examples: Sequence[Example]
    order: Order
    heldout: Heldout

    def batch(self, step: int) -> list[Example]:
        """The global batch of a step, counted from 1."""
        return [self.examples[index] for index in self.order.batch(step)]

    @property
    def fingerprint(self) -> str:
        """Names what is learnt from, tokens and order: of prepared data by its files."""
        named = [one.fingerprint for one in self.reads if one.dataset.split == "Train"]
        if all(named):
            return hashlib.sha256("\n".join(map(str, named)).encode()).hexdigest()
        return fingerprint(self.examples)

    def check_losses(self, length: int) -> None:
        """Raises Invalid when most examples of a dataset are left out."""
        for one in self.reads:
            one.check_losses(length)


def corpus_of(reads: Sequence[Read], parameters: Hyperparameters) -> Corpus:
    """Puts together what was read. Raises Invalid for a dataset that would never be seen."""
    train = [one for one in reads if one.dataset.split == "Train"]
    heldout = [one for one in reads if one.dataset.split == "Heldout"]
    return Corpus(
        reads=reads,
        examples=Joined([one.examples for one in train]),
        order=Order(
            [len(one.examples) for one in train],
            [one.dataset.weight for one in train],
            parameters.seed,
            parameters.global_batch_size,
        ),
        heldout=Heldout(
            texts=Joined([one.examples for one in heldout if not one.has_answers]),
            answers=Joined([one.examples for one in heldout if one.has_answers]),
        ),
    )
