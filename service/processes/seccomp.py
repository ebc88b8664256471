"""Takes system calls from this process for good: a seccomp filter, made without a library.

`pyseccomp`, the only binding on PyPI, was last released in 2021 and needs a `libseccomp.so` that
slim images lack; the filter that is wanted here is a list of numbers and six rules.
"""

import ctypes
import errno
import os
import platform
import struct

from service.processes.syscalls import (
    AUDIT_ARCHITECTURES,
    JUDGED,
    LAST_KNOWN,
    SYSCALLS,
    call_system,
    numbers_here,
)

_LOAD, _EQUAL, _ABOVE, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
"""BPF: load a word, jump if equal, if above, if any bit is set; mask the word; return."""

_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
"""Places in `struct seccomp_data`; both machines are little-endian."""

_ALLOW, _KILL_PROCESS, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSE, _UNKNOWN = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS

_SET_MODE_FILTER, _ALL_THREADS = 1, 1

_CLONE_THREAD = 0x10000
_O_TMPFILE = 0o20000000
_MAKES_OR_EMPTIES = os.O_CREAT | os.O_TRUNC | _O_TMPFILE
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
"""By which a process types into the terminal that it was started from."""

_Instruction = tuple[int, int, int, int]
"""Operation, instructions skipped if true, if false, operand."""


def refuse_system_calls() -> None:
    """Refuse this process, all its threads, what `build_filter` lists, until it ends.

    Needs no privileges, but `PR_SET_NO_NEW_PRIVS`.

    Raises:
        OSError: The kernel has no seccomp, or does not let this process use it.
    """
    program = build_filter(os.getpid())
    code = b"".join(struct.pack("<HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    if call_system("seccomp", _SET_MODE_FILTER, _ALL_THREADS, head):
        raise OSError(errno.ESRCH, "a thread does not follow")


def build_filter(pid: int) -> list[_Instruction]:
    """The filter: everything is allowed but the calls of `syscalls`.

    Args:
        pid: Of this process, which may send itself signals: that is how it aborts.
    """
    judged = numbers_here(JUDGED)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, AUDIT_ARCHITECTURES[platform.machine()]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_ABOVE, 0, 1, LAST_KNOWN),
        (_RETURN, 0, 0, _UNKNOWN),
    ]
    for number in numbers_here(SYSCALLS).values():
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    for name, rule in _rules(pid).items():
        if name in judged:
            program += [(_EQUAL, 0, len(rule), judged[name]), *rule]
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _rules(pid: int) -> dict[str, list[_Instruction]]:
    """What follows the number of a judged call; each rule ends with a return."""
    to_itself = [_load(0), (_EQUAL, 1, 0, pid), *_refuse_or_allow()]
    return {
        "open": _rule_of_open(_load(1)),
        "openat": _rule_of_open(_load(2)),
        "openat2": [(_RETURN, 0, 0, _UNKNOWN)],  # Its flags lie where a filter cannot look.
        "clone": [_load(0), (_ANY_BIT, 1, 0, _CLONE_THREAD), *_refuse_or_allow()],
        "clone3": [(_RETURN, 0, 0, _UNKNOWN)],  # The same.
        "kill": to_itself,
        "tgkill": to_itself,
        # A new limit is a pointer: none is allowed.
        "prlimit64": [
            _load(2), (_EQUAL, 0, 2, 0),
            _load(2, high=True), (_EQUAL, 1, 0, 0),
            *_refuse_or_allow(),
        ],
        "ioctl": [
            _load(1), (_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX), *_refuse_or_allow(),
        ],
    }  # fmt: skip


def _rule_of_open(load_flags: _Instruction) -> list[_Instruction]:
    """No file is made or emptied, and none opened for writing alone: blocks are also read."""
    return [
        load_flags,
        (_ANY_BIT, 2, 0, _MAKES_OR_EMPTIES),
        (_AND, 0, 0, os.O_ACCMODE),
        (_EQUAL, 0, 1, os.O_WRONLY),
        *_refuse_or_allow(),
    ]


def _load(argument: int, *, high: bool = False) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument + 4 * high)


def _refuse_or_allow() -> list[_Instruction]:
    return [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
