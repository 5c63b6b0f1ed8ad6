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
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Dataset
from deepseek_runtime.trainer import tasks

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


def read_examples(dataset: Dataset, tokenizer: PreTrainedTokenizerBase, length: int) -> list[Example]:
    """All examples of a dataset, cut to `length` tokens. Raises Invalid for a missing, malformed or empty file."""
    if dataset.format == "Text":
        pieces = list(_packed(_texts(dataset), tokenizer, length))
        if not pieces:
            raise Invalid(f"dataset {_name(dataset)} holds no text; write some, or leave the dataset out")
        return pieces
    made = [_example(prompt, completion, tokenizer) for prompt, completion in _pairs(dataset)]
    if any(one.loss_from == 0 for one in made):
        raise Invalid(f"dataset {_name(dataset)} has an example with an empty prompt; write one, or use format: Text")
    whole = [Example(one.tokens[:length], one.loss_from) for one in made if one.loss_from < length]
    if not whole:
        raise Invalid(f"dataset {_name(dataset)} has no example with a prompt shorter than sequenceLength {length}")
    return whole


def _example(prompt: str, completion: str, tokenizer: PreTrainedTokenizerBase) -> Example:
    head = tokenizer(prompt).input_ids
    tail = tokenizer(completion, add_special_tokens=False).input_ids
    return Example(array("i", [*head, *tail, tokenizer.eos_token_id]), len(head))


def _packed(texts: Iterator[str], tokenizer: PreTrainedTokenizerBase, length: int) -> Iterator[Example]:
    """Texts one after the other, an end token between them, in pieces of `length`; the last may be shorter."""
    piece = array("i")
    for text in texts:
        piece.extend([*tokenizer(text).input_ids, tokenizer.eos_token_id])
        while len(piece) >= length:
            yield Example(piece[:length], 0)
            piece = piece[length:]
    if len(piece) > 1:
        yield Example(piece, 0)


def _pairs(dataset: Dataset) -> Iterator[tuple[str, str]]:
    if dataset.builtin is not None:
        yield from tasks.examples(dataset.builtin, dataset.split)
        return
    for place, record in _records(dataset):
        match record:
            case {"prompt": str(prompt), "completion": str(completion)}:
                yield prompt, completion
            case _:
                raise Invalid(f'{place}: write {{"prompt": "…", "completion": "…"}}, one object per line')


def _texts(dataset: Dataset) -> Iterator[str]:
    """A .jsonl file's `text` fields, or any other file as a whole."""
    if dataset.path is None or dataset.path.suffix != ".jsonl":
        yield _read(dataset) if dataset.path else "\n".join("".join(pair) for pair in _pairs(dataset))
        return
    for place, record in _records(dataset):
        match record:
            case {"text": str(text)}:
                yield text
            case _:
                raise Invalid(f'{place}: write {{"text": "…"}}, one object per line')


def _records(dataset: Dataset) -> Iterator[tuple[str, object]]:
    # Not splitlines: JSON lets a text hold line separators of Unicode as they are.
    for number, line in enumerate(_read(dataset).split("\n"), start=1):
        if line.strip():
            place = f"dataset {_name(dataset)} line {number}"
            try:
                yield place, json.loads(line)
            except ValueError as error:
                raise Invalid(f"{place} is not JSON ({error})") from None


def _read(dataset: Dataset) -> str:
    path = dataset.path or Path()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"dataset {path} can't be read: {error}; check datasets[].source.uri") from None


def _name(dataset: Dataset) -> str:
    return dataset.builtin or str(dataset.path)


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
