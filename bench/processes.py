"""Looks at processes from outside: their core time and the memory that they hold together.

Memory is the proportional set size (PSS) where the system lets it be read: a page that several
processes share, as the blocks of the service, counts once. Elsewhere it is the resident set.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from bench.timing import Cost

MIB = 2**20
SAMPLE_S = 0.025

ROLES = {
    "service.codec.child": "codec process",
    "service.device.child": "device worker",
    "resource_tracker": "resource tracker",
    "service serve": "event loop",
}

MemoryKind = Literal["pss", "rss"]


@dataclass(frozen=True, slots=True)
class Memory:
    """What processes hold.

    Attributes:
        kind: How it was counted; `rss` if one of them could not be read as `pss`.
        mib: Their sum.
    """

    kind: MemoryKind
    mib: float

    def describe(self) -> dict[str, object]:
        """As a record holds it."""
        return {"kind": self.kind, "mib": round(self.mib, 1)}


NO_MEMORY = Memory("pss", 0.0)


@dataclass(slots=True)
class Peak:
    """The most that processes held; filled in at the end of `watch_memory`."""

    memory: Memory = NO_MEMORY


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command cost that has ended.

    Attributes:
        cost: From its start to its end, of it and of all children that it waited for.
        peak_mib: Most that one process of them had resident.
    """

    cost: Cost
    peak_mib: float


def list_family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parent = psutil.Process(pid)
    return [pid, *(child.pid for child in parent.children(recursive=True))]


def read_core_time(pid: int) -> float:
    """Core seconds that a process has used, of all its threads, to the nanosecond.

    The clock of another process is that of `clock_getcpuclockid`; its number on Linux is made of
    the process's (`include/linux/posix-timers_types.h`: the complement, then `CPUCLOCK_SCHED`).
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0  # It has ended.


def read_family_core_time(pid: int) -> float:
    """Core seconds of a process and its descendants that are alive."""
    return sum(read_core_time(one) for one in list_family(pid))


def read_memory(pids: Sequence[int]) -> Memory:
    """What processes hold together; one that has ended holds nothing."""
    found = [_read_one(pid) for pid in pids]
    if all(one.kind == "pss" for one in found):
        return Memory("pss", sum(one.mib for one in found))
    return Memory("rss", sum(_read_resident(pid) for pid in pids))


def read_memory_by_role(pid: int) -> dict[str, object]:
    """What every process of the service holds, by role and number."""
    found: dict[str, object] = {}
    for one in list_family(pid):
        role = name_role(one)
        number = sum(name.startswith(role) for name in found) + 1
        found[f"{role} {number}"] = round(_read_one(one).mib, 1)
    return found


def name_role(pid: int) -> str:
    """What a process of the service is, from its command line."""
    command = " ".join(psutil.Process(pid).cmdline())
    return next((role for mark, role in ROLES.items() if mark in command), "other")


@contextmanager
def watch_memory(pid: int) -> Iterator[Peak]:
    """Look at a family's memory every few milliseconds within the block.

    It costs core time itself: nothing is to be timed meanwhile.
    """
    peak, is_over = Peak(), threading.Event()
    pids = list_family(pid)

    def look() -> None:
        while True:
            memory = read_memory(pids)
            if memory.mib > peak.memory.mib:
                peak.memory = memory
            if is_over.wait(SAMPLE_S):
                return

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


def reset_own_peak() -> None:
    """Let the peak of this process begin anew; see proc(5), `clear_refs`."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def read_own_mib(field: Literal["VmRSS", "VmHWM"]) -> float:
    """A memory figure of this process: what is resident, or the most that was."""
    return _read_status("self", field)


def run_command(command: Sequence[str], *, cwd: Path, timeout_s: float) -> Ended:
    """Run a command to its end.

    Raises:
        subprocess.CalledProcessError: It failed, or took too long; `stderr` ends with the reason.
    """
    # From a small process: a child begins with the peak of the one that it was forked from.
    timed = [sys.executable, "-c", _TIMER, str(timeout_s), *command]
    ended = subprocess.run(
        timed, cwd=cwd, capture_output=True, text=True, errors="replace", check=True
    )
    wall_s, cpu_s, peak_mib = (float(word) for word in ended.stdout.split()[-3:])
    return Ended(Cost(wall_s, cpu_s), peak_mib)


_TIMER = """
import resource, subprocess, sys, time
begin = time.perf_counter()
ended = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, timeout=float(sys.argv[1]))
wall = time.perf_counter() - begin
if ended.returncode:
    sys.exit(f"{sys.argv[2]} ended with status {ended.returncode}")
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def _read_one(pid: int) -> Memory:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return NO_MEMORY
    except OSError:
        return Memory("rss", _read_resident(pid))
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return Memory("pss", int(found.group(1)) / 1024 if found else 0.0)


def _read_resident(pid: int) -> float:
    try:
        return _read_status(str(pid), "VmRSS")
    except (OSError, StopIteration):
        return 0.0


def _read_status(process: str, field: str) -> float:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) / 1024
