"""The examples of one dataset: what its source holds, rendered and cut to the sequence length."""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Dataset
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.data.rendering import packed, pair
from deepseek_runtime.trainer.data.source import PAIR_ADVICE, content_of, name_of, pairs_of, sha256_of, texts_of


@dataclass(frozen=True)
class Read:
    """What was read of one dataset.

    Attributes:
        dropped: examples that are left out, because sequence_length has no room for their prompt and one token more.
        cut: examples whose completion is cut: nothing teaches a model to end there, so no end token follows.
        needed: the sequence length in tokens that would keep every example whole.
        sha256: of what was read, before a tokenizer saw it.
    """

    dataset: Dataset
    examples: list[Example]
    sha256: str
    dropped: int = 0
    cut: int = 0
    needed: int = 0

    @property
    def name(self) -> str:
        return name_of(self.dataset)

    def check_losses(self, length: int) -> None:
        """Raises Invalid when most examples are left out: what is left is not what was meant to be learnt."""
        whole = len(self.examples) + self.dropped
        if 2 * self.dropped > whole:
            raise Invalid(
                f"dataset {self.name}: {self.dropped:,} of {whole:,} examples have a prompt that leaves no room for an"
                f" answer within hyperparameters.sequenceLength {length}; write {self.needed} to keep every one whole,"
                " or leave the long ones out of the file"
            )


def read_examples(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, length: int) -> Read:
    """All examples of a dataset, cut to `length` tokens. Raises Invalid for a missing, malformed or empty file."""
    if tokenizer.eos_token_id is None:
        raise Invalid("the model's tokenizer names no end token; add eos_token to its tokenizer_config.json")
    if dataset.format == "Text":
        return _read_texts(dataset, tokenizer, length)
    return _read_pairs(dataset, tokenizer, length)


def _read_texts(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, length: int) -> Read:
    content = content_of(dataset)
    pieces = list(packed(texts_of(dataset, content), tokenizer, length))
    if not pieces:
        raise Invalid(f"dataset {name_of(dataset)} holds no text; write some, or leave the dataset out")
    return Read(dataset, pieces, sha256_of(dataset, content))


def _read_pairs(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, length: int) -> Read:
    content = content_of(dataset)
    made = [pair(*one, tokenizer) for one in pairs_of(dataset, content)]
    if not made:
        raise Invalid(f"dataset {name_of(dataset)} holds no example; {PAIR_ADVICE}")
    kept = [one for one in made if one.loss_from < length]
    read = Read(
        dataset,
        [Example(one.tokens[:length], one.loss_from) for one in kept],
        sha256_of(dataset, content),
        dropped=len(made) - len(kept),
        cut=sum(len(one.tokens) > length for one in kept),
        needed=max(len(one.tokens) for one in made),
    )
    if not kept:
        read.check_losses(length)
    return read
