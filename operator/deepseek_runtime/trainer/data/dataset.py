"""The examples of one dataset: what its source holds, rendered and cut to the sequence length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from deepseek_runtime.contract import Invalid
from deepseek_runtime.pretrained import beginning_of
from deepseek_runtime.spec import Dataset, LossOn
from deepseek_runtime.trainer.data.chats import chat_record
from deepseek_runtime.trainer.data.example import Example, Examples
from deepseek_runtime.trainer.data.packing import pieces
from deepseek_runtime.trainer.data.records import Content
from deepseek_runtime.trainer.data.rendering import Record, documents, pair, tokenised
from deepseek_runtime.trainer.data.source import ADVICE, chats_of, contents_of, name_of, pairs_of, sha256_of, texts_of
from deepseek_runtime.trainer.data.token_files import Mapped


@dataclass(frozen=True)
class Read:
    """What was read of one dataset.

    Attributes:
        dropped: examples that are left out, because sequence_length has no room for a prompt and one token more.
        cut: examples whose end is cut: nothing teaches a model to end there, so no end token follows.
        needed: the sequence length in tokens that would keep every example whole.
        sha256: of what was read, before a tokenizer saw it.
        has_answers: whether what is predicted are answers, and nothing else.
        fingerprint: of prepared examples, by their files; None where it takes reading all of them.
        kept: how many examples there were before some were packed together; None where none were.
    """

    dataset: Dataset
    examples: Examples | Mapped
    sha256: str
    dropped: int = 0
    cut: int = 0
    needed: int = 0
    has_answers: bool = True
    fingerprint: str | None = None
    kept: int | None = None

    @property
    def name(self) -> str:
        return name_of(self.dataset)

    @property
    def count(self) -> int:
        """Examples that are used."""
        return len(self.examples) if self.kept is None else self.kept

    def check_losses(self, length: int) -> None:
        """Raises Invalid when most examples are left out: what is left is not what was meant to be learnt."""
        whole = self.count + self.dropped
        if 2 * self.dropped > whole:
            raise Invalid(
                f"dataset {self.name}: {self.dropped:,} of {whole:,} examples have a prompt that leaves no room for an"
                f" answer within hyperparameters.sequenceLength {length}; write {self.needed} to keep every one whole,"
                " or leave the long ones out of the file"
            )


def read_examples(
    dataset: Dataset, tokenizer: PreTrainedTokenizerBase, length: int, loss_on: LossOn = "AssistantTurns"
) -> Read:
    """All examples of a dataset, cut to `length` tokens. Raises Invalid for a missing, malformed or empty file."""
    check_end(tokenizer)
    if dataset.format == "Text":
        return _read_texts(dataset, tokenizer, length)
    contents = contents_of(dataset)
    records = _records(dataset, contents, tokenizer, loss_on)
    read = _cut(dataset, contents, tokenised(records, tokenizer, beginning_of(tokenizer)), length)
    return replace(read, has_answers=loss_on != "All")


def check_end(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises Invalid for a tokenizer by which no answer would end."""
    if tokenizer.eos_token_id is None:
        raise Invalid("the model's tokenizer names no end token; add eos_token to its tokenizer_config.json")


def _read_texts(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, length: int) -> Read:
    contents = contents_of(dataset)
    texts = documents(texts_of(dataset, contents), tokenizer, beginning_of(tokenizer))
    made = Examples(pieces(texts, length, apart=False))
    if not made:
        raise Invalid(f"dataset {name_of(dataset)} holds no text; write some, or leave the dataset out")
    return Read(dataset, made, sha256_of(dataset, contents), has_answers=False)


def _records(
    dataset: Dataset, contents: Sequence[Content], tokenizer: PreTrainedTokenizerBase, loss_on: LossOn
) -> Iterator[Record]:
    if dataset.format == "PromptCompletion":
        for one in pairs_of(dataset, contents):
            yield pair(*one, is_learnt_throughout=loss_on == "All")
        return
    for place, chat in chats_of(dataset, contents):
        yield chat_record(place, chat, tokenizer, loss_on)


def _cut(dataset: Dataset, contents: Sequence[Content], made: Iterator[Example], length: int) -> Read:
    """Keeps what has room for a token to predict."""
    kept, dropped, cut, needed = Examples(), 0, 0, 0
    for one in made:
        needed = max(needed, len(one.tokens))
        if (fitting := one.cut(length)) is None:
            dropped += 1
            continue
        cut += len(one.tokens) > length
        kept.append(fitting)
    if not kept and not dropped:
        raise Invalid(f"dataset {name_of(dataset)} holds no example; {ADVICE[dataset.format]}")
    read = Read(dataset, kept, sha256_of(dataset, contents), dropped, cut, needed)
    if not kept:
        read.check_losses(length)
    return read
