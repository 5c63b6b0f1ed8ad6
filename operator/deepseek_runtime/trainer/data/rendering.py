"""How a record of a dataset becomes token ids: pieces of text, of which some are to be predicted.

A piece's tokens are made of it alone, as an engine makes them of a prompt alone: a prompt and the answer after it never
share a token. Every text goes through the tokenizer once and in bounded parts, so that time and memory are linear in it.
"""

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

from deepseek_runtime.chat.template import tokens_of
from deepseek_runtime.contract import Invalid
from deepseek_runtime.reading import reading
from deepseek_runtime.trainer.data.example import Example

# Characters that go through the tokenizer by one call: many short texts, which it shares over the cores, or a part of a
# long one, of which it would remember half a kilobyte a token.
AT_ONCE = 1 << 16
# What a text costs beside its characters, counted in them: a million short ones make a thousand calls.
_EACH = 64
# How far around a place a tokenizer is asked whether a text may be cut there, in characters, and at how many places.
_AROUND, _PLACES = 256, 32
_CUT = re.compile(r"\n(?=\S)|(?<=\w)(?= \w)|(?<=[。！？，])")
_REMEDY = "write other characters, or leave the line out"

_Item = TypeVar("_Item")
Text = tuple[str, str]
"""A text after its place."""


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
    for batch in batches(records, lambda record: sum(len(text) for text, _ in record.pieces)):
        made = iter(_ids([(record.place, text) for record in batch for text, _ in record.pieces], tokenizer))
        for record in batch:
            yield _example(record, [next(made) for _ in record.pieces], tokenizer.eos_token_id, beginning)


def documents(
    texts: Iterable[Text], tokenizer: PreTrainedTokenizerBase, beginning: Sequence[int]
) -> Iterator["array[int]"]:
    """The tokens of each text, from the tokenizer's beginning to its end."""
    parts = (part for place, text in texts for part in _parts(place, text, tokenizer))
    tokens = array("i")
    for batch in batches(parts, lambda part: len(part.text)):
        for part, ids in zip(batch, _ids([(one.place, one.text) for one in batch], tokenizer), strict=True):
            tokens.extend(
                [*(beginning if part.is_first else ()), *ids, *([tokenizer.eos_token_id] if part.is_last else ())]
            )
            if part.is_last:
                yield tokens
                tokens = array("i")


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


@dataclass(frozen=True)
class _Part:
    place: str
    text: str
    is_first: bool
    is_last: bool


def _parts(place: str, text: str, tokenizer: PreTrainedTokenizerBase) -> Iterator[_Part]:
    """A text in parts whose tokens, one part's after the other's, are those of the whole text."""
    start = 0
    while (end := _end(text, start, tokenizer)) < len(text):
        yield _Part(place, text[start:end], start == 0, is_last=False)
        start = end
    yield _Part(place, text[start:], start == 0, is_last=True)


def _end(text: str, start: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """The first place after AT_ONCE characters where tokens end in any case; the text's end where none is found.

    Where that is differs between tokenizers, so this one is asked: a cut between two lines or words is one where the tokens around
    it are those of what stands before it and of what stands after it.
    """
    if len(text) - start <= 2 * AT_ONCE:
        return len(text)
    for found in islice(_CUT.finditer(text, start + AT_ONCE), _PLACES):
        before, after = text[found.end() - _AROUND : found.end()], text[found.end() : found.end() + _AROUND]
        whole, first, second = tokens_of(tokenizer, [before + after, before, after])
        if whole == first + second:
            return found.end()
    return len(text)


def _ids(texts: Sequence[Text], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    try:
        return tokens_of(tokenizer, [text for _, text in texts])
    except Exception:
        return [ids for text in texts for ids in _ids_of_one(*text, tokenizer)]


def _ids_of_one(place: str, text: str, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Finds whose fault it is."""
    with reading(place, _REMEDY):
        return tokens_of(tokenizer, [text])


def batches(items: Iterable[_Item], size: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """Neighbours that have AT_ONCE characters together, or the first of them alone."""
    batch, characters = list[_Item](), 0
    for one in items:
        batch.append(one)
        characters += size(one) + _EACH
        if characters >= AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
