"""Writing checkpoint files: hashed as they are written, so that nothing is read back.

Bytes written are counted as they go: that is how a long save is told from a hanging disk.
"""

import hashlib
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.checkpoint.filesystem import FileSystem

from deepseek_runtime.checkpoint.manifest import File


class Ledger:
    """Files that this rank wrote into one checkpoint, by name, the bytes so far, and what the disk refused."""

    def __init__(self) -> None:
        self.written_bytes = 0
        self.failure: OSError | None = None
        self._files: dict[str, File] = {}

    def enter(self, file: File) -> None:
        self._files[file.path] = file

    def rename(self, old: str, new: str) -> None:
        if old in self._files:
            known = self._files.pop(old)
            self._files[new] = File(new, known.size, known.sha256)

    def files(self) -> list[File]:
        return [self._files[name] for name in sorted(self._files)]


class HashedStream:
    """A file that is only written forwards; size and hash enter the ledger when it is closed."""

    def __init__(self, path: Path, ledger: Ledger) -> None:
        self._stream = path.open("wb")
        self._path = path
        self._ledger = ledger
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> int:
        with self._noting():
            count = self._stream.write(data)
        self._digest.update(data)
        self._size += count
        self._ledger.written_bytes += count
        return count

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        with self._noting():
            self._stream.flush()

    def fileno(self) -> int:
        self.flush()
        return self._stream.fileno()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """torch's writers in C++ tell of a full disk in other words, or not at all."""
        try:
            yield
        except OSError as error:
            self._ledger.failure = error
            raise

    def close(self) -> None:
        if not self._stream.closed:
            with self._noting():
                self._stream.close()
            self._ledger.enter(File(self._path.name, self._size, self._digest.hexdigest()))


class _HashingFileSystem(FileSystem):
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Generator[IO[bytes] | HashedStream, None, None]:
        if mode != "wb":
            with super().create_stream(path, mode) as plain:
                yield plain
            return
        stream = HashedStream(Path(path), self._ledger)
        try:
            yield stream
        finally:
            stream.close()

    def rename(self, path: str | os.PathLike[str], new_path: str | os.PathLike[str]) -> None:
        super().rename(path, new_path)
        self._ledger.rename(Path(path).name, Path(new_path).name)


class HashingWriter(FileSystemWriter):
    """torch's checkpoint writer with a ledger; one file per rank, synced to the volume."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        super().__init__(directory, single_file_per_rank=True, sync_files=True, thread_count=1)
        self.fs = _HashingFileSystem(ledger)


def write_file(path: Path, data: bytes, ledger: Ledger) -> None:
    """Writes one more file of a checkpoint, synced."""
    stream = HashedStream(path, ledger)
    try:
        stream.write(data)
        os.fsync(stream.fileno())
    finally:
        stream.close()
