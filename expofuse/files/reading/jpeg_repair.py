"""Tells what is harmless in a JPEG file from what is damaged, and mends the former.

Cameras and phones write files that break the standard without a pixel being lost. A decoder that
is told to stop at every warning refuses them; one that is not, fills what is lost with grey.
"""

import struct
from dataclasses import dataclass

import numpy as np

from expofuse.files.headers import MAX_SEGMENTS

SOI, EOI, SOS, DHT, DAC = 0xD8, 0xD9, 0xDA, 0xC4, 0xCC
_JPG = 0xC8
_APP1, _APP2 = 0xE1, 0xE2
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
_WHOLE_SPECTRUM = bytes((0, 63, 0))
"""Of a sequential scan: the first and the last coefficient, and no approximation."""

_VIEWS, _ISO_GAIN_MAP = b"MPF\0", b"urn:iso:std:iso:ts:21496:-1\0"
_XMP, _GAIN_MAP = b"http://ns.adobe.com/xap/1.0/\0", b"hdrgm:"
SECOND_VIEW, GAIN_MAP = "second-view", "gain-map"

Data = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class JpegStructure:
    """The segments of a file up to its first scan.

    Attributes:
        data: The file, mended where its header needed it.
        scan: Where the data of the first scan begins in it; its length where it has none.
        extras: What the file holds beside its picture: `SECOND_VIEW` and `GAIN_MAP`.
    """

    data: Data
    scan: int
    extras: tuple[str, ...]


def read_structure(data: Data) -> JpegStructure:
    """Walk through the segments before the first scan, and mend what is harmless.

    Bytes between two segments are taken out. A scan of a sequential picture always holds the whole
    spectrum, whatever its header says: the firmware of one maker of phones writes zeros there.

    Args:
        data: The whole file, untrusted; its header was sniffed.
    """
    view = memoryview(data)
    kept: list[Data] = [view[:2]]
    offset, frame, is_mended = 2, 0, False
    extras: set[str] = set()
    for _ in range(MAX_SEGMENTS):
        found = _find_marker(view, offset)
        if found is None:
            break
        is_mended |= found > offset
        marker = view[found + 1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            kept.append(view[found : found + 2])
            offset = found + 2
            continue
        if marker in (SOI, EOI) or found + 4 > len(view):
            break
        (length,) = struct.unpack_from(">H", view, found + 2)
        end = found + 2 + length
        if length < 2 or end > len(view):
            break
        if 0xC0 <= marker <= 0xCF and marker not in (DHT, _JPG, DAC):
            frame = marker
        extras |= _find_extras(marker, view[found + 4 : end])
        if marker == SOS:
            is_wrong = frame in _SEQUENTIAL and view[end - 3 : end] != _WHOLE_SPECTRUM
            if is_wrong or is_mended:
                spectrum = _WHOLE_SPECTRUM if is_wrong else view[end - 3 : end]
                kept += [view[found : end - 3], spectrum]
                scan = sum(map(len, kept))
                return JpegStructure(b"".join([*kept, view[end:]]), scan, tuple(sorted(extras)))
            return JpegStructure(data, end, tuple(sorted(extras)))
        kept.append(view[found:end])
        offset = end
    return JpegStructure(data, len(view), tuple(sorted(extras)))


def count_scans(structure: JpegStructure) -> int:
    """How many scans a file has: each of a progressive picture costs as much as a whole one."""
    markers = _list_markers(structure)
    return 1 + int(np.count_nonzero(markers[:, 1] == SOS))


def mend_end(structure: JpegStructure) -> bytes | None:
    """A file with an end mark behind its data, and nothing between them.

    What comes behind the first end mark belongs to another picture. Where there is none, the data
    may be whole for all that. Zeros in front of the mark are the padding of some writers.

    Returns:
        None where nothing is to be mended.
    """
    data = structure.data
    markers = _list_markers(structure)
    ends = markers[markers[:, 1] == EOI, 0]
    end = int(ends[0]) if len(ends) else len(data)
    scan = bytes(memoryview(data)[structure.scan : end])
    padded = len(scan) - len(scan.rstrip(b"\0"))
    if len(ends) and not padded:
        return None
    if padded and scan[: len(scan) - padded].endswith(b"\xff"):
        padded -= 1  # A stuffed zero belongs to its byte.
    whole = bytes(memoryview(data)[: structure.scan]) + scan[: len(scan) - padded]
    return whole.removesuffix(b"\xff") + bytes((0xFF, EOI))


def _find_marker(view: memoryview, offset: int) -> int | None:
    """Where the next marker is, from an offset on; fill bytes belong to what is skipped."""
    while offset < len(view) - 1:
        if view[offset] != 0xFF:
            rest = bytes(view[offset : offset + 65_536])
            step = rest.find(b"\xff")
            offset += len(rest) if step < 0 else step
        elif view[offset + 1] in (0x00, 0xFF):
            offset += 1
        else:
            return offset
    return None


def _find_extras(marker: int, body: memoryview) -> set[str]:
    start = bytes(body[:64])
    extras = set()
    if marker == _APP2 and start.startswith(_VIEWS):
        extras.add(SECOND_VIEW)
    if marker == _APP2 and start.startswith(_ISO_GAIN_MAP):
        extras.add(GAIN_MAP)
    if marker == _APP1 and start.startswith(_XMP) and _GAIN_MAP in bytes(body):
        extras.add(GAIN_MAP)
    return extras


def _list_markers(structure: JpegStructure) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Place and code of every marker behind the start of the first scan, but for restarts."""
    levels = np.frombuffer(structure.data, np.uint8)
    at = np.flatnonzero(levels[structure.scan : -1] == 0xFF) + structure.scan
    codes = levels[at + 1]
    is_marker = (codes != 0) & (codes != 0xFF) & ~((codes >= 0xD0) & (codes <= 0xD7))
    return np.stack([at[is_marker], codes[is_marker]], axis=1).astype(np.int64)
