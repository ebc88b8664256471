"""Reads how large the picture of a camera's raw file can be, from its header alone."""

import struct
from collections.abc import Iterator

from expofuse.errors import ImageDecodeError
from expofuse.files.headers.header import ImageHeader, read_fields

_MAX_DIRECTORIES, _MAX_ENTRIES = 24, 512
_SUBFILES, _WIDTH, _HEIGHT, _PHOTOMETRIC, _DNG_VERSION = 330, 256, 257, 262, 50706
_SENSOR_WIDTH, _SENSOR_HEIGHT = 2, 3
_MOSAIC = (32803, 34892)
_WANTED = (_SUBFILES, _WIDTH, _HEIGHT, _PHOTOMETRIC, _DNG_VERSION, _SENSOR_WIDTH, _SENSOR_HEIGHT)
_SHORT, _LONG, _BYTE, _POINTER = 3, 4, 1, 13
_FORMS = {_BYTE: "B", _SHORT: "H", _LONG: "I", _POINTER: "I"}

TIFF_STARTS = (b"II*\0", b"MM\0*")
OTHER_STARTS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
"""Of Olympus and Panasonic, whose files are otherwise built as TIFF."""
FUJIFILM_START = b"FUJIFILMCCD-RAW"
CANON_BRAND = b"ftypcrx "
_CANON_MARK = b"CR"
_FULL_SIZE = 0x100
_SEARCHED_BYTES = 1 << 18
_MARGIN_PX = 128
"""Header and decoder differ in how much of the sensor's edge they count."""

Tags = dict[int, tuple[int, ...]]


def is_raw(view: memoryview) -> bool:
    """Whether a file is a raw file that is told by its first bytes or its directories."""
    start = bytes(view[:16])
    if start.startswith((*OTHER_STARTS, FUJIFILM_START)) or start[4:12] == CANON_BRAND:
        return True
    if not start.startswith(TIFF_STARTS):
        return False
    if start[8:10] == _CANON_MARK:
        return True
    return any(
        _DNG_VERSION in tags or tags.get(_PHOTOMETRIC, (0,))[0] in _MOSAIC
        for tags in _list_directories(view)
    )


def parse_raw(view: memoryview) -> ImageHeader:
    """The format, and the largest size that the picture can have; raises as `sniff` does."""
    start = bytes(view[:16])
    if start.startswith(FUJIFILM_START):
        sizes = list(_list_fujifilm_sizes(view))
    elif start[4:12] == CANON_BRAND:
        sizes = list(_list_canon_sizes(view))
    else:
        sizes = [
            (tags[wide][0], tags[high][0])
            for tags in _list_directories(view)
            for wide, high in ((_WIDTH, _HEIGHT), (_SENSOR_WIDTH, _SENSOR_HEIGHT))
            if wide in tags and high in tags
        ]
    width_px, height_px = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    if not width_px or not height_px:
        raise ImageDecodeError("expected a raw file whose header says its size, got another")
    return ImageHeader("raw", width_px + _MARGIN_PX, height_px + _MARGIN_PX, 16)


def _list_directories(view: memoryview) -> Iterator[Tags]:
    order = "<" if bytes(view[:2]) == b"II" else ">"
    if len(view) < 8:
        return
    waiting = [struct.unpack_from(f"{order}I", view, 4)[0]]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        position = waiting.pop(0)
        if position in seen or not 0 < position <= len(view) - 2:
            continue
        seen.add(position)
        tags, following = _read_directory(view, order, position)
        waiting += [*tags.get(_SUBFILES, ()), following]
        yield tags


def _read_directory(view: memoryview, order: str, position: int) -> tuple[Tags, int]:
    (count,) = struct.unpack_from(f"{order}H", view, position)
    tags: Tags = {}
    end = position + 2 + 12 * count
    for at in range(position + 2, min(end, position + 2 + 12 * _MAX_ENTRIES), 12):
        if at + 12 > len(view):
            return tags, 0
        tag, kind, values = struct.unpack_from(f"{order}HHI", view, at)
        if tag not in _WANTED or kind not in _FORMS or not 1 <= values <= 8:
            continue
        form = f"{order}{values}{_FORMS[kind]}"
        at += 8
        if struct.calcsize(form) > 4:
            (at,) = struct.unpack_from(f"{order}I", view, at)
        if at + struct.calcsize(form) <= len(view):
            tags[tag] = struct.unpack_from(form, view, at)
    following = struct.unpack_from(f"{order}I", view, end)[0] if end + 4 <= len(view) else 0
    return tags, following


def _list_fujifilm_sizes(view: memoryview) -> Iterator[tuple[int, int]]:
    (position,) = read_fields(">I", view, 0x5C)
    (count,) = read_fields(">I", view, position)
    at = position + 4
    for _ in range(min(count, _MAX_ENTRIES)):
        tag, length = read_fields(">HH", view, at)
        if tag == _FULL_SIZE and length == 4:
            height, width = read_fields(">HH", view, at + 4)
            yield width, height
        at += 4 + length


def _list_canon_sizes(view: memoryview) -> Iterator[tuple[int, int]]:
    """Sizes in the sample entries of a CR3 file (ISO/IEC 14496-12, 12.1.3)."""
    head = bytes(view[:_SEARCHED_BYTES])
    at = head.find(b"CRAW")
    while at >= 0:
        if at + 32 <= len(head):
            width, height = struct.unpack_from(">HH", head, at + 28)
            yield width, height
        at = head.find(b"CRAW", at + 4)
