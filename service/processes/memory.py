"""Reads how much memory processes have for themselves."""

import os
from collections.abc import Iterable
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def count_private_bytes(pids: Iterable[int]) -> int:
    """Resident memory of processes that they share with no other: no libraries, no shared blocks.

    `/proc/PID/statm` costs microseconds, whatever a process has mapped; `smaps_rollup`, which also
    tells apart what is shared by chance after a fork, milliseconds.

    Args:
        pids: Of the processes; one that is gone counts nothing.
    """
    return sum(_count_private_pages(pid) for pid in pids) * PAGE_BYTES


def _count_private_pages(pid: int) -> int:
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(resident) - int(shared)
