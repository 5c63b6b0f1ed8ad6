"""Prepared datasets on the checkpoint volume, one folder for each digest, for every training that uses the volume.

    datasets/<digest>/manifest.json   renamed into place last, as a checkpoint's: without it there is nothing
    datasets/<digest>/<number>.*      token files of each dataset, in the specification's order

A folder is made under a name of the attempt's own and renamed when it is whole. Whoever dies on the way leaves nothing
that anybody would read; two that make the same at a time keep the first one's. The digest is of all that the files depend
on, so that nothing in a folder is ever out of date, and a folder may be deleted when no training that runs uses it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tokenizers
from transformers import PreTrainedTokenizerBase

from deepseek_runtime.checkpoint.document import Unreadable, load
from deepseek_runtime.checkpoint.files import entries, is_there, remove, sync, sync_files, write_whole
from deepseek_runtime.checkpoint.integrity import Damaged, describe, verify_hashes
from deepseek_runtime.checkpoint.manifest import MANIFEST_NAME, File
from deepseek_runtime.checkpoint.volume import TORN_PREFIX
from deepseek_runtime.pretrained import beginning_of
from deepseek_runtime.spec import LossOn, Preparation
from deepseek_runtime.trainer.data.preparation import Counted, Source
from deepseek_runtime.trainer.data.source import sha256_of

FOLDER = "datasets"
FORMAT_VERSION = 1
"""Of the files, and of how they are made: another one makes all of them anew."""


@dataclass(frozen=True)
class Prepared:
    """One whole folder, and what is in it."""

    directory: Path
    digest: str
    counted: Sequence[Counted]


def digest_of(
    sources: Sequence[Source], options: Preparation, tokenizer: PreTrainedTokenizerBase, loss_on: LossOn, length: int
) -> str:
    """Names what is prepared: content, options, tokenizer and template, never where the content lies. 32 hex digits."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    document = {
        "version": [FORMAT_VERSION, tokenizers.__version__],
        "sources": [
            [one.dataset.format, one.dataset.split, sha256_of(one.dataset, one.contents), len(one.contents)]
            for one in sources
        ],
        "options": asdict(options),
        "tokenizer": backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items()),
        "special": [beginning_of(tokenizer), tokenizer.eos_token_id, str(tokenizer.bos_token)],
        "template": tokenizer.chat_template,
        "lossOn": loss_on,
        "length": length,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def prepared(
    volume: Path, digest: str, incarnation: str, past: Sequence[str], make: Callable[[Path], list[Counted]]
) -> Prepared:
    """The whole folder of that digest: as it lies there, or made now. `past` are incarnations that are certainly over.

    What lies there and isn't what its manifest says is made anew. Raises what `make` raises, and OSError.
    """
    place = volume / FOLDER
    if (found := whole(place / digest, digest)) is not None:
        return found
    place.mkdir(parents=True, exist_ok=True)
    for one in entries(place):
        if one.name.startswith(TORN_PREFIX) and one.name.removeprefix(TORN_PREFIX).rpartition("-")[0] in past:
            remove(one)
    torn = place / f"{TORN_PREFIX}{incarnation}-{digest}"
    remove(torn)
    torn.mkdir()
    try:
        _write(torn, digest, make(torn))
        return _committed(torn, place / digest, digest)
    except Exception:
        # What can't be used, or found no room, must not take any.
        remove(torn)
        raise


def _write(torn: Path, digest: str, counted: Sequence[Counted]) -> None:
    """The manifest, once all files are on the volume."""
    sync_files(torn)
    files = [vars(file) for file in describe(torn)]
    document = {"formatVersion": FORMAT_VERSION, "kind": "Dataset", "digest": digest, "files": files}
    write_whole(torn / MANIFEST_NAME, json.dumps({**document, "datasets": list(map(asdict, counted))}, indent=1))


def whole(directory: Path, digest: str) -> Prepared | None:
    """What a folder holds, all of it compared with its manifest; None where it is not there, or not whole."""
    try:
        found = opened_at(directory, digest)
        verify_hashes(directory, _files(load(directory / MANIFEST_NAME)))
    except (FileNotFoundError, Unreadable, Damaged):
        return None
    return found


def opened_at(directory: Path, digest: str) -> Prepared:
    """What the manifest of a folder says. Raises FileNotFoundError and Unreadable."""
    match load(directory / MANIFEST_NAME):
        case {"formatVersion": int(version), "kind": "Dataset", "digest": str(named), "datasets": list(datasets)} if (
            version == FORMAT_VERSION and named == digest
        ):
            return Prepared(directory, digest, [_counted(one) for one in datasets])
    raise Unreadable("it is no manifest of a prepared dataset of that digest")


def _committed(torn: Path, final: Path, digest: str) -> Prepared:
    if is_there(final):
        if (theirs := whole(final, digest)) is not None:  # somebody else was first
            remove(torn)
            return theirs
        remove(final)
    torn.rename(final)
    sync(final.parent)
    return opened_at(final, digest)


def _counted(value: Any) -> Counted:
    try:
        names = ("read", "examples", "tokens", "cut", "needed", "longest", "largest_token")
        return Counted(
            sha256=str(value["sha256"]),
            has_answers=value["has_answers"] is True,
            reasons={str(name): int(count) for name, count in value["reasons"].items()},
            **{name: int(value[name]) for name in names},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"it counts no dataset: {error}") from None


def _files(document: object) -> list[File]:
    files = document.get("files") if isinstance(document, Mapping) else None
    found = []
    for one in files if isinstance(files, list) else []:
        match one:
            case {"path": str(path), "size": int(size), "sha256": str(sha256)} if path and "/" not in path:
                found.append(File(path, size, sha256))
            case _:
                raise Unreadable("it names a file that no prepared dataset has")
    return found
