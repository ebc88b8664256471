"""Reads directories of tags, of TIFF and of makers' notes, by Pillow."""

import io
import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, cast

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from expofuse.files.pillow_errors import ERRORS_OF_PILLOW

Tags = Mapping[int, object]

_HEADS = {b"II": b"II*\0", b"MM": b"MM\0*"}


@dataclass(frozen=True, slots=True)
class TiffBlock:
    """A TIFF structure: an EXIF block, a raw file, or a maker's note that is one by itself.

    Attributes:
        data: From its byte order mark on; what a position in it counts from.
        order: `II` or `MM`.
    """

    data: bytes | mmap.mmap
    order: bytes

    @classmethod
    def open(cls, data: bytes | mmap.mmap) -> "TiffBlock | None":
        """A block that begins with a byte order mark; None for anything else.

        What follows the mark is not looked at: Olympus and Panasonic write other letters into raw
        files than TIFF does.
        """
        order = bytes(data[:2])
        return cls(data, order) if order in _HEADS and len(data) >= 8 else None

    @property
    def first(self) -> int:
        """Position of the first directory."""
        (position,) = struct.unpack_from("<I" if self.order == b"II" else ">I", self.data, 4)
        return int(position)

    def read(self, position: int) -> Tags:
        """The tags of the directory at a position; none where there is no sound one."""
        if not 0 < position < len(self.data):
            return {}
        directory = ImageFileDirectory_v2(_HEADS[self.order] + bytes(4))
        stream = io.BytesIO(self.data) if isinstance(self.data, bytes) else self.data
        stream.seek(position)
        try:
            directory.load(cast("IO[bytes]", stream))
        except ERRORS_OF_PILLOW:
            return {}
        return _Directory(directory)


class _Directory(Mapping[int, object]):
    """Values that are decoded when they are asked for; what cannot be decoded is not there."""

    def __init__(self, directory: ImageFileDirectory_v2) -> None:
        self._directory = directory

    def __getitem__(self, tag: int) -> object:
        try:
            return self._directory[tag]
        except ERRORS_OF_PILLOW as cause:
            raise KeyError(tag) from cause

    def __iter__(self) -> Iterator[int]:
        return iter(self._directory)

    def __len__(self) -> int:
        return len(self._directory)


def read_number(tags: Tags, tag: int, index: int = 0) -> float | None:
    """A finite number of a tag, by its index where there are several; else None."""
    value = tags.get(tag)
    if isinstance(value, tuple):
        value = value[index] if index < len(value) else None
    elif index:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (ArithmeticError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def read_text(tags: Tags, tag: int) -> str:
    """The text of a tag without padding; empty where it is not there."""
    value = tags.get(tag)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value.partition("\0")[0].strip() if isinstance(value, str) else ""
