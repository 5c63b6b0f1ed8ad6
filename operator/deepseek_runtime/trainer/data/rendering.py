"""How a record of a dataset becomes token ids: pieces of text, of which some are to be predicted.

A piece's tokens are made of it alone, as an engine makes them of a prompt alone: a prompt and the answer after it never
share a token. Every text is read once, whatever the number of its pieces.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from transformers import PreTrainedTokenizerBase

from deepseek_runtime.chat.template import tokens_of
from deepseek_runtime.contract import Invalid
from deepseek_runtime.reading import reading
from deepseek_runtime.trainer.data.example import Example

# Records whose pieces go through the tokenizer by one call, which costs as much as some twenty of them.
_AT_ONCE = 256
_REMEDY = "write other characters, or leave the line out"


@dataclass(frozen=True)
class Record:
    """One record as text. `place` names it for a person; the pieces say whether they are to be predicted.

    `begins` and `ends` ask for the tokenizer's beginning and end: a template may write them itself.
    """

    place: str
    pieces: tuple[tuple[str, bool], ...]
    begins: bool
    ends: bool


def pair(place: str, prompt: str, completion: str, *, is_learnt_throughout: bool = False) -> Record:
    """A prompt, which is read, and its completion, which is predicted."""
    if not prompt:
        raise Invalid(f"{place} has an empty prompt; write one, or use format: Text")
    return Record(place, ((prompt, is_learnt_throughout), (completion, True)), begins=True, ends=True)


def tokenised(
    records: Iterable[Record], tokenizer: PreTrainedTokenizerBase, beginning: Sequence[int]
) -> Iterator[Example]:
    """Each record's example, in order. Raises Invalid with the place of one that no tokens can be made of."""
    source = iter(records)
    while batch := list(islice(source, _AT_ONCE)):
        texts = [text for record in batch for text, _ in record.pieces]
        try:
            made = iter(tokens_of(tokenizer, texts))
        except Exception:
            made = iter(_one_by_one(batch, tokenizer))
        for record in batch:
            yield _example(record, [next(made) for _ in record.pieces], tokenizer.eos_token_id, beginning)


def _one_by_one(batch: Sequence[Record], tokenizer: PreTrainedTokenizerBase) -> Iterator[list[int]]:
    """Finds whose fault it is."""
    for record in batch:
        with reading(record.place, _REMEDY):
            yield from tokens_of(tokenizer, [text for text, _ in record.pieces])


def _example(record: Record, made: Sequence[list[int]], end_id: int, beginning: Sequence[int]) -> Example:
    tokens, learnt = array("i"), list[tuple[int, int]]()
    for number, ((_, is_learnt), ids) in enumerate(zip(record.pieces, made, strict=True)):
        start = len(tokens)
        if record.begins and number == 0:
            tokens.extend(beginning)
        tokens.extend(ids)
        if record.ends and number == len(made) - 1:
            tokens.append(end_id)
        if is_learnt and len(tokens) > start:
            # Neighbours are one span.
            start = learnt.pop()[0] if learnt and learnt[-1][1] == start else start
            learnt.append((start, len(tokens)))
    return Example(tokens, tuple(learnt))


def packed(
    texts: Iterable[tuple[str, str]], tokenizer: PreTrainedTokenizerBase, beginning: Sequence[int], length: int
) -> Iterator[Example]:
    """Texts one after the other, an end token between them, in pieces of `length`; the last may be shorter."""
    rest = array("i")
    for place, text in texts:
        with reading(place, "write other characters, or leave it out"):
            (ids,) = tokens_of(tokenizer, [text])
        rest.extend([*beginning, *ids, tokenizer.eos_token_id])
        whole = len(rest) - len(rest) % length
        yield from (Example.after(0, rest[start : start + length]) for start in range(0, whole, length))
        rest = rest[whole:]
    if len(rest) > 1:
        yield Example.after(0, rest)
