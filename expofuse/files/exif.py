"""Rebuilds the EXIF block of an exposure so that it is true of the picture.

How it was taken stays. What described the old pixels, their place in the old file, thumbnails and
makers' notes, whose inner offsets no longer hold, are left out. The new block is written from the
entries that could be read; nothing of the old one is copied as it stands.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from expofuse.package_version import package_version

PREFIX = b"Exif\0\0"
MAX_EXIF_BYTES = 65_000
"""A JPEG segment holds 65,533 bytes; the writer adds a few tags of its own."""

SRGB_COLOURS, OTHER_COLOURS = 1, 0xFFFF
"""Values of the tag ColorSpace."""

ISO_OVERFLOW = 65_535
"""What a camera writes whose sensitivity does not fit into the tag's 16 bits."""

_MAX_ENTRIES = 512
_MAX_VALUE_BYTES = 8192
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_SHORT, _LONG, _TEXT = 3, 4, 2
_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825
_ORIENTATION, _SOFTWARE = 0x0112, 0x0131
_COLOR_SPACE, _WIDTH, _HEIGHT = 0xA001, 0xA002, 0xA003

_OF_OLD_FILE = frozenset(
    (
        # processing software; size, depth, compression, strips and tiles of the stored picture
        0x000B, 0x00FE, 0x00FF, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x010A, 0x0111, 0x0115,
        0x0116, 0x0117, 0x0118, 0x0119, 0x011C, 0x0122, 0x0123, 0x0140, 0x0142, 0x0143, 0x0144,
        0x0145, 0x014A, 0x0152, 0x0153, 0x015B, 0x0200, 0x0201, 0x0202, 0x0211, 0x0212, 0x0213,
        0x0214, 0x0247,
        # its colours, and blocks of other standards
        0x012D, 0x013D, 0x013E, 0x013F, 0x02BC, 0x83BB, 0x8649, 0x8773, 0x935C,
        # padding
        0xEA1C, 0xEA1D, 0xC4A5,
    )
)  # fmt: skip
_OF_OLD_PIXELS = frozenset(
    (0x9101, 0x9102, 0x927C, _COLOR_SPACE, _WIDTH, _HEIGHT, 0xA005, 0xA500, 0xEA1C, 0xEA1D)
)
"""Components, compression, maker's note, colours and size; and the mark of DCF."""
_FIRST_OF_DNG = 0xC612


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a directory; its value in the byte order of the block."""

    tag: int
    kind: int
    count: int
    value: bytes


def rebuild_exif(
    exif: bytes,
    *,
    width_px: int,
    height_px: int,
    is_srgb: bool = True,
    with_place: bool = True,
) -> bytes | None:
    """Write the EXIF block of a picture from that of the exposure whose settings it tells.

    Args:
        exif: As stored in a file, with or without the prefix of a JPEG segment; untrusted.
        width_px: Width of the picture.
        height_px: Its height.
        is_srgb: Its colours are those of sRGB.
        with_place: Keep where it was taken.

    Returns:
        The block with the prefix; None where nothing of the old one can be read.
    """
    tiff = exif.removeprefix(PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return None
    image = {one.tag: one for one in _read_entries(tiff, order, *_at(tiff, order, 4))}
    if not image:
        return None
    capture = _follow(tiff, order, image.get(_EXIF_DIRECTORY))
    place = _follow(tiff, order, image.get(_GPS_DIRECTORY)) if with_place else {}

    def number(tag: int, kind: int, value: int) -> _Entry:
        return _Entry(tag, kind, 1, struct.pack(order + ("H" if kind == _SHORT else "I"), value))

    software = f"expofuse {package_version()}".encode() + b"\0"
    kept_image = _keep(image, lambda tag: tag not in _OF_OLD_FILE and tag < _FIRST_OF_DNG)
    kept_capture = _keep(capture, lambda tag: tag not in _OF_OLD_PIXELS)
    colours = SRGB_COLOURS if is_srgb else OTHER_COLOURS
    for entry in (
        number(_ORIENTATION, _SHORT, 1),
        _Entry(_SOFTWARE, _TEXT, len(software), software),
    ):
        kept_image[entry.tag] = entry
    for entry in (
        number(_COLOR_SPACE, _SHORT, colours),
        number(_WIDTH, _LONG, width_px),
        number(_HEIGHT, _LONG, height_px),
    ):
        kept_capture[entry.tag] = entry
    block = PREFIX + _write(order, kept_image, kept_capture, place)
    return block if len(block) <= MAX_EXIF_BYTES else None


def _at(tiff: bytes, order: str, position: int) -> tuple[int]:
    if not 0 <= position <= len(tiff) - 4:
        return (0,)
    (value,) = struct.unpack_from(f"{order}I", tiff, position)
    return (value,)


def _follow(tiff: bytes, order: str, pointer: _Entry | None) -> dict[int, _Entry]:
    if pointer is None or (pointer.kind, pointer.count) != (_LONG, 1):
        return {}
    (position,) = struct.unpack(f"{order}I", pointer.value)
    return {one.tag: one for one in _read_entries(tiff, order, position)}


def _read_entries(tiff: bytes, order: str, position: int) -> Iterator[_Entry]:
    if not 0 < position <= len(tiff) - 2:
        return
    (count,) = struct.unpack_from(f"{order}H", tiff, position)
    for index in range(min(count, _MAX_ENTRIES)):
        at = position + 2 + 12 * index
        if at + 12 > len(tiff):
            return
        tag, kind, length = struct.unpack_from(f"{order}HHI", tiff, at)
        size = _SIZES.get(kind, 0) * length
        if not 1 <= size <= _MAX_VALUE_BYTES:
            continue
        at = at + 8 if size <= 4 else _at(tiff, order, at + 8)[0]
        if at + size <= len(tiff):
            yield _Entry(tag, kind, length, tiff[at : at + size])


def _keep(entries: dict[int, _Entry], is_kept: Callable[[int], bool]) -> dict[int, _Entry]:
    pointers = (_EXIF_DIRECTORY, _GPS_DIRECTORY)
    return {tag: one for tag, one in entries.items() if is_kept(tag) and tag not in pointers}


def _write(
    order: str,
    image: dict[int, _Entry],
    capture: dict[int, _Entry],
    place: dict[int, _Entry],
) -> bytes:
    """Lay the directories one behind the other; the first one points to the others."""
    pointers = {_EXIF_DIRECTORY: capture} | ({_GPS_DIRECTORY: place} if place else {})
    zero = _Entry(0, _LONG, 1, bytes(4))
    image = image | {tag: replace(zero, tag=tag) for tag in pointers}
    begin = 8 + _measure(image)
    for tag, directory in pointers.items():
        image[tag] = replace(image[tag], value=struct.pack(f"{order}I", begin))
        begin += _measure(directory)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    blocks = [head]
    for directory in (image, *pointers.values()):
        blocks.append(_write_directory(order, directory, sum(map(len, blocks))))
    return b"".join(blocks)


def _measure(directory: dict[int, _Entry]) -> int:
    apart = sum(_even(len(one.value)) for one in directory.values() if len(one.value) > 4)
    return 2 + 12 * len(directory) + 4 + apart


def _write_directory(order: str, directory: dict[int, _Entry], begin: int) -> bytes:
    table = [struct.pack(f"{order}H", len(directory))]
    values = b""
    apart = begin + 2 + 12 * len(directory) + 4
    for _, one in sorted(directory.items()):
        field = one.value.ljust(4, b"\0")
        if len(one.value) > 4:
            field = struct.pack(f"{order}I", apart + len(values))
            values += one.value.ljust(_even(len(one.value)), b"\0")
        table.append(struct.pack(f"{order}HHI", one.tag, one.kind, one.count) + field)
    return b"".join(table) + bytes(4) + values


def _even(length: int) -> int:
    return length + length % 2
