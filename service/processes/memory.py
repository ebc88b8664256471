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
    return sum(measure_private_bytes(pid) or 0 for pid in pids)


def measure_private_bytes(pid: int | None) -> int | None:
    """The same of one process; None if it is gone, or never was."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return None
    return (int(resident) - int(shared)) * PAGE_BYTES
