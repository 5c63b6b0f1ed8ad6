"""Small JSON files of a volume, read without trusting what lies there.

A volume is writable by more programs than ours. A pipe in a manifest's place would be waited for without end, a link
would lead out of the volume, a document nested 100,000 deep ends a parser: each is `Unreadable`, with why.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from deepseek_runtime.documents import parsed

LIMIT_BYTES = 64 << 20
"""A manifest has about 200 bytes per file: room for the files of some hundred thousand ranks."""


class Unreadable(ValueError):
    """There is something, and it is not what was written there; the message says what."""


def load(path: Path) -> object:
    """The JSON value of a regular file. Raises FileNotFoundError, Unreadable, and OSError when the volume is ill."""
    try:
        return parsed(read(path).decode())
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(f"it is no JSON: {error}") from None


def read(path: Path, limit: int = LIMIT_BYTES) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises what `load` raises."""
    with opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limit:
            raise Unreadable(f"it has {size} bytes, more than {limit}")
        return stream.read(limit)  # it may grow meanwhile


def opened(path: Path) -> BinaryIO:
    """A regular file for reading, without waiting for anybody and without following a link. Raises what `load` raises."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, error.filename) from None
    except ValueError as error:  # NUL, or half of a surrogate pair
        raise Unreadable(f"no file can have that name: {error}") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unreadable("it is a link") from None
        if error.errno in (errno.ENXIO, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG):
            raise Unreadable(os.strerror(error.errno)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("it is no regular file")
    return os.fdopen(descriptor, "rb")
