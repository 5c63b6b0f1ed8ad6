"""Whether a dataset is what DVC has recorded of it: its md5, or for a folder that of the list of its files' md5s.

Written as DVC 3 writes it (a .dvc file is YAML with `outs[].md5`, a folder's md5 ends in .dir and is of the JSON list of
its files by name). DVC 2 hashed texts with their line ends made Unix's: what it recorded so is taken as well.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from deepseek_runtime.checkpoint.document import read
from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import shown
from deepseek_runtime.reading import reading
from deepseek_runtime.spec import Dataset, Pin

DIRECTORY = ".dir"
_FIELD = "datasets[].source.dvc"
_CHUNK_BYTES = 1 << 20
# A .dvc file has some hundred bytes.
_LIMIT_BYTES = 1 << 20
_HEX = set("0123456789abcdef")


def check(dataset: Dataset) -> None:
    """Raises Invalid, with both digests, for data that is not what its pin says. A dataset without one is not looked at."""
    if dataset.pin is None or dataset.path is None:
        return
    wanted, where = _wanted(dataset.pin, dataset.path)
    name = f"dataset {dataset.path}"
    with reading(name, "check datasets[].source.uri"):
        found = _digest(dataset.path, _chunks)
        if found == wanted or _digest(dataset.path, _unix_chunks) == wanted:
            return
    kind = "the list of its files has" if dataset.path.is_dir() else "it has"
    raise Invalid(
        f"{name} is not what {where} says: {kind} md5 {found}, pinned is {wanted}; bring the data back (dvc checkout), or pin"
        " what it is now"
    )


def _wanted(pin: Pin, path: Path) -> tuple[str, str]:
    """The md5 that is pinned, and where that stands. Raises Invalid where file and md5 disagree."""
    if pin.file is None:
        return str(pin.md5), f"{_FIELD}.md5"
    recorded = _recorded(pin.file, path.name)
    if pin.md5 is not None and pin.md5 != recorded:
        raise Invalid(
            f"{pin.file} records md5 {recorded}, and {_FIELD}.md5 is {pin.md5}: bring that version of the file back, or pin"
            " what it records now"
        )
    return recorded, str(pin.file)


def _recorded(file: Path, name: str) -> str:
    """The md5 in a .dvc file, of the out of that name where it has several."""
    advice = f"name a file that dvc add has written by {_FIELD}.file"
    with reading(str(file), advice):
        try:
            document = yaml.safe_load(read(file, _LIMIT_BYTES))
        except yaml.YAMLError as error:
            raise Invalid(f"{file} is no YAML ({' '.join(str(error).split())}); {advice}") from None
    outs = document.get("outs") if isinstance(document, dict) else None
    found = [one for one in outs if isinstance(one, dict)] if isinstance(outs, list) else []
    named = [one for one in found if Path(str(one.get("path"))).name == name]
    if not named:
        there = ", ".join(str(one.get("path")) for one in found) or "none"
        raise Invalid(f"{file} has no outs[] of path {name} (there: {there}); {advice}")
    md5 = named[0].get("md5")
    if (
        not isinstance(md5, str)
        or len(md5.removesuffix(DIRECTORY)) != 32
        or not set(md5.removesuffix(DIRECTORY)) <= _HEX
    ):
        raise Invalid(f"{file} has md5 {shown(md5)} for {name}; {advice}")
    return md5


def _digest(path: Path, chunks: Callable[[Path], Iterator[bytes]]) -> str:
    if not path.is_dir():
        return _md5(chunks(path))
    files = sorted((one.relative_to(path).as_posix(), one) for one in path.rglob("*") if not one.is_dir())
    listed = [{"md5": _md5(chunks(one)), "relpath": name} for name, one in files]
    return _md5([json.dumps(listed, sort_keys=True).encode()]) + DIRECTORY


def _md5(chunks: "Iterator[bytes] | list[bytes]") -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _unix_chunks(path: Path) -> Iterator[bytes]:
    """With every CR LF as LF, also where a chunk ends between them."""
    held = b""
    for chunk in _chunks(path):
        text = held + chunk
        held = b"\r" if text.endswith(b"\r") else b""
        yield text.removesuffix(held).replace(b"\r\n", b"\n") if held else text.replace(b"\r\n", b"\n")
    yield held
