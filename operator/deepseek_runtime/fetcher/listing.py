"""What lies at a source: its files, and what is promised of each."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from deepseek_runtime.fetcher.failures import NotThere

_STEP = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")
_LONGEST_PATH = 1024
_REVISION_DIGITS = 40
MOST_FILES = 100_000
"""Of one source that knows no commits."""


@dataclass(frozen=True)
class File:
    """One file.

    Attributes:
        path: below the source, `/` between its steps.
        size: in bytes; None where the source does not tell before it is read.
        promise: of its content, as `sha256:…`, `git:…` (the SHA-1 that Git names a blob by) or `md5:…`; empty for none.
        url: where it is read from: an address, or a key of its bucket.
        version: which must not have changed when it is read (an ETag); empty where `url` can't name another content.
    """

    path: str
    size: int
    promise: str = ""
    url: str = ""
    version: str = ""


@dataclass(frozen=True)
class Listing:
    """All files of one revision, by path. `place` and `revision` name its folder on the claim; a revision never changes."""

    place: str
    revision: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def checked(place: str, revision: str, files: Iterable[File]) -> Listing:
    """The listing, sorted. Raises NotThere for a path that leads out of the folder, or that is there twice."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    for file in ordered:
        steps = file.path.split("/")
        if len(file.path) > _LONGEST_PATH or any(
            step in ("", ".", "..") or not _STEP.fullmatch(step) for step in steps
        ):
            raise NotThere(f"{place} lists a file {file.path[:200]!r}, which is no path below a folder")
    # A file where another has a folder, or one name twice: one would be written over the other.
    paths = {file.path for file in ordered}
    folders = {file.path[:at] for file in ordered for at, letter in enumerate(file.path) if letter == "/"}
    if len(paths) < len(ordered) or paths & folders:
        raise NotThere(f"{place} lists {min(paths & folders or paths)} twice")
    return Listing(place, revision, ordered)


def revision_of(root: str, files: Iterable[tuple[str, int, str]]) -> str:
    """The revision of a source that knows no commits: a digest over where it is and what is listed of it.

    `files`: path, bytes and version of each, in order.
    """
    told = "".join(f"{path}\0{size}\0{version}\n" for path, size, version in files)
    return sha256(f"{root}\n{told}".encode()).hexdigest()[:_REVISION_DIGITS]


def digest_of(contents: Iterable[tuple[str, int, str]]) -> str:
    """One digest for a folder: of the lines `<sha256>  <path>`, as sha256sum prints them, sorted by path.

    `contents`: path, bytes and sha256 of each file.
    """
    lines = (f"{checksum}  {path}\n" for path, _, checksum in sorted(contents))
    return f"sha256:{sha256(''.join(lines).encode()).hexdigest()}"
