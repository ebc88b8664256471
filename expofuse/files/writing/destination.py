"""Writes a file whole or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def open_destination(path: str | os.PathLike[str], *, new_mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its place when all of it is written.

    Until then it lies beside its place under another name; where the block raises it is removed,
    and what was there before is still there. A file that was there keeps its mode, and its owner
    where root writes. A pipe or a device is written to as it is.

    Args:
        path: Where the file goes; a link is followed.
        new_mode: Of a file that was not there, before the process's mask takes from it.

    Raises:
        OSError: It cannot be written.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        with place.open("wb") as file:
            yield file
        return
    unfinished = place.with_name(f".{secrets.token_hex(8)}.part")
    try:
        opened = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, new_mode)
        with os.fdopen(opened, "wb") as file:
            if place.exists():
                _make_alike(opened, place.stat())
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(place)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _make_alike(opened: int, before: os.stat_result) -> None:
    os.fchmod(opened, stat.S_IMODE(before.st_mode))
    if os.geteuid() == 0:
        os.fchown(opened, before.st_uid, before.st_gid)


@contextmanager
def open_sink(destination: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """What a picture is written to: a path, see `open_destination`, or a file that is open.

    Raises:
        OSError: It cannot be written.
    """
    if isinstance(destination, str | os.PathLike):
        with open_destination(destination) as file:
            yield file
    else:
        yield destination
