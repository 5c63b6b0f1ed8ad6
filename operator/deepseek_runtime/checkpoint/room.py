"""Whether a volume is full, and what to tell a person who must make room."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


class Full(Exception):
    """There is no room on the checkpoint volume. The message says how much there is, and what was to be written."""


def is_full(error: BaseException | None) -> bool:
    """Whether this error, or one that it came from or carries, says that no room is left."""
    seen: list[BaseException] = []
    rest = [error]
    while rest:
        one = rest.pop()
        if one is None or any(one is known for known in seen):
            continue
        seen.append(one)
        if isinstance(one, OSError) and one.errno in _FULL:
            return True
        # torch's CheckpointException carries what the ranks raised as pairs of an error and its traceback.
        failures = getattr(one, "failures", None)
        carried = failures.values() if isinstance(failures, dict) else ()
        rest += [pair[0] for pair in carried if isinstance(pair, tuple) and isinstance(pair[0], BaseException)]
        rest += [one.__cause__, one.__context__]
    return False


@contextmanager
def writing(root: Path, what: str, cause: Callable[[], BaseException | None] = lambda: None) -> Iterator[None]:
    """Raises Full for whatever is raised inside because the volume that holds `root` has no room for `what`.

    `cause` names an error that a library in between may have swallowed; torch's CheckpointException is no Exception.
    """
    try:
        yield
    except BaseException as error:
        if is_full(error) or is_full(cause()):
            raise Full(explanation(root, what)) from error
        raise


def explanation(root: Path, what: str) -> str:
    """A sentence for people: the volume that holds `root` has no room for `what`."""
    return f"the checkpoint volume is full: no room for {what}{_state(root)}"


def _state(root: Path) -> str:
    try:
        place = next((one for one in (root, *root.parents) if one.exists()), Path("/"))
        found = os.statvfs(place)
    except OSError:
        return ""
    size = found.f_frsize
    files = "; no file can be added" if found.f_files and not found.f_favail else ""
    return f" ({in_words(found.f_bavail * size)} of {in_words(found.f_blocks * size)} are free{files})"


def in_words(size: float) -> str:
    """A number of bytes as people read it, three digits."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"
