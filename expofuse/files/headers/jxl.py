"""Reads the header of JPEG XL files: a bare codestream, or boxes that hold one (ISO/IEC 18181)."""

from collections.abc import Iterator

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.boxes import Box, list_boxes
from expofuse.files.headers.header import ImageHeader

CODESTREAM_START = b"\xff\x0a"
CONTAINER_START = b"\0\0\0\x0cJXL \r\n\x87\n"

CODESTREAM_BOXES = (b"jxlc", b"jxlp")
"""Names of the boxes that hold the codestream, or a part of it."""

_HEADER_BYTES = 64
"""Enough for the fields that are read here, with all of the optional ones before them."""
_RATIOS = ((1, 1), (6, 5), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height by their number, from 1."""

_Choices = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
_SIZES: _Choices = ((9, 1), (13, 1), (18, 1), (30, 1))
_PREVIEW_EIGHTHS: _Choices = ((0, 16), (0, 32), (5, 1), (9, 33))
_PREVIEW_SIZES: _Choices = ((6, 1), (8, 65), (10, 321), (12, 1345))
_INTEGER_BITS: _Choices = ((0, 8), (0, 10), (0, 12), (6, 1))


class _Bits:
    """Fields of a codestream, from the lowest bit of the first byte on."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def read(self, count: int) -> int:
        if count > self._left:
            raise ImageDecodeError("expected a complete JPEG XL header, got a truncated file")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return value

    def choose(self, choices: _Choices) -> int:
        """A number that two bits say the width and the base of (U32, annex B.2)."""
        count, base = choices[self.read(2)]
        return base + self.read(count)


def parse_jxl(view: memoryview) -> ImageHeader:
    """The picture that the codestream shows, as it turns it; raises as `sniff` does."""
    start = _read_codestream(view)
    if start[:2] != CODESTREAM_START:
        raise ImageDecodeError("expected a JPEG XL codestream, got a truncated or damaged file")
    bits = _Bits(start[2:])
    width_px, height_px = _read_size(bits)
    depth, orientation = 8, 1
    if not bits.read(1):  # Not all as by default (annex D.3).
        if bits.read(1):
            orientation = 1 + bits.read(3)
            if bits.read(1):
                _read_size(bits)  # The size at which it means to be shown.
            if bits.read(1):
                _skip_preview(bits)
            if bits.read(1):
                raise UnsupportedImageError("expected a still image, got an animated JPEG XL")
        if bits.read(1):
            raise UnsupportedImageError(
                "expected integer samples, got a JPEG XL of floating point ones: "
                "export it with 16 bits"
            )
        depth = bits.choose(_INTEGER_BITS)
    if depth > 16:
        raise UnsupportedImageError(f"expected at most 16 bits, got a JPEG XL of {depth}")
    if orientation >= 5:
        width_px, height_px = height_px, width_px
    return ImageHeader("jxl", width_px, height_px, 8 if depth <= 8 else 16)


def list_whole_boxes(view: memoryview) -> Iterator[Box]:
    """The boxes of a container.

    Raises:
        ImageDecodeError: One does not lie within the file. The library would first make room for
            what it claims to hold.
    """
    for box in list_boxes(view):
        if not box.is_whole:
            raise ImageDecodeError(
                "expected a complete JPEG XL file, got a truncated or damaged one"
            )
        yield box


def _read_codestream(view: memoryview) -> bytes:
    """The first bytes of the codestream, wherever the file keeps it."""
    if bytes(view[:2]) == CODESTREAM_START:
        return bytes(view[:_HEADER_BYTES])
    parts = b""
    for box in list_whole_boxes(view):
        begin = box.content + (4 if box.name == b"jxlp" else 0)  # A part stands behind its number.
        if box.name in CODESTREAM_BOXES and len(parts) < _HEADER_BYTES:
            parts += bytes(view[begin : min(box.end, begin + _HEADER_BYTES)])
    return parts


def _read_size(bits: _Bits) -> tuple[int, int]:
    """Width and height (annex D.2)."""
    is_small = bits.read(1)

    def read_side() -> int:
        return 8 * (1 + bits.read(5)) if is_small else bits.choose(_SIZES)

    height_px = read_side()
    ratio = bits.read(3)
    return (_to_width(height_px, ratio) if ratio else read_side()), height_px


def _skip_preview(bits: _Bits) -> None:
    choices = _PREVIEW_EIGHTHS if bits.read(1) else _PREVIEW_SIZES
    bits.choose(choices)
    if not bits.read(3):
        bits.choose(choices)


def _to_width(height_px: int, ratio: int) -> int:
    wide, high = _RATIOS[ratio - 1]
    return height_px * wide // high
