"""Tells a system that has nothing left from a fault of ours, wherever the error comes from."""

import errno

from service.errors import ScarcityError

_USED_UP = {
    errno.EMFILE: "open files",
    errno.ENFILE: "open files",
    errno.ENOMEM: "memory",
    errno.ENOBUFS: "memory",
    errno.ENOSPC: "room on a disk",
    errno.EDQUOT: "room on a disk",
    errno.EAGAIN: "processes or memory",
}


def find_scarcity(error: BaseException) -> ScarcityError | None:
    """The error to tell a client where the system is at its end; None where it is not.

    Args:
        error: That nobody expected.

    Example:
        >>> find_scarcity(OSError(errno.EMFILE, "too many")).message
        'expected that the system has open files left, it has none'
        >>> find_scarcity(ValueError("ours")) is None
        True
    """
    if isinstance(error, MemoryError):
        lacking = "memory"
    elif isinstance(error, OSError) and error.errno in _USED_UP:
        lacking = _USED_UP[error.errno]
    else:
        return None
    return ScarcityError(f"expected that the system has {lacking} left, it has none")
