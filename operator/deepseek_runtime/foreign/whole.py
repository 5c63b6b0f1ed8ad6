"""Whether one file that a library wrote is there to its end. Nothing is loaded, and nothing unpickled."""

import json
import pickletools
import zipfile
from pathlib import Path

from deepseek_runtime.checkpoint.document import Unreadable, opened, read
from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.header import read_header

_METADATA_LIMIT_BYTES = 1 << 30
"""torch's description of a distributed checkpoint has about 100 bytes per tensor and rank."""
_STRINGS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")


class Torn(Exception):
    """A checkpoint is not whole; the message says what is missing, with the file's name."""


def weights(file: Path) -> None:
    """A safetensors file is as long as its header says. Raises Torn."""
    try:
        read_header(file)
    except (Invalid, OSError) as error:
        raise Torn(str(error)) from None


def archive(file: Path) -> None:
    """A file of `torch.save` is a zip whose list of contents comes last. Raises Torn."""
    try:
        with opened(file) as stream, zipfile.ZipFile(stream) as found:
            found.namelist()
    except FileNotFoundError:
        raise Torn(f"{file.name} is missing") from None
    except (Unreadable, OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise Torn(f"{file.name} is cut off or no file of torch: {error}") from None


def document(file: Path) -> dict[str, object]:
    """A JSON object; NaN is read, as transformers writes it. Raises Torn."""
    try:
        value = json.loads(read(file).decode())
    except FileNotFoundError:
        raise Torn(f"{file.name} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Torn(f"{file.name} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Torn(f"{file.name} holds no JSON object")
    return value


def distributed(folder: Path) -> None:
    """A folder of torch.distributed.checkpoint: its description, which comes last, and every file that it names.

    Raises Torn.
    """
    try:
        content = read(folder / ".metadata", _METADATA_LIMIT_BYTES)
        texts = [value for operation, value, _ in pickletools.genops(content) if operation.name in _STRINGS]
    except FileNotFoundError:
        raise Torn(".metadata is missing, which comes last") from None
    except (OSError, ValueError, IndexError) as error:
        raise Torn(f".metadata is cut off: {error}") from None
    named = {text for text in texts if isinstance(text, str) and text.endswith(".distcp") and "/" not in text}
    if not named:
        raise Torn(".metadata names no file with weights")
    for name in sorted(named):
        file = folder / name
        if file.is_symlink() or not file.is_file() or not file.stat().st_size:
            raise Torn(f"{name} is missing or empty")


def number(file: Path) -> int | None:
    """The whole number that a small text file holds, which may end a word (`global_step100`); None where there is none."""
    try:
        text = read(file, 1 << 10).decode().strip()
    except (OSError, ValueError):
        return None
    digits = text[len(text.rstrip("0123456789")) :]
    return int(digits) if digits else None
