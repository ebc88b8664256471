"""Runs a service within bounds of its own that can be drawn tighter: mounts, memory, processes.

Mounts are private to the service's processes (`unshare --mount`), and bounds are those of a control
group of their own, so that nothing else on the machine notices. Both need root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CLOCK_SOURCE = Path(__file__).with_name("clock.c")
MIB = 2**20
REMOVE_TRIES = 50


class CannotConfineError(Exception):
    """This machine does not let us; the message says why."""


def mount_command(path: str, size_mib: int) -> list[str]:
    """A command that runs another one with a small file system of its own at a path.

    Raises:
        CannotConfineError: It is not allowed here.
    """
    script = f'mount -t tmpfs -o size={size_mib}m none {path} && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None or _fails([*command, "true"]):
        raise CannotConfineError("a mount of its own needs root and `unshare`")
    return command


def _fails(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


def fill(pid: int, folder: str) -> Path:
    """Fill the file system that a process sees at a folder; the filler, to be removed.

    Args:
        pid: In the mount namespace.
        folder: As it sees it.
    """
    filler = Path(f"/proc/{pid}/root{folder}/filler")
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MIB))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
    return filler


class ControlGroup:
    """A control group with one bound, version 1 or 2.

    Args:
        folder: Of the group.
        bound: File of the bound.
    """

    def __init__(self, folder: Path, bound: str) -> None:
        self._folder = folder
        self._bound = folder / bound
        self._unbounded = self._bound.read_text(encoding="ascii").strip()

    @property
    def command(self) -> list[str]:
        """A command that runs another one within the group."""
        script = f'echo $$ > {self._folder}/cgroup.procs && exec "$@"'
        return ["sh", "-c", script, "sh"]

    def tighten(self, room: int) -> None:
        """Bound the group to what it holds now and so much more."""
        self._bound.write_text(str(self._read_usage() + room), encoding="ascii")

    def loosen(self) -> None:
        """Let the group use what it wants."""
        value = "-1" if self._unbounded.isdigit() else self._unbounded
        self._bound.write_text(value, encoding="ascii")

    def _read_usage(self) -> int:
        """Processes, or bytes that the kernel cannot take back: cached files are none."""
        current = self._folder / "pids.current"
        if current.exists():
            return int(current.read_text(encoding="ascii"))
        lines = (self._folder / "memory.stat").read_text(encoding="ascii").splitlines()
        found = {name: int(value) for name, value in (line.split() for line in lines)}
        return found.get("anon", found.get("total_rss", 0)) + found.get(
            "total_shmem", found.get("shmem", 0)
        )


BOUNDS = {
    # controller: files of the bound in version 1 and in version 2
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "pids": ("pids.max", "pids.max"),
}


@contextmanager
def control_group(controller: str) -> Iterator[ControlGroup]:
    """A new group of a controller, `memory` or `pids`, as long as the block lasts.

    Raises:
        CannotConfineError: It is not allowed here.
    """
    is_first = (CGROUPS / controller).is_dir()
    folder = (CGROUPS / controller if is_first else CGROUPS) / f"expofuse-bench-{os.getpid()}"
    try:
        folder.mkdir()
        group = ControlGroup(folder, BOUNDS[controller][0 if is_first else 1])
    except OSError as cause:
        if folder.is_dir():
            folder.rmdir()
        raise CannotConfineError(f"a control group for {controller} cannot be made here") from cause
    try:
        yield group
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a group once its processes have ended."""
    for _ in range(REMOVE_TRIES):
        try:
            folder.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return


@contextmanager
def jumping_clock(folder: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """A library that shifts the time of day of whoever loads it, by what a file says.

    Args:
        folder: For the library and the file.

    Yields:
        Variables of the environment that load it, and the file: seconds, as text.

    Raises:
        CannotConfineError: There is no compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise CannotConfineError("a clock that jumps needs a C compiler")
    library, offset = folder / f"clock{sysconfig.get_config_var('SHLIB_SUFFIX')}", folder / "offset"
    build = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(CLOCK_SOURCE), "-ldl"]
    if _fails(build):
        raise CannotConfineError("the clock that jumps could not be compiled")
    offset.write_text("0", encoding="ascii")
    yield {"LD_PRELOAD": str(library), "BENCH_CLOCK_OFFSET": str(offset)}, offset
