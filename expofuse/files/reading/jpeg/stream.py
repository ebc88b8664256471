"""Puts the header of a JPEG in order before it is decoded, and finds where its pixels end.

Firmware writes files that every viewer shows but that a strict decoder refuses: scan headers with
parameters that mean nothing in a sequential file, zero bytes between segments, no end mark. Here
they are put right, so that what the decoder then complains of is damage.
"""

import re
import struct

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers import MAX_SEGMENTS
from expofuse.files.headers.jpeg import skip_padding

_SCAN_END = re.compile(rb"\xff(?=[^\x00\xff\xd0-\xd7])")
_MAX_SCANS = 100
_COEFFICIENTS = 64
_FRAMES = frozenset((0xC0, 0xC1, 0xC2, 0xC9, 0xCA))
_PROGRESSIVE = frozenset((0xC2, 0xCA))
_SEQUENTIAL = frozenset((0xC0, 0xC1, 0xC9))
_TABLES = frozenset((0xC4, 0xCC, 0xDB, 0xDC, 0xDD))
_START, _END, _SCAN, _TEM = 0xD8, 0xD9, 0xDA, 0x01


def tidy(data: bytes | bytearray | memoryview) -> bytes:
    """Keep the tables, frame and scans of the first picture in a JPEG file, and end it.

    Args:
        data: The whole file; `sniff` took it.

    Returns:
        A file that holds what its pixels need, and nothing else.

    Raises:
        ImageDecodeError: Something other than segments stands between segments.
        UnsupportedImageError: More scans than any program writes.
    """
    file = bytes(data) if isinstance(data, memoryview) else data
    parts: list[bytes | memoryview] = [b"\xff\xd8"]
    offset, frame, scans = 2, 0, 0
    for _ in range(MAX_SEGMENTS):
        offset = skip_padding(file, offset)
        if offset + 1 >= len(file):
            break
        if file[offset] != 0xFF or file[offset + 1] == 0xFF:
            raise ImageDecodeError(
                "expected a complete jpeg file, got one with other content between its segments, "
                "truncated or damaged: copy the file from the camera again"
            )
        marker = file[offset + 1]
        if marker == _END:
            break
        if marker in (_TEM, _START) or 0xD0 <= marker <= 0xD7:
            offset += 2
            continue
        length = int.from_bytes(file[offset + 2 : offset + 4], "big")
        end = offset + 2 + max(length, 2)
        segment = bytes(file[offset:end])
        offset = end
        if marker == _SCAN:
            scans += 1
            found = _SCAN_END.search(file, offset)
            end = found.start() if found else len(file)
            parts += [_mend_scan(segment, frame), _without_padding(file, offset, end)]
            offset = end
        elif marker in _FRAMES or marker in _TABLES:
            frame = marker if marker in _FRAMES else frame
            parts.append(segment)
        elif marker in (0xE0, 0xEE):
            parts.append(_mend_application(segment))
    if frame in _PROGRESSIVE and not _is_complete(parts):
        raise ImageDecodeError(
            "expected a complete jpeg file, got a progressive one whose last scans are missing or "
            "damaged: copy the file from the camera again"
        )
    if scans > _MAX_SCANS:
        raise UnsupportedImageError(
            f"expected a JPEG of at most {_MAX_SCANS} scans, got {scans}: export it again"
        )
    if not scans:
        raise ImageDecodeError("expected a JPEG with a scan, got none: export the picture again")
    return b"".join((*parts, b"\xff\xd9"))


def _is_complete(parts: list[bytes | memoryview]) -> bool:
    """Whether the scans of a progression bring every coefficient to its last bit."""
    bits_left: dict[int, list[int]] = {}
    for part in parts:
        head = bytes(part[:20])
        if head[:1] == b"\xff" and head[1:2] in (b"\xc2", b"\xca") and len(head) > 9:
            for component in bytes(part[10 : 10 + 3 * head[9] : 3]):
                bits_left[component] = [1] * _COEFFICIENTS
        elif head[:2] == b"\xff\xda" and len(head) >= 8:
            first, last, approximation = head[-3:]
            for component in head[5 : 5 + 2 * head[4] : 2]:
                if component in bits_left:
                    for index in range(first, min(last + 1, _COEFFICIENTS)):
                        bits_left[component][index] = approximation & 0x0F
    return not any(any(bits) for bits in bits_left.values())


def _without_padding(file: bytes | bytearray, start: int, end: int) -> memoryview:
    """Leave out zeros that were written after the last block to fill a sector.

    An encoder ends with bits of 1, so that at most two zero bytes belong to the scan.
    """
    tail = bytes(file[max(start, end - 65536) : end])
    zeros = len(tail) - len(tail.rstrip(b"\0"))
    return memoryview(file)[start : end - zeros if zeros > 2 else end]


def _mend_scan(segment: bytes, frame: int) -> bytes:
    """A sequential scan has all coefficients at full precision (ITU-T T.81, table B.3)."""
    if frame in _SEQUENTIAL and len(segment) >= 6:
        return segment[:-3] + b"\x00\x3f\x00"
    return segment


def _mend_application(segment: bytes) -> bytes:
    """JFIF and Adobe say how colours are coded; libjpeg warns of versions that it does not know."""
    if segment[4:9] == b"JFIF\0" and len(segment) >= 16:
        return segment[:9] + b"\x01\x01" + segment[11:]
    if segment[4:9] == b"Adobe" and len(segment) >= 16:
        (transform,) = struct.unpack_from("B", segment, 15)
        return segment if transform <= 2 else segment[:15] + b"\x01" + segment[16:]
    return b""
