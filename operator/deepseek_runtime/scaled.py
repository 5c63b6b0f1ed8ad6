"""Weights of FP8 files, multiplied by their scales as they are read: never more at once than is asked for.

A library that loads takes these in the place of safetensors' own slices: what a process of several asks for is its rows,
and only those, and the scales of their blocks, are read and multiplied, in fp32. transformers' own conversion (5.23) takes
matrices of whole blocks alone, which V3's `kv_a_proj_with_mqa` of 576 rows is not.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from deepseek_runtime.model_folder.scales import SCALES, WEIGHT, Blocks


class Scaled:
    """A matrix that is not read yet: indexed by slices of rows and columns, or by `...` for all of it."""

    def __init__(self, numbers: Any, scales: Any, blocks: Blocks) -> None:
        self._numbers, self._scales, self._blocks = numbers, scales, blocks

    def get_shape(self) -> list[int]:
        shape: list[int] = self._numbers.get_shape()
        return shape

    def get_dtype(self) -> str:
        return "F32"

    def __getitem__(self, index: Any) -> torch.Tensor:
        wanted = index if isinstance(index, tuple) else (index,)
        sizes, cut = self.get_shape(), [one for one in wanted if one is not ...]
        rows, columns = (range(size)[part] for size, part in zip(sizes, [*cut, *[slice(None)] * 2], strict=False))
        return self._read(rows, columns)

    def _read(self, rows: range, columns: range) -> torch.Tensor:
        numbers: torch.Tensor = self._numbers[rows.start : rows.stop, columns.start : columns.stop]
        found = numbers.to(torch.float32)
        if not found.numel():
            return found
        high, wide = self._blocks.rows, self._blocks.columns
        top, left = rows.start // high, columns.start // wide
        scales = self._scales[top : -(-rows.stop // high), left : -(-columns.stop // wide)].to(torch.float32)
        for row in range(scales.shape[0]):
            # A strip of blocks at a time: scales as large as the matrix would be another matrix.
            begin, end = max((top + row) * high, rows.start), min((top + row + 1) * high, rows.stop)
            strip = scales[row].repeat_interleave(wide)[columns.start - left * wide :][: len(columns)]
            found[begin - rows.start : end - rows.start] *= strip
        return found


@contextmanager
def opened(files: list[Path], blocks: Blocks) -> Iterator[Mapping[str, Any]]:
    """All tensors of safetensors files by name, none of them read yet; scales are no tensors of their own any more."""
    with ExitStack() as stack:
        found: dict[str, Any] = {}
        for file in files:
            one = stack.enter_context(safe_open(file, framework="pt"))
            found |= {name: one.get_slice(name) for name in one.keys()}  # noqa: SIM118 it is no mapping
        scales = {name: found.pop(name) for name in list(found) if name.endswith(SCALES)}
        for name, its in scales.items():
            weight = f"{name.removesuffix(SCALES)}{WEIGHT}"
            found[weight] = Scaled(found[weight], its, blocks)
        yield found
