"""Finds what a file holds besides its picture: gain maps, other views, films."""

import struct

from expofuse.files.formats import Dropped
from expofuse.files.headers import ImageHeader
from expofuse.files.headers.jpeg import list_application_segments

_GAIN_MAPS = (
    b"http://ns.adobe.com/hdr-gain-map/1.0/",
    b"urn:iso:std:iso:ts:21496:-1",
    b"http://ns.apple.com/HDRGainMap/1.0/",
    b"HDRToneMap",
)
"""Of Ultra HDR, ISO 21496-1 and Apple."""
_VIDEOS = (b'MotionPhoto="1"', b"MotionPhoto>1<", b'MicroVideo="1"', b"MicroVideo>1<")
_MP_INDEX, _MP_ENTRIES, _MP_ENTRY_BYTES = b"MPF\0", 0xB002, 16
# CIPA DC-007, 5.2.3.3.1: the type is the low 24 bits of an entry's attributes.
_MP_PREVIEWS = (0x010001, 0x010002)
_MP_VIEWS = (0x020001, 0x020002, 0x020003)
_MAP_HEADER_BYTES = 1 << 17


def find_dropped(data: bytes | bytearray | memoryview, header: ImageHeader) -> tuple[Dropped, ...]:
    """Name what the decoded picture leaves out.

    Args:
        data: The whole file.
        header: Of the file.
    """
    dropped: set[Dropped] = set()
    if header.format == "jpeg":
        view = memoryview(data).cast("B")
        for body in list_application_segments(view):
            if any(mark in body for mark in _GAIN_MAPS):
                dropped.add("gain map")
            if any(mark in body for mark in _VIDEOS):
                dropped.add("video")
            if body.startswith(_MP_INDEX):
                dropped |= _read_mp_types(view, body.removeprefix(_MP_INDEX))
    return tuple(sorted(dropped))


def _read_mp_entries(index: bytes) -> list[tuple[int, int, int]]:
    """Attributes, bytes and place of the pictures of a multi-picture file (CIPA DC-007, 5.2.3)."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(index[:4])
    if order is None:
        return []
    try:
        (start,) = struct.unpack_from(f"{order}I", index, 4)
        (count,) = struct.unpack_from(f"{order}H", index, start)
        for entry in range(start + 2, start + 2 + min(count, 64) * 12, 12):
            tag, _, size, place = struct.unpack_from(f"{order}HHII", index, entry)
            if tag == _MP_ENTRIES:
                table = index[place : place + min(size, 64 * _MP_ENTRY_BYTES)]
                whole = table[: len(table) // _MP_ENTRY_BYTES * _MP_ENTRY_BYTES]
                return list(struct.iter_unpack(f"{order}III4x", whole))
    except struct.error:
        pass
    return []


def _read_mp_types(view: memoryview, index: bytes) -> set[Dropped]:
    others = _read_mp_entries(index)[1:]
    kinds = {attributes & 0xFFFFFF for attributes, _, _ in others}
    dropped: set[Dropped] = set()
    if kinds & set(_MP_PREVIEWS):
        dropped.add("preview")
    if kinds & set(_MP_VIEWS):
        dropped.add("second view")
    # Apple marks a map in the map's own header alone. Places count from the index, which stands
    # in the first kilobytes, so that a stretch from the place on holds that header.
    starts = (bytes(view[place : place + _MAP_HEADER_BYTES]) for _, _, place in others)
    if any(mark in start for start in starts for mark in _GAIN_MAPS):
        dropped.add("gain map")
    return dropped
