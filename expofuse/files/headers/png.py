"""Reads the header of a PNG file."""

import struct
from collections.abc import Iterator

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.header import (
    MAX_SEGMENTS,
    ImageHeader,
    check_metadata,
    read_fields,
)

SIGNATURE_BYTES = 8
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def parse_png(view: memoryview) -> ImageHeader:
    """Format, size and depth of a PNG; raises as `sniff` does."""
    length, name, width_px, height_px, bits, colour = read_fields(">I4sIIBB", view, 8)
    if name != b"IHDR" or length != 13 or bits not in _PNG_DEPTHS.get(colour, ()):
        raise ImageDecodeError("expected a valid PNG header, got a damaged one")
    if max(width_px, height_px) >= 1 << 31:
        raise ImageDecodeError(f"expected PNG sides below 2^31, got {width_px}x{height_px}")
    begin = offset = 8 + 12 + length
    for _ in range(MAX_SEGMENTS):
        length, name = read_fields(">I4s", view, offset)
        if name == b"IDAT":
            check_metadata(begin, offset)
            return ImageHeader("png", width_px, height_px, 16 if bits == 16 else 8)
        if name == b"acTL" and (frames := read_fields(">I", view, offset + 8)[0]) > 1:
            raise UnsupportedImageError(
                f"expected a still image, got a PNG of {frames} frames: save one frame as a picture"
            )
        offset += 12 + length
    raise ImageDecodeError("expected PNG image data, got none")


def list_chunks(view: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and length of the body of each chunk; the last one may be cut off."""
    offset = SIGNATURE_BYTES
    while offset + 8 <= len(view):
        length, name = struct.unpack_from(">I4s", view, offset)
        yield name, offset + 8, length
        offset += 12 + length
