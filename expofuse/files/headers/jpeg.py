"""Reads the header of a JPEG file."""

from collections.abc import Iterator

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.header import (
    MAX_SEGMENTS,
    ImageHeader,
    check_metadata,
    read_fields,
)


def parse_jpeg(view: memoryview) -> ImageHeader:
    """Format, size and depth of a JPEG; raises as `sniff` does."""
    offset = 2
    for _ in range(MAX_SEGMENTS):
        offset = skip_padding(view, offset)
        prefix, marker = read_fields(">BB", view, offset)
        if prefix != 0xFF:
            raise ImageDecodeError(
                "expected a JPEG marker, got other content between segments: "
                "copy the file from the camera again"
            )
        if marker == 0xFF:  # More padding than is gone over.
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # TEM and RSTn carry no length.
            offset += 2
            continue
        (length,) = read_fields(">H", view, offset + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            check_metadata(2, offset)
            return _parse_frame(view, offset + 4, marker)
        if length < 2 or marker in (0xD8, 0xD9, 0xDA):
            break
        offset += 2 + length
    raise ImageDecodeError("expected a JPEG frame header, got none")


def list_application_segments(view: memoryview) -> Iterator[bytes]:
    """Bodies of the segments APP1 and APP2 before the first scan."""
    offset = 2
    for _ in range(MAX_SEGMENTS):
        if offset + 4 > len(view) or view[offset] != 0xFF:
            return
        marker, length = view[offset + 1], int.from_bytes(view[offset + 2 : offset + 4], "big")
        if marker in (0xD9, 0xDA) or length < 2:
            return
        if marker in (0xE1, 0xE2):
            yield bytes(view[offset + 4 : offset + 2 + length])
        offset += 2 + length


def skip_padding(file: bytes | bytearray | memoryview, offset: int) -> int:
    """Go over zero bytes and fill bytes to the next marker, at most `MAX_SEGMENTS` of each.

    Returns:
        Where the last of the bytes 0xFF stands, if there is a marker.
    """
    stretch = bytes(file[offset : offset + MAX_SEGMENTS])
    offset += len(stretch) - len(stretch.lstrip(b"\0"))
    stretch = bytes(file[offset : offset + MAX_SEGMENTS])
    fill = len(stretch) - len(stretch.lstrip(b"\xff"))
    return offset + max(fill - 1, 0)


def _parse_frame(view: memoryview, offset: int, marker: int) -> ImageHeader:
    # Baseline, extended and progressive, Huffman or arithmetic; not lossless or hierarchical.
    if marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
        kind = "lossless" if marker in (0xC3, 0xC7, 0xCB, 0xCF) else "hierarchical"
        raise UnsupportedImageError(
            f"expected a baseline or progressive JPEG, got a {kind} one: save it as baseline JPEG"
        )
    precision, height_px, width_px, components = read_fields(">BHHB", view, offset)
    if precision != 8:
        raise UnsupportedImageError(
            f"expected a JPEG of 8 bits, got {precision}: save it as a PNG or TIFF of 16 bits"
        )
    if components not in (1, 3, 4):
        raise UnsupportedImageError(
            f"expected a JPEG of 1, 3 or 4 components, got {components}: save it as RGB"
        )
    return ImageHeader("jpeg", width_px, height_px, 8)
