"""Reads the header of a JPEG file."""

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.header import MAX_SEGMENTS, ImageHeader, read_fields

MAX_STRAY_BYTES = 4096
"""Bytes between two segments that are overlooked."""


def parse_jpeg(view: memoryview) -> ImageHeader:
    """Format, size and depth of a JPEG; raises as `sniff` does."""
    offset = 2
    for _ in range(MAX_SEGMENTS):
        prefix, marker = read_fields(">BB", view, offset)
        if prefix != 0xFF:  # Some cameras leave bytes between two segments.
            offset = _find_prefix(view, offset)
            continue
        if marker == 0xFF:  # A fill byte.
            offset += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # TEM and RSTn carry no length.
            offset += 2
            continue
        (length,) = read_fields(">H", view, offset + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _parse_frame(view, offset + 4, marker)
        if length < 2 or marker in (0xD8, 0xD9, 0xDA):
            break
        offset += 2 + length
    raise ImageDecodeError("expected a JPEG frame header, got none")


def _find_prefix(view: memoryview, offset: int) -> int:
    """Where the next marker may begin, after a bounded number of bytes."""
    step = bytes(view[offset : offset + MAX_STRAY_BYTES]).find(b"\xff")
    if step < 0:
        raise ImageDecodeError("expected a JPEG marker, got other content")
    return offset + step


def _parse_frame(view: memoryview, offset: int, marker: int) -> ImageHeader:
    # Baseline, extended and progressive, Huffman or arithmetic; not lossless or hierarchical.
    if marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
        raise UnsupportedImageError(
            f"expected a baseline or progressive JPEG, got frame type {marker - 0xC0}"
        )
    precision, height_px, width_px, components = read_fields(">BHHB", view, offset)
    if precision != 8:
        raise UnsupportedImageError(f"expected a JPEG of 8 bits, got {precision}")
    if components not in (1, 3, 4):
        raise UnsupportedImageError(f"expected a JPEG of 1, 3 or 4 components, got {components}")
    return ImageHeader("jpeg", width_px, height_px, 8)
