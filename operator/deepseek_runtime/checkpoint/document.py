"""Small JSON files of a volume, read without trusting what lies there.

A volume is writable by more programs than ours. A pipe in a manifest's place would be waited for without end, a link
would lead out of the volume, a document nested 100,000 deep ends a parser: each is `Unreadable`, with why.
"""

import errno
import json
import os
import stat
from pathlib import Path

LIMIT_BYTES = 64 << 20
"""A manifest has about 200 bytes per file: room for the files of some hundred thousand ranks."""


class Unreadable(ValueError):
    """There is something, and it is not what was written there; the message says what."""


def load(path: Path) -> object:
    """The JSON value of a regular file. Raises FileNotFoundError, Unreadable, and OSError when the volume is ill."""
    try:
        return json.loads(_text(path))
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(f"it is no JSON: {error}") from None


def _text(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, error.filename) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unreadable("it is a link") from None
        if error.errno in (errno.ENXIO, errno.EACCES, errno.EPERM):
            raise Unreadable(os.strerror(error.errno)) from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise Unreadable("it is no regular file")
    with os.fdopen(descriptor, "rb") as stream:
        if found.st_size > LIMIT_BYTES:
            raise Unreadable(f"it has {found.st_size} bytes, more than {LIMIT_BYTES}")
        return stream.read().decode()
