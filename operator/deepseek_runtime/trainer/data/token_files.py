"""Examples in files that every rank maps: four bytes a token and some forty an example on the volume, nothing in memory.

<name>.tokens   int32   the tokens of all examples, end to end
<name>.ends     int64   where each example ends among them
<name>.learnt   int32   the spans of what is predicted, as pairs within their example
<name>.spans    int64   where each example's spans end among those numbers
<name>.starts   int32   where further documents begin within a packed example
<name>.packs    int64   where each example's starts end among those
"""

import mmap
import os
from array import array
from pathlib import Path
from typing import BinaryIO

from deepseek_runtime.checkpoint.document import opened
from deepseek_runtime.trainer.data.example import Example, Stored

PARTS = ("tokens", "ends", "learnt", "spans", "starts", "packs")
_NUMBERS = "i"
_PLACES = "q"
_BUFFER = 1 << 20


class TokenWriter:
    """Appends examples to the files of a name. To be closed before anybody reads."""

    def __init__(self, directory: Path, name: str) -> None:
        self._files: dict[str, BinaryIO] = {
            part: (directory / f"{name}.{part}").open("wb", buffering=_BUFFER) for part in PARTS
        }
        self._at = {"tokens": 0, "learnt": 0, "starts": 0}
        self.count = 0
        self.tokens = 0
        self.largest_token = -1
        self.longest = 0

    def append(self, example: Example) -> None:
        self.count += 1
        self.tokens += len(example.tokens)
        self.longest = max(self.longest, len(example.tokens))
        self.largest_token = max(self.largest_token, max(example.tokens, default=-1))
        spans = array(_NUMBERS, [place for span in example.learnt for place in span])
        self._add("tokens", "ends", example.tokens)
        self._add("learnt", "spans", spans)
        self._add("starts", "packs", array(_NUMBERS, example.starts))

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _add(self, part: str, ends: str, numbers: "array[int]") -> None:
        self._files[part].write(numbers.tobytes())
        self._at[part] += len(numbers)
        self._files[ends].write(array(_PLACES, [self._at[part]]).tobytes())


class Mapped(Stored):
    """Examples of such files, read where they are asked for. Raises ValueError for files that don't belong together."""

    def __init__(self, directory: Path, name: str, *, largest_token: int = -1, longest: int = 0) -> None:
        self._parts = {part: _mapped(directory / f"{name}.{part}") for part in PARTS}
        self._ends, self._spans, self._packs = (_places(self._parts[part]) for part in ("ends", "spans", "packs"))
        self.largest_token = largest_token
        self.longest = longest
        for ends, part in ((self._ends, "tokens"), (self._spans, "learnt"), (self._packs, "starts")):
            if len(ends) != len(self._ends) or 4 * (ends[-1] if len(ends) else 0) != len(self._parts[part]):
                raise ValueError(f"{directory}/{name}.{part} is of another length than its ends say")

    def __len__(self) -> int:
        return len(self._ends)

    def at(self, index: int) -> Example:
        spans = self._numbers("learnt", self._spans, index)
        return Example(
            self._numbers("tokens", self._ends, index),
            tuple(zip(spans[::2], spans[1::2], strict=True)),
            tuple(self._numbers("starts", self._packs, index)),
        )

    def _numbers(self, part: str, ends: "memoryview[int]", index: int) -> "array[int]":
        found = array(_NUMBERS)
        found.frombytes(self._parts[part][4 * (ends[index - 1] if index else 0) : 4 * ends[index]])
        return found


def _mapped(path: Path) -> bytes | mmap.mmap:
    with opened(path) as file:
        # An empty file can't be mapped.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if os.fstat(file.fileno()).st_size else b""


def _places(part: bytes | mmap.mmap) -> "memoryview[int]":
    return memoryview(part).cast("q")
