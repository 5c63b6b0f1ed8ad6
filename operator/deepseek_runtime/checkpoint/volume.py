"""The directories of one training on its volume: reading, committing, verifying, deleting.

    <root>/<incarnation>/origin.json
    <root>/<incarnation>/step-00000120/{rank files, manifest.json}
    <root>/exports/<step>/{safetensors, config.json, tokenizer, manifest.json}

A directory is filled under a name that starts with `_tmp-`; its manifest is renamed into place last,
then the directory gets its name. Whatever is found without a manifest is torn: ignored, and deleted at
the start of the next attempt. An attempt announces itself with a claim before it looks for a
checkpoint; an older attempt that is still alive sees the claim and deletes nothing any more.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from deepseek_runtime.checkpoint import manifest as manifests
from deepseek_runtime.checkpoint import origin as origins
from deepseek_runtime.checkpoint.manifest import MANIFEST_NAME, File, Manifest, ManifestError
from deepseek_runtime.checkpoint.origin import ORIGIN_NAME, Origin

TORN_PREFIX = "_tmp-"
CLAIM_NAME = "claim.json"
EXPORTS_NAME = "exports"
_READ_BYTES = 1 << 20


class Damaged(Exception):
    """Files of a checkpoint or export are not what its manifest says."""


class Volume:
    """One training's directory, `<root>/<training uid>`. Methods raise OSError when the volume is gone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def step_directory(self, incarnation: str, step: int) -> Path:
        return self.root / incarnation / f"step-{step:08d}"

    def torn_directory(self, incarnation: str, step: int) -> Path:
        """Where a checkpoint is written until it is whole."""
        return self.root / incarnation / f"{TORN_PREFIX}step-{step:08d}"

    def export_directory(self, step: int) -> Path:
        return self.root / EXPORTS_NAME / str(step)

    def incarnations(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        return sorted(d for d in self.root.iterdir() if d.is_dir() and d.name != EXPORTS_NAME)

    def checkpoints(self) -> dict[str, list[Manifest]]:
        """Whole checkpoints by incarnation, by step upwards. A manifest that names another place is not believed."""
        return {d.name: self.checkpoints_of(d.name) for d in self.incarnations()}

    def checkpoints_of(self, incarnation: str) -> list[Manifest]:
        found = [read_manifest(d) for d in sorted((self.root / incarnation).glob("step-*"))]
        return [m for m in found if m is not None and m.kind == "Checkpoint" and m.incarnation == incarnation]

    def origins(self) -> dict[str, Origin]:
        found = {d.name: _read_origin(d / ORIGIN_NAME) for d in self.incarnations()}
        return {name: origin for name, origin in found.items() if origin is not None}

    def exports(self) -> list[Manifest]:
        """Whole exports, by step upwards."""
        found = [read_manifest(d) for d in (self.root / EXPORTS_NAME).glob("*") if d.name.isdigit()]
        return sorted((m for m in found if m is not None and m.kind == "Export"), key=lambda m: m.step)

    def claim(self, incarnation: str, attempt: int) -> None:
        """Announces an attempt, before it looks for a checkpoint."""
        write_whole(self.root / incarnation / CLAIM_NAME, json.dumps({"attempt": attempt}))

    def is_superseded(self, attempt: int) -> bool:
        """Whether a later attempt has announced itself: this one is a zombie and must delete nothing."""
        return any(claimed > attempt for d in self.incarnations() if (claimed := _claimed_attempt(d)) is not None)

    def write_origin(self, origin: Origin) -> None:
        write_whole(self.root / origin.incarnation / ORIGIN_NAME, origins.encode(origin))

    def delete(self, manifest: Manifest) -> None:
        """Deletes a checkpoint: it stops being one before its files go, so a half-deleted one is only torn.

        Somebody who needed the room may have deleted it already.
        """
        directory = self.step_directory(manifest.incarnation, manifest.step)
        doomed = self.torn_directory(manifest.incarnation, manifest.step)
        if not directory.exists():
            return
        (directory / MANIFEST_NAME).unlink(missing_ok=True)
        shutil.rmtree(doomed, ignore_errors=True)
        directory.rename(doomed)
        shutil.rmtree(doomed)

    def prune_torn(self) -> list[Path]:
        """Deletes what earlier attempts left unfinished; returns what was deleted."""
        places = [*self.incarnations(), self.root / EXPORTS_NAME]
        torn = sorted(d for place in places if place.is_dir() for d in place.iterdir() if _is_torn(d))
        for directory in torn:
            shutil.rmtree(directory, ignore_errors=True)
        return torn


def commit(torn: Path, final: Path, manifest: Manifest) -> None:
    """Turns a filled directory into a checkpoint or export. All files must be on the volume already."""
    write_whole(torn / MANIFEST_NAME, manifests.encode(manifest))
    shutil.rmtree(final, ignore_errors=True)  # only a torn one can be in the way: a whole one is never written again
    torn.rename(final)
    _sync(final.parent)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest in a directory, None when there is none that can be read: the directory is torn then."""
    try:
        return manifests.decode((directory / MANIFEST_NAME).read_text())
    except (FileNotFoundError, NotADirectoryError, ManifestError, UnicodeDecodeError):
        return None


def verify_sizes(directory: Path, manifest: Manifest) -> None:
    """Raises Damaged when a file is missing or has another size."""
    for file in manifest.files:
        try:
            size = (directory / file.path).stat().st_size
        except FileNotFoundError:
            raise Damaged(f"{directory}: {file.path} is missing") from None
        if size != file.size:
            raise Damaged(f"{directory}: {file.path} has {size} bytes, the manifest says {file.size}")


def verify_hashes(directory: Path, files: Iterable[File]) -> None:
    """Raises Damaged when the content of a file is not what was written."""
    for file in files:
        if sha256_of(directory / file.path) != file.sha256:
            raise Damaged(f"{directory}: {file.path} differs from the sha256 in the manifest")


def sync_files(directory: Path) -> None:
    """Puts files that a library wrote on the volume: after a power cut a manifest must not outlive them."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            _sync(path)


def describe(directory: Path) -> tuple[File, ...]:
    """Every file below a directory with size and hash, the manifest excluded."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    return tuple(File(str(p.relative_to(directory)), p.stat().st_size, sha256_of(p)) for p in paths)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Writes a small file so that a reader sees all of it or none, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w") as stream:
        os.fchmod(stream.fileno(), 0o644)  # a server reads an export's manifest under another uid, whatever the umask
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.rename(path)
    _sync(path.parent)


def _is_torn(directory: Path) -> bool:
    if directory.name.startswith(TORN_PREFIX):
        return True
    return directory.name.startswith("step-") and not (directory / MANIFEST_NAME).exists()


def _read_origin(path: Path) -> Origin | None:
    try:
        return origins.decode(path.read_text())
    except (FileNotFoundError, ManifestError, UnicodeDecodeError):
        return None


def _claimed_attempt(directory: Path) -> int | None:
    try:
        return int(json.loads((directory / CLAIM_NAME).read_text())["attempt"])
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None


def _sync(path: Path) -> None:
    """A file, or the entries of a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
