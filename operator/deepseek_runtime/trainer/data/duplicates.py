"""Which of many texts say again what an earlier one said, exactly or nearly; the first of them is always kept.

Exact ones have the same digest. Near ones are found by MinHash (Broder 1997) over runs of three words and locality-sensitive
hashing in bands (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3): texts whose signatures are the same in
a whole band are compared by their signatures, which estimate how many runs of all that two texts have are common to
both. All is done by sorting arrays, one band at a time: time is that of sorting, memory some forty bytes a text.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy
import rensa

from deepseek_runtime.trainer.data.words import runs, words

PERMUTATIONS = 64
"""Numbers in a signature: similarity is estimated with a standard deviation of at most 1/16."""
KEY_BYTES = 16
SIGNATURE_BYTES = 4 * PERMUTATIONS
_RUN_WORDS = 3
_SEED = 1
_ROWS = (16, 8, 4, 2, 1)
# Of texts that are just as similar as asked for, so many must meet in a band.
_RECALL = 0.98
_AT_ONCE = 1 << 16


def key_of(text: str) -> bytes:
    """What equal texts have in common."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=KEY_BYTES).digest()


def signatures(texts: Sequence[str]) -> "numpy.ndarray":
    """One row of PERMUTATIONS numbers for each text."""
    sets = [sorted(runs(words(text), _RUN_WORDS)) or [text] for text in texts]
    found = rensa.RMinHash.digest_matrix_from_token_sets(sets, PERMUTATIONS, _SEED)
    return numpy.array(found.to_rows(), dtype=numpy.uint32).reshape(len(sets), PERMUTATIONS)


def exact(keys: "numpy.ndarray") -> "numpy.ndarray":
    """Which of (n, 2) keys, uint64, stood before."""
    order = numpy.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    again = numpy.zeros(len(keys), dtype=bool)
    # lexsort is stable: the first of equals is the earliest.
    again[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return again


def near(
    signed: "numpy.ndarray", similarity: float, leaves_out: "numpy.ndarray", beat: Callable[[], None] = lambda: None
) -> "numpy.ndarray":
    """Which of the signed texts are at least so similar to an earlier one that is kept; `leaves_out` are not looked at.

    `beat` is called with each band.
    """
    there, pairs = numpy.flatnonzero(~leaves_out), []
    for start, rows in _bands(similarity):
        pairs.append(_alike(signed, there, start, rows, similarity))
        beat()
    dropped, kept_for = numpy.zeros(len(signed), dtype=bool), dict[int, int]()
    joined = numpy.concatenate(pairs)
    for late, early in joined[numpy.lexsort((joined[:, 1], joined[:, 0]))]:
        late, early = int(late), kept_for.get(int(early), int(early))
        if not dropped[late] and early != late and _similar(signed, late, early) >= similarity:
            dropped[late], kept_for[late] = True, early
    return dropped


def _bands(similarity: float) -> list[tuple[int, int]]:
    """Where each band begins and how many rows it has: as many rows as still find nearly all that are alike."""
    rows = next(
        (one for one in _ROWS if 1 - (1 - similarity**one) ** (PERMUTATIONS // one) >= _RECALL),
        1,
    )
    return [(start, rows) for start in range(0, PERMUTATIONS, rows)]


def _alike(
    signed: "numpy.ndarray", there: "numpy.ndarray", start: int, rows: int, similarity: float
) -> "numpy.ndarray":
    """Pairs (later, first) of those that are the same in a band, and alike as a whole."""
    hashed = numpy.zeros(len(there), dtype=numpy.uint64)
    for first in range(0, len(there), _AT_ONCE):
        part = signed[there[first : first + _AT_ONCE], start : start + rows].astype(numpy.uint64)
        mixed = numpy.zeros(len(part), dtype=numpy.uint64)
        for column in part.T:
            mixed = (mixed ^ column) * numpy.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> numpy.uint64(29)
        hashed[first : first + _AT_ONCE] = mixed
    order = numpy.argsort(hashed, kind="stable")
    ordered = hashed[order]
    begins = numpy.concatenate(([True], ordered[1:] != ordered[:-1])) if len(ordered) else numpy.empty(0, dtype=bool)
    firsts = there[order[numpy.maximum.accumulate(numpy.where(begins, numpy.arange(len(order)), 0))]]
    pairs = numpy.stack([there[order], firsts], axis=1)[~begins]
    kept = [pairs[:0]]
    for first in range(0, len(pairs), _AT_ONCE):
        part = pairs[first : first + _AT_ONCE]
        kept.append(part[(signed[part[:, 0]] == signed[part[:, 1]]).mean(axis=1) >= similarity])
    return numpy.concatenate(kept)


def _similar(signed: "numpy.ndarray", one: int, other: int) -> float:
    return float((signed[one] == signed[other]).mean())
