"""Keeps memory that the C library has freed, for the next call, until the process is idle.

glibc gives memory back to the system as soon as some is free at the end of the heap, and each page
of the next call is then a page fault: a fifth of decoding, aligning and encoding a small pair.
"""

import ctypes
from contextlib import suppress

KEPT_BYTES = 64 << 20
"""Freed memory at the end of the heap that stays: enough for small pictures."""

MAX_BLOCK_BYTES = 32 << 20
"""Blocks up to here come from the heap, larger ones from the system; the most that glibc takes."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From `malloc.h`."""

_C_LIBRARY = ctypes.CDLL(None)


def keep_freed_memory() -> None:
    """Have this process keep what it frees; with another C library than glibc nothing changes."""
    with suppress(AttributeError):
        _C_LIBRARY.mallopt(_M_MMAP_THRESHOLD, MAX_BLOCK_BYTES)
        _C_LIBRARY.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back_freed_memory() -> None:
    """Give the system what is kept."""
    with suppress(AttributeError):
        _C_LIBRARY.malloc_trim(0)
