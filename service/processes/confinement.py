"""Gives up what a process that reads untrusted bytes does not need; without privileges.

A decoder that an image has taken over finds no network, no new file, no other program or process,
and of the files that exist only those that it was started from. What is in force depends on the
kernel and on the container; each part stands by itself.

Two steps, since one part holds for all threads and the other only for those that come after it:
`give_up_files` before the process starts a thread, `give_up_calls` when it has read everything
that it needs and before it is sent the first untrusted byte.

A process that decodes on a GPU keeps the nodes of NVIDIA's driver: whoever takes it over may try
that driver too.
"""

import ctypes
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Literal

from service.processes.landlock import allow_only
from service.processes.seccomp import refuse_system_calls
from service.processes.shared_memory import MOUNT
from service.processes.syscalls import C_LIBRARY, is_known_machine

SandboxMode = Literal["auto", "off", "require"]

Bar = Literal["no-new-privileges", "no-capabilities", "landlock", "seccomp"]
"""What keeps a process in."""

ALL_BARS: tuple[Bar, ...] = ("no-new-privileges", "no-capabilities", "landlock", "seccomp")

MAX_OPEN_FILES = 512
"""A block that stays mapped has an open file, see `known_blocks`."""

_TRIAL_TIMEOUT_S = 60.0

_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
_CAP_DAC_READ_SEARCH = 1 << 2
"""Root may read the files of others by it, those of the installation among them."""

_READABLE = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
)

_DEVICES_OF_CUDA = "nvidia*"
"""Below `/dev`: those of the GPUs, of the driver, of its unified memory, of its capabilities."""

_READABLE_FOR_CUDA = (
    "/etc/nvidia",
    "/proc/devices",
    "/proc/driver/nvidia",
    "/proc/modules",
    "/proc/sys/vm",
    "/sys/bus/pci",
    "/sys/class",
    "/sys/devices",
    "/sys/module",
)
"""Whence the driver's libraries learn of the machine when a context is made."""


def give_up_files(*, keeps_cuda: bool = False) -> list[Bar]:
    """Keep the right to read what the process is made of, and to open shared blocks by name.

    Args:
        keeps_cuda: And that to use GPUs.

    Returns:
        What is in force.
    """
    in_force: list[Bar] = []
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most_files == resource.RLIM_INFINITY or most_files > MAX_OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    if C_LIBRARY.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        in_force.append("no-new-privileges")
    if _drop_capabilities():
        in_force.append("no-capabilities")
    if is_known_machine():
        with suppress(OSError):
            devices = sorted(Path("/dev").glob(_DEVICES_OF_CUDA)) if keeps_cuda else []
            more = map(Path, _READABLE_FOR_CUDA if keeps_cuda else ())
            allow_only(chain(_list_readable(), more), [MOUNT], devices)
            in_force.append("landlock")
    return in_force


def give_up_calls() -> list[Bar]:
    """Have every thread of the process refused the system calls that it does not need.

    Returns:
        What is in force.
    """
    if is_known_machine():
        with suppress(OSError):
            refuse_system_calls()
            return ["seccomp"]
    return []


def _drop_capabilities() -> bool:
    """Give up what root may do, all but reading; True too for a process that has nothing."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    held = ctypes.create_string_buffer(24)
    if C_LIBRARY.capget(header, held) != 0:
        return False
    _, permitted, *_ = struct.unpack("=6I", held.raw)
    kept = permitted & _CAP_DAC_READ_SEARCH
    return bool(C_LIBRARY.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)) == 0)


def _list_readable() -> Iterator[Path]:
    """Whence this process loads code; libraries are loaded when an image first needs them."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    for place in (*_READABLE, *sys.path, *prefixes, *libraries):
        if place and Path(place) != Path("/"):
            yield Path(place)


def find_bars() -> tuple[Bar, ...]:
    """What this system keeps a process in by, tried in a process of its own."""
    root = Path(__file__).resolve().parents[2]
    said = subprocess.run(
        [sys.executable, "-P", "-m", "service.processes.confinement"],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=_TRIAL_TIMEOUT_S,
        check=False,
    )
    words = said.stdout.split()
    return tuple(bar for bar in ALL_BARS if bar in words)


def main() -> None:
    """Confine this process and print what is in force."""
    sys.stdout.write(" ".join([*give_up_files(), *give_up_calls()]))


if __name__ == "__main__":
    main()
