"""What was fetched, on its claim: a folder for each revision, which is there whole or not at all.

    sources/<place>/<revision>/          the files, never changed
    sources/<place>/<revision>.json      their sizes and sha256, and when they were last asked for (its time of change)
    sources/<place>/<revision>.claims    the uids of the claims by which they were asked for: a volume may be of several
    sources/<place>/<revision>.part/     what has come of one that is not whole
    sources/<place>/<revision>.lock      held by who fetches it; the kernel frees it with its holder
    sources/<place>/names.json           the revision that a branch or a tag was last resolved to

The folder gets its name once its files are verified and on disk, behind its manifest. Locks are `flock`: over NFS, CephFS and
other network file systems the kernel carries them to all nodes.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.fetcher.failures import Unavailable

ROOT = "sources"
FORMAT_VERSION = 1

_LEAST_SAMPLE, _SAMPLE, _SAMPLE_PIECE, _SAMPLE_S = 64 << 20, 1 << 30, 4 << 20, 20.0
"""Of what is read to tell how fast the claim is: less says nothing, and more takes longer than a budget is worth."""


@dataclass(frozen=True)
class Stored:
    """A file as it was fetched."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Kept:
    """What a manifest says: where the files came from, the digest over them, and each."""

    uri: str
    digest: str
    files: tuple[Stored, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Folder:
    """The place of one revision, or of a part of one, on a claim that is mounted at `claim`."""

    claim: Path
    place: str
    name: str

    @property
    def sub_path(self) -> str:
        """Below the claim, as a pod mounts it."""
        return f"{ROOT}/{self.place}/{self.name}"

    @property
    def path(self) -> Path:
        return self.claim / self.sub_path

    @property
    def part(self) -> Path:
        """Where files lie until all are there."""
        return self.beside(".part")

    def beside(self, end: str) -> Path:
        """What is kept of it under its name with that end."""
        return self.path.with_name(self.path.name + end)

    def kept(self) -> Kept | None:
        """What lies there; None unless the folder is there with every file in its size."""
        if not self.path.is_dir() or (said := _manifest(self.beside(".json"))) is None:
            return None
        return said if all(size_of(self.path / file.path) == file.size for file in said.files) else None

    def used(self, claim: str = "") -> None:
        """Marks it as asked for now, by which others go first when room is needed. `claim`: uid of the claim by which it is
        asked for; empty where that is not known."""
        with suppress(OSError):
            os.utime(self.beside(".json"))
        if claim and claim not in (known := self.claims):
            try:
                write(self.beside(".claims"), {"uids": sorted({*known, claim})})
            except OSError:
                # What is there is found on a full claim too. Nothing goes of which nobody knows whose it is.
                self.beside(".claims").unlink(missing_ok=True)

    @property
    def last_used(self) -> float | None:
        """When it was last asked for, in seconds since 1970; None where nothing is kept of it."""
        try:
            return self.beside(".json").lstat().st_mtime
        except OSError:
            return None

    @property
    def claims(self) -> frozenset[str]:
        """uids of the claims by which it was asked for; none where an earlier release of the operator alone did."""
        uids = (read(self.beside(".claims")) or {}).get("uids")
        return frozenset(str(uid) for uid in uids) if isinstance(uids, list) else frozenset()

    def read_rate(self, kept: Kept) -> float:
        """Bytes a second that reading from the claim takes, by a part of the largest file; 0 where it is too short to tell."""
        largest = max(kept.files, key=lambda file: file.size, default=None)
        if largest is None or largest.size < _LEAST_SAMPLE:
            return 0.0
        with (self.path / largest.path).open("rb", buffering=0) as file:
            # What has just been written is in this node's memory: a replica elsewhere reads it from the claim.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            began, read, piece = time.monotonic(), 0, bytearray(_SAMPLE_PIECE)
            while read < _SAMPLE and time.monotonic() - began < _SAMPLE_S and (came := file.readinto(piece)):
                read += came
        return read / max(time.monotonic() - began, 1e-6)

    def commit(self, kept: Kept) -> None:
        """Makes the part the folder. All of its files are on disk before."""
        for folder in sorted({(self.part / file.path).parent for file in kept.files}):
            _sync(folder)
        files = [vars(file) for file in kept.files]
        said = {"formatVersion": FORMAT_VERSION, "uri": kept.uri, "digest": kept.digest, "files": files}
        write(self.beside(".json"), said)
        if self.path.exists():  # Not whole, or it would have been used: somebody took files away.
            shutil.rmtree(self.path)
        self.part.rename(self.path)
        _sync(self.path.parent)

    def locked(self, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """As `locked`, of this folder."""
        return locked(self.beside(".lock"), waiting)


def named(claim: Path, place: str, name: str) -> str | None:
    """The revision that a branch or a tag was last resolved to here; None where it never was."""
    said = read(claim / ROOT / place / "names.json") or {}
    found = said.get(name)
    return found if isinstance(found, str) else None


def remember(claim: Path, place: str, name: str, revision: str) -> None:
    """For those who may ask nobody."""
    path = claim / ROOT / place / "names.json"
    with locked(path.with_suffix(".lock"), lambda: None):
        said = read(path) or {}
        if said.get(name) != revision:
            write(path, {**said, name: revision})


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Held by one process of all nodes; `waiting` is called once where another has it, and may raise instead of waiting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise Unavailable(
                f"the claim's file system gives no locks ({error.strerror}): write a claim of one that does, such as a "
                "disk, NFS or CephFS"
            ) from error
        yield


def size_of(path: Path) -> int | None:
    """Bytes of a file; None without one."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _manifest(path: Path) -> Kept | None:
    said = read(path)
    try:
        if said is None or said["formatVersion"] != FORMAT_VERSION:
            return None
        listed = said["files"]
        files = tuple(Stored(str(one["path"]), int(one["size"]), str(one["sha256"])) for one in listed)  # type: ignore[attr-defined]
        return Kept(str(said["uri"]), str(said["digest"]), files)
    except (KeyError, TypeError, ValueError):
        return None


def read(path: Path) -> Mapping[str, object] | None:
    """The JSON object that lies there; None where none does."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def write(path: Path, said: Mapping[str, object]) -> None:
    """In one piece: whoever reads it sees what was before or what is now."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(said, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    with suppress(OSError):  # Some network file systems know no fsync of a folder.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
