"""The processes of a service: who they are, and what they hold together."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from pathlib import Path

import psutil

from bench.processes import list_family, name_role, read_memory

CODEC, WORKER, LOOP = "codec process", "device worker", "event loop"


def find(pid: int, role: str) -> list[int]:
    """Living processes of a role, in the order of their start."""
    found = []
    for one in list_family(pid):
        try:
            if name_role(one) == role and psutil.Process(one).status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except psutil.NoSuchProcess:
            continue
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def weigh(pid: int) -> dict[str, object]:
    """Processes by role, their memory together, and their open files."""
    pids = list_family(pid)
    roles: Counter[str] = Counter()
    open_files = 0
    for one in pids:
        try:
            roles[name_role(one)] += 1
            open_files += sum(1 for _ in Path(f"/proc/{one}/fd").iterdir())
        except (psutil.NoSuchProcess, OSError):
            continue
    memory = read_memory(pids)
    return {
        "processes": dict(roles),
        "memory_mib": round(memory.mib, 1),
        "memory_kind": memory.kind,
        "open_files": open_files,
    }
