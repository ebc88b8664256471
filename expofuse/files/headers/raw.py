"""Reads how large the picture of a camera's raw file can be, from its header alone."""

import struct
from collections.abc import Iterator

from expofuse.errors import ImageDecodeError
from expofuse.files.headers.header import MAX_SEGMENTS, ImageHeader, read_fields

_MAX_DIRECTORIES, _MAX_ENTRIES = 24, 512
_SUBFILES, _WIDTH, _HEIGHT, _PHOTOMETRIC, _DNG_VERSION = 330, 256, 257, 262, 50706
_SENSOR_WIDTH, _SENSOR_HEIGHT = 2, 3
_MOSAIC = (32803, 34892)
_PLACES = ((273, 279), (324, 325), (280, 279))
"""Offsets and lengths of strips, of tiles, and of the data of Panasonic."""
_WANTED = frozenset(
    (_SUBFILES, _WIDTH, _HEIGHT, _PHOTOMETRIC, _DNG_VERSION, _SENSOR_WIDTH, _SENSOR_HEIGHT)
) | {tag for pair in _PLACES for tag in pair}
_MAX_VALUES = 1 << 14
_SHORT, _LONG, _BYTE, _POINTER = 3, 4, 1, 13
_FORMS = {_BYTE: "B", _SHORT: "H", _LONG: "I", _POINTER: "I"}

TIFF_STARTS = (b"II*\0", b"MM\0*")
OTHER_STARTS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
"""Of Olympus and Panasonic, whose files are otherwise built as TIFF."""
FUJIFILM_START = b"FUJIFILMCCD-RAW"
CANON_BRAND = b"ftypcrx "
_CANON_MARK = b"CR"
_FULL_SIZE, _LAYOUT = 0x100, 0x130
_UPRIGHT = 8
_SEARCHED_BYTES = 1 << 18
_NOWHERE = 0xFFFFFFFF
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
    """The format, and the largest size that the picture can have; raises as `sniff` does.

    LibRaw takes data that are missing for black. So a file that ends before the place of its data
    is refused here.
    """
    start = bytes(view[:16])
    if start.startswith(FUJIFILM_START):
        sizes = list(_list_fujifilm_sizes(view))
        _check_whole(view, *read_fields(">II", view, 0x64))
    elif start[4:12] == CANON_BRAND:
        sizes = list(_list_canon_sizes(view))
        _check_boxes(view)
    else:
        directories = list(_list_directories(view))
        sizes = [size for tags in directories for size in _list_sizes(tags)]
        if start[8:10] == _CANON_MARK:
            sizes += _list_frames(view, directories)
        largest = max(sizes, key=_count_pixels, default=(0, 0))
        for tags in directories:
            found = _list_sizes(tags)
            if largest in found or not found:  # Previews may lie elsewhere.
                _check_data(view, tags)
    width_px, height_px = max(sizes, key=_count_pixels, default=(0, 0))
    if not width_px or not height_px:
        raise ImageDecodeError("expected a raw file whose header says its size, got another")
    return ImageHeader("raw", width_px + _MARGIN_PX, height_px + _MARGIN_PX, 16)


def _count_pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _list_sizes(tags: Tags) -> list[tuple[int, int]]:
    return [
        (tags[wide][0], tags[high][0])
        for wide, high in ((_WIDTH, _HEIGHT), (_SENSOR_WIDTH, _SENSOR_HEIGHT))
        if wide in tags and high in tags
    ]


def _check_whole(view: memoryview, begin: int, length: int) -> None:
    if begin + length > len(view):
        raise ImageDecodeError(
            f"expected a raw file of at least {begin + length} bytes as in its header, got "
            f"{len(view)}: copy it again"
        )


def _check_data(view: memoryview, tags: Tags) -> None:
    """Check that the strips or tiles of a picture lie within the file."""
    for offsets, lengths in _PLACES:
        for begin, length in zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=False):
            if begin != _NOWHERE:
                _check_whole(view, begin, length)


def _check_boxes(view: memoryview) -> None:
    """Check that the boxes of a CR3 file lie within it."""
    at = 0
    for _ in range(MAX_SEGMENTS):
        if at + 16 > len(view):
            break
        (length,) = struct.unpack_from(">I", view, at)
        if length == 1:
            (length,) = struct.unpack_from(">Q", view, at + 8)
        if length == 0:
            break
        _check_whole(view, at, length)
        at += max(length, 8)


def _list_frames(view: memoryview, directories: list[Tags]) -> Iterator[tuple[int, int]]:
    """Sizes of the lossless JPEGs in a CR2 file, whose directories may name a preview's alone."""
    for tags in directories:
        for offset in tags.get(_PLACES[0][0], ()):
            yield from _list_frame_sizes(view, offset)


def _list_frame_sizes(view: memoryview, offset: int) -> Iterator[tuple[int, int]]:
    if bytes(view[offset : offset + 2]) != b"\xff\xd8":
        return
    at = offset + 2
    for _ in range(_MAX_ENTRIES):
        if at + 10 > len(view) or view[at] != 0xFF:
            return
        marker, length = view[at + 1], int.from_bytes(view[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xC3:
            height, width, parts = read_fields(">HHB", view, at + 5)
            # Without loss, the samples of a row stand side by side in several components.
            yield width * (parts if marker == 0xC3 else 1), height
            return
        at += 2 + length


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
        if tag not in _WANTED or kind not in _FORMS or not 1 <= values <= _MAX_VALUES:
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
    size = (0, 0)
    for _ in range(min(count, _MAX_ENTRIES)):
        tag, length = read_fields(">HH", view, at)
        if tag == _FULL_SIZE and length == 4:
            height, width = read_fields(">HH", view, at + 4)
            yield width, height
            size = width, height
        if tag == _LAYOUT and length >= 2 and not view[at + 5] & _UPRIGHT:
            # Its grid stands on a corner; LibRaw fills in a second row for each.
            yield size[0], size[1] * 2
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
