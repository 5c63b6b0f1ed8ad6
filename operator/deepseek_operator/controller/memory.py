"""How the C library's allocator treats what is freed."""

import ctypes
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
