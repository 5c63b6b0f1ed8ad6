"""Files and directories of a volume that several attempts may use at a time.

What is a link, or may not be looked into, is never followed and never deleted for; a name is taken away before what lies
below it, and given only to what is whole.
"""

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

GONE_SUFFIX = ".gone"
"""What is being deleted has it at the end of its name."""


def write_whole(path: Path, text: str) -> None:
    """Writes a small file so that a reader sees all of it or none, also after a power cut."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w") as stream:
        os.fchmod(stream.fileno(), 0o644)  # a server reads an export's manifest under another uid, whatever the umask
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.rename(path)
    sync(path.parent)


def remove(path: Path) -> None:
    """Takes the name away at once, so that nobody commits what is half deleted, then the files."""
    if not is_directory(path):
        path.unlink(missing_ok=True)
        return
    gone = path
    if not path.name.endswith(GONE_SUFFIX):
        gone = path.with_name(path.name + GONE_SUFFIX)
        shutil.rmtree(gone, ignore_errors=True)
        try:
            path.rename(gone)
        except FileNotFoundError:
            return
    shutil.rmtree(gone, ignore_errors=True)


def put_back(gone: Path, directory: Path) -> None:
    """Gives a directory the name again that was taken away."""
    with suppress(FileNotFoundError):  # the later attempt may have cleared it away
        gone.rename(directory)


def entries(directory: Path) -> list[Path]:
    """What a directory holds; nothing where it is none, or nobody may look into it."""
    try:
        return sorted(directory.iterdir()) if is_directory(directory) else []
    except PermissionError:
        return []


def is_directory(path: Path) -> bool:
    """A directory and no link to one: what a link names may lie anywhere."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False


def is_there(path: Path) -> bool:
    """Whether the name is taken. What can't be looked at counts as there: nothing is deleted for an error's sake."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return True
    return True


def bytes_below(folder: Path) -> int:
    """Size of all that lies there now: it grows while something is written."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:
                continue
    return total


def sync_files(directory: Path) -> None:
    """Puts files that a library wrote on the volume: after a power cut a manifest must not outlive them."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            sync(path)


def sync(path: Path) -> None:
    """A file, or the entries of a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
