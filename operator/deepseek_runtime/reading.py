"""Whose fault it is when something that the user gave can't be read: the user's, unless the machine failed.

Which exceptions a damaged file leads to depends on the library, its version and the damage; no list of them is ever
complete. So it is decided the other way round: whatever is raised under `reading` becomes Invalid (exit code 64,
never retried), also what Rust code panics with, and only what another try may cure stays what it is: a full or
failing disk, a server that is gone, memory that others use.
"""

import asyncio
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from deepseek_runtime.contract import Invalid

# Not about what is read: somebody wants this process, or this piece of it, to end.
CONTROL = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)
# What a disk, a network or a neighbour may do to a file that is in order.
MACHINE_ERRORS = frozenset(
    {
        *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR),
        *(errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.EREMOTEIO, errno.ENOTCONN, errno.ESHUTDOWN, errno.EPIPE),
        *(errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.EHOSTDOWN),
        *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EBUSY, errno.ETXTBSY),
    }
)
# Libraries in Rust tell of the kernel's answer in words, torch of the memory that it did not get.
_RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_ALLOCATION = re.compile(r"tried to allocate (\d+) bytes")
_WORDS = 600


@contextmanager
def reading(what: str, remedy: str) -> Iterator[None]:
    """Raises Invalid, "`what` can't be read: …; `remedy`", for anything raised inside that is not the machine's fault.

    `what` names the thing as its user knows it, with file and line; Invalid itself passes as it is.
    """
    try:
        yield
    except (Invalid, *CONTROL):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        if is_the_machines(error):
            raise
        raise Invalid(f"{what} can't be read: {words(error)}; {remedy}") from error


def is_the_machines(error: BaseException) -> bool:
    """Whether another try may succeed: this error or one that it came from is the machine's, not the file's."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if _is_a_failure_of_the_machine(one):
            return True
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return False


def words(error: BaseException) -> str:
    """What an error says, in one line of bounded length: some say nothing, or only a key."""
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case MemoryError():
            return "it asks for more memory than this machine has"
        case OSError(strerror=str(reason), filename=str() | bytes() as name):
            return f"{os.fsdecode(name)}: {reason}"
    text = " ".join(str(error).encode(errors="backslashreplace").decode().split())
    text = text if len(text) <= _WORDS else f"{text[:_WORDS]}…"
    return text if isinstance(error, OSError | ValueError) and text else f"{type(error).__name__} {text}".rstrip()


def _is_a_failure_of_the_machine(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        return True
    text = str(error)
    if any(int(number) in MACHINE_ERRORS for number in _RUST_OS_ERROR.findall(text)):
        return True
    # A MemoryError is no sign of a full machine: Linux lends what it doesn't have, and kills later. It refuses at
    # once only what exceeds the machine as a whole, which a damaged size in a file does.
    wanted = _ALLOCATION.search(text)
    return type(error).__name__ == "OutOfMemoryError" or (wanted is not None and int(wanted[1]) <= memory_bytes())


def memory_bytes() -> int:
    """What this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
