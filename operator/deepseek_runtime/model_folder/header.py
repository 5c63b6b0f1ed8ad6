"""A safetensors file's header: which tensors it holds, and whether it holds them whole."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.files import refuse_strange
from deepseek_runtime.model_folder.parts import AGAIN

# The header is JSON and describes some hundred thousand tensors at most; the format itself allows no more.
_HEADER_LIMIT = 100_000_000


@dataclass(frozen=True)
class Header:
    """A safetensors file's own description: type and shape of each tensor by name."""

    kinds: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]


def read_header(file: Path) -> Header:
    """Reads a safetensors file's header and compares it with the file's size. Raises Invalid."""
    refuse_strange(file)
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= _HEADER_LIMIT:
            raise Invalid(f"{file} is no safetensors file: its header would have {length} bytes; {AGAIN}")
        text = stream.read(length)
    if len(text) < length:
        raise Invalid(f"{file} is cut off within its header: it has {size} bytes of at least {8 + length}; {AGAIN}")
    try:
        entries = {name: entry for name, entry in json.loads(text).items() if name != "__metadata__"}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        kinds = {name: str(entry["dtype"]) for name, entry in entries.items()}
        shapes = {name: tuple(int(size) for size in entry["shape"]) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise Invalid(f"{file} has a damaged header ({type(error).__name__}: {error}); {AGAIN}") from None
    if size != 8 + length + end:
        what = "is cut off" if size < 8 + length + end else "is longer than it says"
        raise Invalid(f"{file} {what}: it has {size} bytes, its header tells of {8 + length + end}; {AGAIN}")
    return Header(kinds, shapes)
