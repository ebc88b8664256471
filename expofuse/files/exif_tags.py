"""Reads single tags of an EXIF block without trusting it."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PREFIX = b"Exif\0\0"
EXIF_DIRECTORY, INTEROPERABILITY_DIRECTORY = 0x8769, 0xA005

_MAX_ENTRIES = 1024
_MAX_VALUES = 64
_FORMS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 7: "B", 9: "i", 10: "ii"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}
_RATIONALS = (5, 10)

Value = bytes | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ExifTags:
    """Tags of the directories that describe the picture; thumbnails are left out.

    Attributes:
        image: The first directory: what a TIFF file says of its picture.
        capture: How it was taken.
        interoperability: Which rules the file keeps.
    """

    image: Mapping[int, Value]
    capture: Mapping[int, Value]
    interoperability: Mapping[int, Value]


NO_TAGS = ExifTags({}, {}, {})


def read_exif_tags(exif: bytes) -> ExifTags:
    """Read an EXIF block; what is damaged in it is left out.

    Args:
        exif: As stored in a file, with or without the prefix of a JPEG segment; untrusted.

    Returns:
        Texts as bytes without their end, numbers as tuples, ratios as their value.

    Example:
        >>> block = bytes.fromhex("4d4d002a00000008" "0001" "011200030000000100060000" "00000000")
        >>> dict(read_exif_tags(block).image)
        {274: (6.0,)}
    """
    tiff = exif.removeprefix(PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return NO_TAGS
    image = _read_directory(tiff, order, struct.unpack_from(f"{order}I", tiff, 4)[0])
    capture = _follow(tiff, order, image.get(EXIF_DIRECTORY))
    return ExifTags(image, capture, _follow(tiff, order, capture.get(INTEROPERABILITY_DIRECTORY)))


def _follow(tiff: bytes, order: str, pointer: Value | None) -> dict[int, Value]:
    if not isinstance(pointer, tuple) or len(pointer) != 1:
        return {}
    return _read_directory(tiff, order, int(pointer[0]))


def _read_directory(tiff: bytes, order: str, position: int) -> dict[int, Value]:
    return dict(_read_entries(tiff, order, position))


def _read_entries(tiff: bytes, order: str, position: int) -> Iterator[tuple[int, Value]]:
    if not 0 < position <= len(tiff) - 2:
        return
    (count,) = struct.unpack_from(f"{order}H", tiff, position)
    for entry in range(min(count, _MAX_ENTRIES)):
        at = position + 2 + 12 * entry
        if at + 12 > len(tiff):
            return
        tag, kind, length = struct.unpack_from(f"{order}HHI", tiff, at)
        if kind not in _FORMS or not 1 <= length <= (len(tiff) if kind == 2 else _MAX_VALUES):
            continue
        size = _SIZES[kind] * length
        at += 8
        if size > 4:
            (at,) = struct.unpack_from(f"{order}I", tiff, at)
        if at + size <= len(tiff):
            yield tag, _unpack(tiff, order, kind, length, at)


def _unpack(tiff: bytes, order: str, kind: int, length: int, at: int) -> Value:
    if kind == 2:
        return tiff[at : at + length].split(b"\0", 1)[0]
    numbers = struct.unpack_from(f"{order}{_FORMS[kind] * length}", tiff, at)
    if kind not in _RATIONALS:
        return tuple(map(float, numbers))
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return tuple(above / below if below else 0.0 for above, below in pairs)
