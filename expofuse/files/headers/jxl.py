"""Reads the header of JPEG XL files: a bare codestream, or boxes that hold one (ISO/IEC 18181)."""

from collections.abc import Iterator

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.header import MAX_SEGMENTS, ImageHeader, read_fields

CODESTREAM_START = b"\xff\x0a"
CONTAINER_START = b"\0\0\0\x0cJXL \r\n\x87\n"

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


def list_boxes(view: memoryview) -> Iterator[tuple[bytes, int, int, int]]:
    """Name, begin, begin of the content and end of each box of a container.

    Raises:
        ImageDecodeError: One does not lie within the file. The library would first make room for
            what it claims to hold.
    """
    begin = 0
    for _ in range(MAX_SEGMENTS):
        if begin + 8 > len(view):
            return
        length, name = read_fields(">I4s", view, begin)
        head = 8
        if length == 1:
            (length,) = read_fields(">Q", view, begin + 8)
            head = 16
        elif length == 0:
            length = len(view) - begin
        if length < head or begin + length > len(view):
            raise ImageDecodeError(
                "expected a complete JPEG XL file, got a truncated or damaged one"
            )
        yield name, begin, begin + head, begin + length
        begin += length


def _read_codestream(view: memoryview) -> bytes:
    """The first bytes of the codestream, wherever the file keeps it."""
    if bytes(view[:2]) == CODESTREAM_START:
        return bytes(view[:_HEADER_BYTES])
    parts = b""
    for name, _, begin, end in list_boxes(view):
        begin += 4 if name == b"jxlp" else 0  # A part stands behind its number.
        if name in (b"jxlc", b"jxlp") and len(parts) < _HEADER_BYTES:
            parts += bytes(view[begin : min(end, begin + _HEADER_BYTES)])
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
