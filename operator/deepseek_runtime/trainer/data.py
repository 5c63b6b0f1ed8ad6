"""Examples, their order, and batches of tensors.

The order is a pure function of seed and step: the examples of one optimizer step are the same however
many processes share them, and a resume needs to remember nothing but the step. An epoch holds each
example of a dataset `weight` times; a fraction is a fresh draw in every epoch.
"""

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from deepseek_runtime.contract import Invalid
from deepseek_runtime.reading import reading
from deepseek_runtime.spec import Dataset
from deepseek_runtime.trainer import tasks
from deepseek_runtime.trainer.records import Content, read_content, records, text_of

IGNORED = -100
PAIR_ADVICE = 'write {"prompt": "…", "completion": "…"}, one object per line'
TEXT_ADVICE = 'write {"text": "…"}, one object per line'


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
    content = read_content(dataset.path) if dataset.path is not None else None
    if dataset.format == "Text":
        pieces = list(_packed(_texts(dataset, content), tokenizer, length))
        if not pieces:
            raise Invalid(f"dataset {name_of(dataset)} holds no text; write some, or leave the dataset out")
        return Read(dataset, pieces, _sha256(dataset, content))
    made = [_example(*one, tokenizer) for one in _pairs(dataset, content)]
    if not made:
        raise Invalid(f"dataset {name_of(dataset)} holds no example; {PAIR_ADVICE}")
    kept = [one for one in made if one.loss_from < length]
    read = Read(
        dataset,
        [Example(one.tokens[:length], one.loss_from) for one in kept],
        _sha256(dataset, content),
        dropped=len(made) - len(kept),
        cut=sum(len(one.tokens) > length for one in kept),
        needed=max(len(one.tokens) for one in made),
    )
    if not kept:
        read.check_losses(length)
    return read


def name_of(dataset: Dataset) -> str:
    """The dataset as its user named it."""
    return dataset.builtin or str(dataset.path)


def _example(place: str, prompt: str, completion: str, tokenizer: PreTrainedTokenizerBase) -> Example:
    with reading(place, "write other characters, or leave the line out"):
        head = tokenizer(prompt).input_ids
        tail = tokenizer(completion, add_special_tokens=False).input_ids
    if not head:
        raise Invalid(f"{place} has an empty prompt; write one, or use format: Text")
    return Example(array("i", [*head, *tail, tokenizer.eos_token_id]), len(head))


def _packed(texts: Iterator[tuple[str, str]], tokenizer: PreTrainedTokenizerBase, length: int) -> Iterator[Example]:
    """Texts one after the other, an end token between them, in pieces of `length`; the last may be shorter."""
    rest = array("i")
    for place, text in texts:
        with reading(place, "write other characters, or leave it out"):
            rest.extend([*tokenizer(text).input_ids, tokenizer.eos_token_id])
        whole = len(rest) - len(rest) % length
        yield from (Example(rest[start : start + length], 0) for start in range(0, whole, length))
        rest = rest[whole:]
    if len(rest) > 1:
        yield Example(rest, 0)


def _pairs(dataset: Dataset, content: Content | None) -> Iterator[tuple[str, str, str]]:
    """Prompts and completions with their places."""
    if content is None:
        yield from ((name_of(dataset), *pair) for pair in tasks.examples(dataset.builtin or "", dataset.split))
        return
    for place, record in records(content, PAIR_ADVICE):
        yield (
            place,
            text_of(place, record, "prompt", PAIR_ADVICE),
            text_of(place, record, "completion", PAIR_ADVICE),
        )


def _texts(dataset: Dataset, content: Content | None) -> Iterator[tuple[str, str]]:
    """The `text` fields of JSON, or any other content as a whole, with their places."""
    if content is None:
        yield name_of(dataset), "\n".join("".join(pair) for _, *pair in _pairs(dataset, content))
    elif content.is_json:
        for place, record in records(content, TEXT_ADVICE):
            yield place, text_of(place, record, "text", TEXT_ADVICE)
    else:
        yield content.name, content.text


def _sha256(dataset: Dataset, content: Content | None) -> str:
    if content is not None:
        return content.sha256
    made = json.dumps(tasks.examples(dataset.builtin or "", dataset.split))
    return hashlib.sha256(made.encode()).hexdigest()


class Order:
    """Which examples are seen at which step, an endless shuffled stream cut into global batches."""

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int, batch_size: int) -> None:
        self._sizes = tuple(sizes)
        self._draws = tuple(round(size * weight) for size, weight in zip(sizes, weights, strict=True))
        self._seed = seed
        self._batch_size = batch_size
        self._epoch: tuple[int, list[int]] | None = None
        for size, weight, draws in zip(sizes, weights, self._draws, strict=True):
            if not draws:
                raise Invalid(
                    f"a training dataset of {size} examples would never be seen at weight {weight:g};"
                    f" write datasets[].weight of at least {1 / size:.2g}, or leave the dataset out"
                )

    @property
    def epoch_size(self) -> int:
        return sum(self._draws)

    def steps(self, epochs: int) -> int:
        """Optimizer steps of that many epochs; the last one may reach into the next epoch."""
        return -(-epochs * self.epoch_size // self._batch_size)

    def epoch_at(self, step: int) -> float:
        return step * self._batch_size / self.epoch_size

    def batch(self, step: int) -> list[int]:
        """Indices into the concatenated datasets of the examples that make step `step` (counted from 1)."""
        first = (step - 1) * self._batch_size
        return [self._at(position) for position in range(first, first + self._batch_size)]

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self.epoch_size)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._shuffled(epoch))
        return self._epoch[1][place]

    def _shuffled(self, epoch: int) -> list[int]:
        source = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        chosen: list[int] = []
        start = 0
        for size, draws in zip(self._sizes, self._draws, strict=True):
            whole, rest = divmod(draws, size)
            chosen += [start + index for _ in range(whole) for index in range(size)]
            chosen += [start + index for index in torch.randperm(size, generator=source)[:rest].tolist()]
            start += size
        return [chosen[index] for index in torch.randperm(len(chosen), generator=source).tolist()]


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
