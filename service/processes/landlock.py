"""Takes files from this process for good, all but those that it names: Landlock, by ctypes.

No binding of it on PyPI has a release that is not a draft or by a single author within a year.
"""

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from service.processes.syscalls import call_system

_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""Version of Landlock from which on it knows so many rights to files, see `linux/landlock.h`."""

_WRITE_FILE, _READ_FILE, _READ_DIR, _CONTROL_DEVICE = 1 << 1, 1 << 2, 1 << 3, 1 << 15

_BIND_AND_CONNECT, _NET_FROM = 0b11, 4
_UNIX_SOCKETS_AND_SIGNALS, _SCOPES_FROM = 0b11, 6

_ASK_VERSION, _PATH_BENEATH = 1, 1


def find_version() -> int:
    """The version of Landlock that the kernel has.

    Raises:
        OSError: It has none, or it is turned off.
    """
    return call_system("landlock_create_ruleset", None, 0, _ASK_VERSION)


def allow_only(
    readable: Iterable[Path], writable: Iterable[Path], devices: Iterable[Path] = ()
) -> int:
    """Restrict this thread and those that it starts; to be called before there is another one.

    Open files stay open. TCP connections, and from version 6 on signals to other processes, are
    refused too.

    Args:
        readable: Files, and folders below which everything may be read; absent ones are left out.
        writable: Folders in which existing files may be opened, by whoever knows their names: the
            folders are not listed.
        devices: Device nodes, and folders of such, that may be opened and controlled (`ioctl`).

    Returns:
        The version of Landlock.

    Raises:
        OSError: The kernel has none, or refuses.
    """
    version = find_version()
    rights = max(count for since, count in _FILE_RIGHTS.items() if version >= since)
    attributes = [(1 << rights) - 1]
    if version >= _NET_FROM:
        attributes.append(_BIND_AND_CONNECT)
    if version >= _SCOPES_FROM:
        attributes.append(_UNIX_SOCKETS_AND_SIGNALS)
    described = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = call_system("landlock_create_ruleset", described, len(described), 0)
    try:
        for path in readable:
            with suppress(FileNotFoundError, PermissionError):
                _allow(ruleset, path, _READ_FILE | (_READ_DIR if path.is_dir() else 0))
        for path in writable:
            _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
        # Up to version 4 it knows no right to control: everybody has it.
        control = _READ_FILE | _WRITE_FILE | _CONTROL_DEVICE & attributes[0]
        for path in devices:
            with suppress(FileNotFoundError, PermissionError):
                _allow(ruleset, path, control | (_READ_DIR if path.is_dir() else 0))
        call_system("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: Path, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        call_system(
            "landlock_add_rule", ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0
        )
    finally:
        os.close(place)
