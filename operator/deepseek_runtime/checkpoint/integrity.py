"""Whether files are what a manifest says of them."""

import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path

from deepseek_runtime.checkpoint.document import Unreadable, opened
from deepseek_runtime.checkpoint.manifest import MANIFEST_NAME, File, Manifest

_READ_BYTES = 1 << 20


class Damaged(Exception):
    """Files of a checkpoint or export are not what its manifest says."""


class Missing(Damaged):
    """A file is not there."""


def verify_sizes(directory: Path, manifest: Manifest) -> None:
    """Raises Damaged when a file is missing, no regular file or of another size."""
    for file in manifest.files:
        try:
            found = (directory / file.path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            raise Missing(f"{directory}: {file.path} is missing") from None
        folders = [directory / parent for parent in Path(file.path).parents][:-1]
        if not stat.S_ISREG(found.st_mode) or any(folder.is_symlink() for folder in folders):
            raise Damaged(f"{directory}: {file.path} is no regular file")
        if found.st_size != file.size:
            raise Damaged(f"{directory}: {file.path} has {found.st_size} bytes, the manifest says {file.size}")


def verify_hashes(directory: Path, files: Iterable[File]) -> None:
    """Raises Damaged when the content of a file is not what was written."""
    for file in files:
        try:
            found = sha256_of(directory / file.path)
        except Unreadable as error:
            raise Damaged(f"{directory}: {file.path}: {error}") from None
        if found != file.sha256:
            raise Damaged(f"{directory}: {file.path} differs from the sha256 in the manifest")


def describe(directory: Path) -> tuple[File, ...]:
    """Every file below a directory with size and hash, the manifest excluded."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST_NAME)
    return tuple(File(str(p.relative_to(directory)), p.stat().st_size, sha256_of(p)) for p in paths)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with opened(path) as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
