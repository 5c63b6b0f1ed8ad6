"""Documents put together to examples of one length: cut at any token, or whole ones side by side that don't see each other."""

from array import array
from collections.abc import Iterable, Iterator, Sequence

from deepseek_runtime.trainer.data.example import Example


def pieces(documents: Iterable["array[int]"], length: int, *, apart: bool) -> Iterator[Example]:
    """Texts one after the other in pieces of `length` tokens; the last may be shorter, one token alone teaches nothing.

    `apart` has each document of a piece begin at position 0 and see nothing of those before it.
    """
    rest, starts = array("i"), list[int]()
    for document in documents:
        starts.append(len(rest))
        rest.extend(document)
        if len(rest) < length:
            continue
        whole = len(rest) - len(rest) % length
        for first in range(0, whole, length):
            yield _piece(rest[first : first + length], starts, first, apart=apart)
        rest, starts = rest[whole:], [start - whole for start in starts if start >= whole]
    if len(rest) > 1:
        yield _piece(rest, starts, 0, apart=apart)


def packs(examples: Iterable[Example], length: int) -> Iterator[Example]:
    """Neighbours side by side, as many as `length` has room for; none is longer than that."""
    pack, room = list[Example](), length
    for one in examples:
        if pack and len(one.tokens) > room:
            yield _pack(pack)
            pack, room = [], length
        pack.append(one)
        room -= len(one.tokens)
    if pack:
        yield _pack(pack)


def _piece(tokens: "array[int]", starts: Sequence[int], first: int, *, apart: bool) -> Example:
    if not apart:
        return Example.after(0, tokens)
    inside = tuple(start - first for start in starts if first < start < first + len(tokens))
    edges = [(start, end) for start, end in zip((0, *inside), (*inside, len(tokens)), strict=True)]
    # Nothing stands before a document's first token that it could be told from.
    learnt = tuple((start + 1, end) for start, end in edges if end > start + 1)
    return Example(tokens, learnt, inside)


def _pack(examples: Sequence[Example]) -> Example:
    tokens, learnt, starts = array("i"), list[tuple[int, int]](), list[int]()
    for one in examples:
        start = len(tokens)
        starts.append(start)
        tokens.extend(one.tokens)
        learnt += [(start + max(first, 1), start + end) for first, end in one.learnt if end > max(first, 1)]
    return Example(tokens, tuple(learnt), tuple(starts[1:]))
