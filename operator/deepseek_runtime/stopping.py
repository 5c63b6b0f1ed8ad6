"""SIGTERM before a program is ready for it: kept until it is.

Python's start and a program's imports take from 40 ms to seconds. Until then SIGTERM ends a process without a word, and
process 1 of a container, which has no default for it, never hears of it and is killed when its grace period is over.
A blocked signal waits, for process 1 as well.
"""

import ctypes
import signal
import sys
from collections.abc import Callable

STOPS = (signal.SIGTERM, signal.SIGINT)


def hold_while_starting() -> None:
    """To be called by a package that is run with `-m`, before its other imports; does nothing when it is imported."""
    if sys.argv[:1] == ["-m"]:  # until the program is found, see the documentation of sys.argv
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def release() -> None:
    """Delivers what has come meanwhile. To be called once there are handlers, before there are threads and children."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def die_with_parent() -> Callable[[], None]:
    """What a child calls before its program: it never outlives its parent, which outside of a container nobody else ends."""
    libc, pr_set_pdeathsig = ctypes.CDLL(None), 1

    def ask_kernel() -> None:
        libc.prctl(pr_set_pdeathsig, signal.SIGKILL)

    return ask_kernel
