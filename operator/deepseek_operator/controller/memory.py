"""How the C library's allocator treats what is freed, and when the interpreter looks for garbage."""

import ctypes
import gc
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_BYTES = 128 * 1024
"""What glibc begins with for both."""


def give_freed_memory_back() -> None:
    """Keeps glibc from raising its thresholds; nothing where the C library is another one.

    Once a large piece was freed, glibc takes pieces up to that size from its heap and gives them back no more. A TLS
    connection has a quarter of a megabyte of buffers, of which requests like ours touch little: mapped each for itself they
    hold no more than was touched, and nothing once the connection is closed.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _BYTES)
        mallopt(_TRIM_THRESHOLD, _BYTES)


_YOUNGEST = 20_000
"""Containers that are made before those among them are looked for that only themselves refer to; 700 are usual. One answer of
the API server has hundreds, none of which is such a one."""


def look_for_garbage_seldom() -> None:
    """To be called once all is imported: none of it becomes garbage, and none of it is searched for any from then on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNGEST, *gc.get_threshold()[1:])
