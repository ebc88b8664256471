"""Reads what control groups of either version let this process have of memory."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ANY_LIMIT = 1 << 62
"""Version 1 writes about 2**63 where there is no limit."""

_NOT_GIVEN_BACK = {
    # version: what of `memory.stat` the kernel cannot take back from processes that live
    1: ("total_rss", "total_shmem"),
    2: ("anon", "shmem", "kernel_stack", "pagetables", "slab_unreclaimable"),
}


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A control group that bounds memory.

    Attributes:
        folder: Of the group.
        version: Of control groups, 1 or 2.
        limit_bytes: What all of its processes may have together.
    """

    folder: Path
    version: int
    limit_bytes: int

    def find_used_bytes(self) -> int | None:
        """What its processes have and cached files are not; None where it is not told."""
        lines = (line.split() for line in _read_lines(self.folder / "memory.stat"))
        told = {line[0]: line[1] for line in lines if len(line) == 2}
        found = [told[name] for name in _NOT_GIVEN_BACK[self.version] if name in told]
        if not found or not all(one.isdecimal() for one in found):
            return None
        return sum(map(int, found))


def find_memory_bytes(root: Path = Path("/")) -> int:
    """Memory that this process may use: the machine's, or what its control groups leave of it.

    Args:
        root: Of the file system that describes the process and its groups.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *(group.limit_bytes for group in list_memory_groups(root))])


def find_free_bytes(root: Path = Path("/")) -> int | None:
    """Memory that this process, and all others of its groups, may still take.

    A machine's own memory is not looked at: beyond it there may be swap.

    Args:
        root: See `find_memory_bytes`.

    Returns:
        At least 0; None where no group bounds it, or none tells what is used.
    """
    free = [
        group.limit_bytes - used
        for group in list_memory_groups(root)
        if (used := group.find_used_bytes()) is not None
    ]
    return max(0, min(free)) if free else None


def list_memory_groups(root: Path = Path("/")) -> Iterator[MemoryGroup]:
    """The groups that bound memory: this process's own, and all above, as each of them may.

    In a container the group's own path may not be visible; its root is then that of the container.

    Args:
        root: See `find_memory_bytes`.
    """
    groups = root / "sys/fs/cgroup"
    for line in _read_lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if not controllers:
            base, version, name = groups, 2, "memory.max"
        elif "memory" in controllers.split(","):
            base, version, name = groups / "memory", 1, "memory.limit_in_bytes"
        else:
            continue
        relative = Path(group.lstrip("/"))
        for one in (relative, *relative.parents):
            if (limit := _read_limit(base / one / name)) is not None:
                yield MemoryGroup(base / one, version, limit)


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _read_limit(path: Path) -> int | None:
    """A limit in bytes; None where the file is not there or says that there is none."""
    lines = _read_lines(path)
    if not lines or not lines[0].isdecimal() or int(lines[0]) >= _ANY_LIMIT:
        return None
    return int(lines[0])
