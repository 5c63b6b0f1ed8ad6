"""From a source to the folder: several files at a time, each from where it broke off, each held to what is promised of it.

What has come of a file stays when a fetch is killed: the next one reads it once for its checksum and asks for the rest.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deepseek_runtime.checkpoint.room import is_full
from deepseek_runtime.fetcher.failures import Corrupt, Interrupted, NoRoom, Unavailable
from deepseek_runtime.fetcher.listing import File, Listing
from deepseek_runtime.fetcher.progress import Progress
from deepseek_runtime.fetcher.store import Folder, Stored

AT_A_TIME = 4
"""Files of one source: a hub gives one connection a part of what it gives several, and more of them win little."""
_WRITE_BYTES = 4 << 20
_TRIES = 6
"""Of one file without a byte more, some 30 s in all; a fetch that can't go on is tried again as a whole, later."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0


class Opened(Protocol):
    """A source that is being read."""

    def read(self, file: File, start: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """Pieces of a file and where each begins; raises Interrupted where another try may help."""
        ...


@dataclass
class _Written:
    """A file that is being written, with the checksums of what it holds."""

    path: Path
    promise: str
    size: int = 0
    _hashes: dict[str, "hashlib._Hash"] = field(default_factory=dict)

    def begin(self, size: int) -> None:
        """Reads what is there, if it may be the beginning of `size` bytes; else begins anew."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.size, self._hashes = 0, _hashes(self.promise, size)
        if not self.path.exists() or self.path.stat().st_size > size:
            self.path.write_bytes(b"")
            return
        with self.path.open("rb") as file:
            while piece := file.read(_WRITE_BYTES):
                self._count(piece)

    def anew(self, size: int) -> None:
        """Without what is there."""
        self.path.unlink(missing_ok=True)
        self.begin(size)

    def add(self, piece: bytes) -> None:
        """At the end."""
        with self.path.open("ab") as file:
            file.write(piece)
        self._count(piece)

    def end(self) -> None:
        """On disk, whatever becomes of the node."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())

    def is_as_promised(self) -> bool:
        """Whether its checksum is the promised one; true where none is."""
        kind, _, promised = self.promise.partition(":")
        return not promised or self._hashes[kind].hexdigest() == promised

    @property
    def sha256(self) -> str:
        return self._hashes["sha256"].hexdigest()

    def _count(self, piece: bytes) -> None:
        self.size += len(piece)
        for one in self._hashes.values():
            one.update(piece)


def _hashes(promise: str, size: int) -> dict[str, "hashlib._Hash"]:
    """sha256 is of every file, for the manifest."""
    found = {"sha256": hashlib.sha256()}
    match promise.partition(":")[0]:
        case "git":
            found["git"] = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        case "md5":
            found["md5"] = hashlib.md5(usedforsecurity=False)
    return found


async def download(opened: Opened, listing: Listing, folder: Folder, progress: Progress) -> tuple[Stored, ...]:
    """All files, in the order of the listing. Raises Failure; what has come stays."""
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(file: File) -> Stored:
        async with turns:
            return await _Fetch(opened, file, folder.part / file.path, progress).stored()

    tasks = [asyncio.create_task(one(file)) for file in listing.files]
    try:
        return tuple(await asyncio.gather(*tasks))
    except OSError as error:
        if not is_full(error):
            raise
        raise NoRoom(f"the claim is full, {progress.told} have come: somebody else wrote to it meanwhile") from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class _Fetch:
    opened: Opened
    file: File
    path: Path
    progress: Progress

    async def stored(self) -> Stored:
        """The file, whole and as promised. What came otherwise is thrown away and fetched once more, for it may have been
        changed on its way; a second time it is what the source has."""
        file, written = self.file, _Written(self.path, self.file.promise)
        await asyncio.to_thread(written.begin, file.size)
        self.progress.add(written.size, came=False)
        for is_last in (False, True):
            await self._whole(written)
            if written.is_as_promised():
                await asyncio.to_thread(written.end)
                return Stored(file.path, file.size, written.sha256)
            self.progress.add(-written.size)
            await asyncio.to_thread(written.anew, file.size)
            if not is_last:
                self.progress.say(f"{file.path} came with another checksum: it is fetched once more")
        await asyncio.to_thread(self.path.unlink, missing_ok=True)
        raise Corrupt(f"{file.path} came twice with another checksum than the source promises, {file.promise}")

    async def _whole(self, written: _Written) -> None:
        failed = 0
        while written.size < self.file.size:
            before = written.size
            try:
                await self._go_on(written)
                if written.size >= self.file.size:
                    return
                raise Interrupted(f"{self.file.path} ended at byte {written.size} of {self.file.size}")
            except Interrupted as error:
                failed = 1 if written.size > before else failed + 1
                if failed >= _TRIES:
                    raise Unavailable(f"{self.file.path}: {error}; tried {failed} times in a row") from error
                wait_s = max(error.wait_s, min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (failed - 1)))
                self.progress.say(f"{self.file.path} goes on in {wait_s:.0f} s: {error}")
                await asyncio.sleep(wait_s)

    async def _go_on(self, written: _Written) -> None:
        """Until the end, or an error. Pieces are gathered, so that the loop waits for few writes."""
        held = bytearray()

        async def write() -> None:
            piece = bytes(held)
            held.clear()
            await asyncio.to_thread(written.add, piece)
            self.progress.add(len(piece))

        async with aclosing(self.opened.read(self.file, written.size)) as pieces:
            try:
                async for at, piece in pieces:
                    if at != written.size + len(held):  # A server without ranges begins at the beginning.
                        self.progress.add(-written.size)
                        held.clear()
                        await asyncio.to_thread(written.anew, self.file.size)
                    if at + len(piece) > self.file.size:
                        self.progress.add(-written.size)
                        held.clear()
                        await asyncio.to_thread(written.anew, self.file.size)
                        raise Corrupt(
                            f"{self.file.path} has more than the {self.file.size} bytes that the source tells"
                        )
                    held += piece
                    if len(held) >= _WRITE_BYTES:
                        await write()
            finally:
                if held:
                    await write()
