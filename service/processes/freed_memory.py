"""Decides when memory that the C library has freed goes back to the system.

A child process keeps it for the next call or job, until the process is idle; the event loop's
process for the next request, and gives it back every few seconds.

glibc gives memory back to the system as soon as some is free at the end of the heap, and each page
of the next call is then a page fault: a fifth of decoding, aligning and encoding a small pair, and
a sixth of fusing it.
"""

import asyncio
import ctypes
import time
from contextlib import suppress

KEPT_BYTES = 64 << 20
"""Freed memory at the end of the heap that stays: enough for small pictures."""

MAX_BLOCK_BYTES = 32 << 20
"""Blocks up to here come from the heap, larger ones from the system; the most that glibc takes."""

GIVE_BACK_EVERY_S = 20.0

QUIET_S = 5.0
"""Without work for so long, a child process that is pinged gives back what it keeps."""

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


class KeptMemory:
    """What a child process keeps from its last work for the next; it keeps from now on."""

    def __init__(self) -> None:
        keep_freed_memory()
        self._worked_at = time.monotonic()

    def note_work(self) -> None:
        """The process has worked just now."""
        self._worked_at = time.monotonic()

    def give_back_when_quiet(self) -> None:
        """Give the system what is kept where the process has had nothing to do for a while."""
        if time.monotonic() - self._worked_at > QUIET_S:
            give_back_freed_memory()


async def give_back_regularly() -> None:
    """Keep what is freed, and give it to the system again and again; runs until cancelled.

    For the event loop, which is never idle under load: large bodies leave holes between small
    objects that stay, and its memory would grow for hours. glibc by itself keeps as much once a
    large body has come (`M_MMAP_THRESHOLD` grows), and before it a tenth of the loop's work on a
    small request are page faults.
    """
    keep_freed_memory()
    while True:
        await asyncio.sleep(GIVE_BACK_EVERY_S)
        await asyncio.to_thread(give_back_freed_memory)
