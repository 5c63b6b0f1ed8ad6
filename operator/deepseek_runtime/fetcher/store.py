"""What was fetched, on its claim: a folder for each revision, which is there whole or not at all.

    sources/<place>/<revision>/          the files, never changed
    sources/<place>/<revision>.json      their sizes and sha256, and when they were last asked for (its time of change)
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.fetcher.failures import NoRoom, Unavailable
from deepseek_runtime.fetcher.progress import amount

ROOT = "sources"
FORMAT_VERSION = 1
_MARGIN = 64 << 20
"""Left free: directories and manifests take some, and a volume without a byte left is in nobody's interest."""


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
        return self._beside(".part")

    def _beside(self, end: str) -> Path:
        return self.path.with_name(self.path.name + end)

    def kept(self) -> Kept | None:
        """What lies there; None unless the folder is there with every file in its size."""
        if not self.path.is_dir() or (said := _manifest(self._beside(".json"))) is None:
            return None
        return said if all(_size(self.path / file.path) == file.size for file in said.files) else None

    def used(self) -> None:
        """Marks it as asked for now, by which others go first when room is needed."""
        with suppress(OSError):
            os.utime(self._beside(".json"))

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
        _write(self._beside(".json"), said)
        if self.path.exists():  # Not whole, or it would have been used: somebody took files away.
            shutil.rmtree(self.path)
        self.part.rename(self.path)
        _sync(self.path.parent)

    @contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Held by one process of all nodes; `waiting` is called once where another has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._beside(".lock"), waiting):
            yield


def named(claim: Path, place: str, name: str) -> str | None:
    """The revision that a branch or a tag was last resolved to here; None where it never was."""
    said = _read(claim / ROOT / place / "names.json") or {}
    found = said.get(name)
    return found if isinstance(found, str) else None


def remember(claim: Path, place: str, name: str, revision: str) -> None:
    """For those who may ask nobody."""
    path = claim / ROOT / place / "names.json"
    with _locked(path.with_suffix(".lock"), lambda: None):
        said = _read(path) or {}
        if said.get(name) != revision:
            _write(path, {**said, name: revision})


@contextmanager
def with_room(folder: Folder, size: int, source: str) -> Iterator[None]:
    """Raises NoRoom before a byte is written, where `size` bytes have no room beside what others are fetching now."""
    claim, mine = folder.claim, folder.part
    with _locked(claim / ROOT / ".lock", lambda: None):
        mine.mkdir(parents=True, exist_ok=True)
        wanted = size - _bytes_below(mine)
        others = sum(_missing(part) for part in _parts(claim) if part != mine)
        free = _free(claim) - others - _MARGIN
        if wanted > free:
            raise NoRoom(_lack(source, size, wanted, free, others, claim))
        _write(_reservation(mine), {"bytes": size})
    try:
        yield
    finally:
        _reservation(mine).unlink(missing_ok=True)


def _lack(source: str, size: int, wanted: int, free: int, others: int, claim: Path) -> str:
    status = os.statvfs(claim)
    whole = status.f_blocks * status.f_frsize
    came = f", of which {amount(size - wanted)} are there" if wanted < size else ""
    beside = f" beside what others are fetching ({amount(others)})" if others else ""
    return (
        f"{source} takes {amount(size)}{came}, and of the claim's {amount(whole)} are "
        f"{amount(max(free, 0))} free{beside}: nothing was fetched"
    )


def _parts(claim: Path) -> Sequence[Path]:
    return sorted(path for path in (claim / ROOT).rglob("*.part") if path.is_dir())


def _reservation(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _missing(part: Path) -> int:
    """What is still to come of a part that somebody fetches: one that nobody holds the lock of takes no more."""
    said = _read(_reservation(part)) or {}
    size = said.get("bytes")
    if not isinstance(size, int) or not _is_held(part.with_suffix(".lock")):
        return 0
    return max(size - _bytes_below(part), 0)


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def _locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
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


def _bytes_below(folder: Path) -> int:
    return sum(size for path in folder.rglob("*") if path.is_file() and (size := _size(path)) is not None)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _free(claim: Path) -> int:
    status = os.statvfs(claim)
    return status.f_bavail * status.f_frsize


def _manifest(path: Path) -> Kept | None:
    said = _read(path)
    try:
        if said is None or said["formatVersion"] != FORMAT_VERSION:
            return None
        listed = said["files"]
        files = tuple(Stored(str(one["path"]), int(one["size"]), str(one["sha256"])) for one in listed)  # type: ignore[attr-defined]
        return Kept(str(said["uri"]), str(said["digest"]), files)
    except (KeyError, TypeError, ValueError):
        return None


def _read(path: Path) -> Mapping[str, object] | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _write(path: Path, said: Mapping[str, object]) -> None:
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
