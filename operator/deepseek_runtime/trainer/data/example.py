"""An example as token ids, many of them in little memory, and batches of tensors made of them."""

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import overload

import torch

IGNORED = -100


@dataclass(frozen=True)
class Example:
    """Token ids; those of the spans in `learnt`, from and up to an index, in order, are predicted, the others only read.

    At each index in `starts` another document begins, which sees nothing of what stands before it; none of their first
    tokens is in `learnt`.
    """

    tokens: "array[int]"
    learnt: tuple[tuple[int, int], ...]
    starts: tuple[int, ...] = ()

    @staticmethod
    def after(prompt: int, tokens: "array[int]") -> "Example":
        """The first `prompt` tokens are read, all others predicted."""
        return Example(tokens, ((prompt, len(tokens)),))

    @property
    def targets(self) -> int:
        """How many tokens are predicted: the first token of a text never is."""
        return sum(end - max(start, 1) for start, end in self.learnt)

    def cut(self, length: int) -> "Example | None":
        """Its first `length` tokens; None where none of them would be predicted."""
        if len(self.tokens) <= length:
            return self
        kept = tuple((start, min(end, length)) for start, end in self.learnt if start < length)
        return Example(self.tokens[:length], kept) if kept else None


class Stored(Sequence[Example]):
    """Examples that are made when they are asked for, of what `at` finds under a number from 0 on."""

    def at(self, index: int) -> Example:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.at(index % len(self))


class Examples(Stored):
    """Examples end to end in arrays: four bytes a token and some twenty an example, where objects would take hundreds."""

    def __init__(self, examples: Iterable[Example] = ()) -> None:
        self._tokens, self._ends = array("i"), array("q", [0])
        self._learnt, self._spans = array("i"), array("q", [0])
        for one in examples:
            self.append(one)

    def append(self, example: Example) -> None:
        self._tokens.extend(example.tokens)
        self._ends.append(len(self._tokens))
        for span in example.learnt:
            self._learnt.extend(span)
        self._spans.append(len(self._learnt))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def at(self, index: int) -> Example:
        learnt = self._learnt[self._spans[index] : self._spans[index + 1]]
        return Example(
            self._tokens[self._ends[index] : self._ends[index + 1]], tuple(zip(learnt[::2], learnt[1::2], strict=True))
        )

    @property
    def largest_token(self) -> int:
        """The largest id; -1 where there is no token."""
        return max(self._tokens, default=-1)

    @property
    def longest(self) -> int:
        """Tokens of the longest example."""
        return max((end - start for start, end in pairwise(self._ends)), default=0)


class Joined(Stored):
    """Several of them one after the other, none copied."""

    def __init__(self, parts: Sequence[Sequence[Example]]) -> None:
        self._parts = tuple(parts)
        self._starts = tuple(accumulate(map(len, self._parts), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def at(self, index: int) -> Example:
        part = bisect_right(self._starts, index) - 1
        return self._parts[part][index - self._starts[part]]


@dataclass(frozen=True)
class Batch:
    """Right-padded ids and labels of shape (sequences, tokens); labels are shifted, IGNORED where no loss is.

    `positions`, of the same shape, begin at 0 again with each document; None where no sequence has several.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor | None = None

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        """What a model is given. From positions that begin again transformers makes the mask that keeps documents apart."""
        return {"input_ids": self.ids, **({} if self.positions is None else {"position_ids": self.positions})}


def collate(examples: Sequence[Example], pad_id: int, device: torch.device) -> Batch:
    """Pads to the longest. Causal attention lets no real token see the padding after it."""
    width = max(len(example.tokens) for example in examples) - 1
    ids = torch.full((len(examples), width), pad_id, dtype=torch.long)
    labels = torch.full((len(examples), width), IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        tokens = torch.tensor(example.tokens, dtype=torch.long)
        ids[row, : len(tokens) - 1] = tokens[:-1]
        for first, end in example.learnt:
            start = max(first, 1)
            labels[row, start - 1 : end - 1] = tokens[start:end]
    return Batch(ids.to(device), labels.to(device), _positions(examples, width, device))


def _positions(examples: Sequence[Example], width: int, device: torch.device) -> torch.Tensor | None:
    if not any(example.starts for example in examples):
        return None
    positions = torch.arange(width).repeat(len(examples), 1)
    for row, example in enumerate(examples):
        for start in example.starts:
            positions[row, start:] = torch.arange(max(0, width - start))
    return positions.to(device)


def fingerprint(examples: Iterable[Example]) -> str:
    """Names the data: a resume with other examples under the same step is no exact continuation.

    Where one span reaches to the end it is told by its start, as it was when examples had no other; documents are told
    where there are several.
    """
    digest = hashlib.sha256()
    for example in examples:
        match example.learnt:
            case ((start, end),) if end == len(example.tokens):
                digest.update(start.to_bytes(4, "little"))
            case spans:
                digest.update(repr(spans).encode())
        if example.starts:
            digest.update(repr(example.starts).encode())
        digest.update(example.tokens.tobytes())
    return digest.hexdigest()
