"""Judges a picture file from its header alone: format, pixel size and depth.

The service calls this in its event loop on untrusted bytes. So it is pure Python, calls no decoder,
and its work is bounded: a hostile file cannot make it loop over its own length. It refuses whatever
is no single picture of 8 or 16 bit integers, before such a file costs anything.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from expofuse.errors import (
    ImageDecodeError,
    MediaTypeError,
    PixelLimitError,
    UnsupportedImageError,
)

ImageFormat = Literal["jpeg", "png", "webp", "tiff"]
Depth = Literal[8, 16]

MAX_SEGMENTS = 4096
"""Segments, chunks or directory entries that are looked at; real files have at most hundreds."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an image says.

    Attributes:
        format: One of the four that are taken.
        width_px: Width as stored, before the EXIF orientation is applied.
        height_px: Height as stored.
        bits: Bits of a sample after decoding.
    """

    format: ImageFormat
    width_px: int
    height_px: int
    bits: Depth

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width_px * self.height_px

    @property
    def sides(self) -> tuple[int, int]:
        """Shorter and longer side in pixels, whichever way the orientation turns the image."""
        return min(self.width_px, self.height_px), max(self.width_px, self.height_px)


@dataclass(frozen=True, slots=True)
class PixelLimits:
    """How large an image may be.

    Attributes:
        max_pixels: Most pixels of one image.
        max_side_px: Longest side.
    """

    max_pixels: int
    max_side_px: int


def sniff(data: bytes | bytearray | memoryview) -> ImageHeader:
    """Read format, size and depth from the header of a whole upload.

    Args:
        data: The whole body of the part; a TIFF keeps its directory anywhere.

    Returns:
        The header's claims; the decoder checks them again.

    Raises:
        MediaTypeError: Not a JPEG, PNG, WebP or TIFF.
        ImageDecodeError: The header is truncated or contradicts itself.
        UnsupportedImageError: Animated, of several pages, or not of 8 or 16 bit integers.

    Example:
        >>> signature, size = "89504e470d0a1a0a 0000000d49484452", "00000002 00000003"
        >>> rest = "0802000000 00000000 00000000 49444154"
        >>> sniff(bytes.fromhex(signature + size + rest))
        ImageHeader(format='png', width_px=2, height_px=3, bits=8)
    """
    view = memoryview(data).cast("B")
    start = bytes(view[:12])
    for matches, parse in _PARSERS:
        if matches(start):
            header = parse(view)
            if header.width_px < 1 or header.height_px < 1:
                raise ImageDecodeError(
                    f"expected a {header.format} header with a size of at least 1x1 pixels, "
                    f"got {header.width_px}x{header.height_px}"
                )
            return header
    got = "other content" if start else "an empty file"
    raise MediaTypeError(f"expected a JPEG, PNG, WebP or TIFF file, got {got}")


def check_size(header: ImageHeader, limits: PixelLimits) -> None:
    """Refuse an image that is larger than the limits.

    Raises:
        PixelLimitError: Too many pixels, or too long a side.
    """
    size = f"{header.width_px}x{header.height_px}"
    if max(header.width_px, header.height_px) > limits.max_side_px:
        raise PixelLimitError(
            f"expected sides of at most {limits.max_side_px} pixels, got {size} pixels"
        )
    if header.pixels > limits.max_pixels:
        raise PixelLimitError(
            f"expected at most {limits.max_pixels} pixels, got {size} = {header.pixels} pixels"
        )


def _read(layout: str, view: memoryview, offset: int) -> tuple[Any, ...]:
    if not 0 <= offset <= len(view) - struct.calcsize(layout):
        raise ImageDecodeError("expected a complete image header, got a truncated file")
    return struct.unpack_from(layout, view, offset)


def _parse_jpeg(view: memoryview) -> ImageHeader:
    offset = 2
    for _ in range(MAX_SEGMENTS):
        prefix, marker = _read(">BB", view, offset)
        if prefix != 0xFF:
            raise ImageDecodeError("expected a JPEG marker, got other content")
        if marker == 0xFF:  # A fill byte.
            offset += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # TEM and RSTn carry no length.
            offset += 2
            continue
        (length,) = _read(">H", view, offset + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _parse_jpeg_frame(view, offset + 4, marker)
        if length < 2 or marker in (0xD8, 0xD9, 0xDA):
            break
        offset += 2 + length
    raise ImageDecodeError("expected a JPEG frame header, got none")


def _parse_jpeg_frame(view: memoryview, offset: int, marker: int) -> ImageHeader:
    # Baseline, extended and progressive, Huffman or arithmetic; not lossless or hierarchical.
    if marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
        raise UnsupportedImageError(
            f"expected a baseline or progressive JPEG, got frame type {marker - 0xC0}"
        )
    precision, height_px, width_px, components = _read(">BHHB", view, offset)
    if precision != 8:
        raise UnsupportedImageError(f"expected a JPEG of 8 bits, got {precision}")
    if components not in (1, 3, 4):
        raise UnsupportedImageError(f"expected a JPEG of 1, 3 or 4 components, got {components}")
    return ImageHeader("jpeg", width_px, height_px, 8)


_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def _parse_png(view: memoryview) -> ImageHeader:
    length, name, width_px, height_px, bits, colour = _read(">I4sIIBB", view, 8)
    if name != b"IHDR" or length != 13 or bits not in _PNG_DEPTHS.get(colour, ()):
        raise ImageDecodeError("expected a valid PNG header, got a damaged one")
    if max(width_px, height_px) >= 1 << 31:
        raise ImageDecodeError(f"expected PNG sides below 2^31, got {width_px}x{height_px}")
    offset = 8 + 12 + length
    for _ in range(MAX_SEGMENTS):
        length, name = _read(">I4s", view, offset)
        if name == b"IDAT":
            return ImageHeader("png", width_px, height_px, 16 if bits == 16 else 8)
        if name == b"acTL" and (frames := _read(">I", view, offset + 8)[0]) > 1:
            raise UnsupportedImageError(f"expected a still image, got a PNG of {frames} frames")
        offset += 12 + length
    raise ImageDecodeError("expected PNG image data, got none")


def _parse_webp(view: memoryview) -> ImageHeader:
    (name,) = _read("<4s", view, 12)
    if name == b"VP8X":
        flags, width_low, width_high, height_low, height_high = _read("<B3xHBHB", view, 20)
        if flags & 0x02:
            raise UnsupportedImageError("expected a still image, got an animated WebP")
        width_px = 1 + width_low + (width_high << 16)
        height_px = 1 + height_low + (height_high << 16)
        return ImageHeader("webp", width_px, height_px, 8)
    if name == b"VP8L":
        signature, packed = _read("<BI", view, 20)
        if signature == 0x2F:
            return ImageHeader("webp", 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF), 8)
    if name == b"VP8 ":
        start_code, width_px, height_px = _read("<3x3sHH", view, 20)
        if start_code == b"\x9d\x01\x2a":
            return ImageHeader("webp", width_px & 0x3FFF, height_px & 0x3FFF, 8)
    raise ImageDecodeError("expected a valid WebP header, got a damaged one")


_TIFF_SUBFILE, _TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS, _TIFF_PHOTOMETRIC = 254, 256, 257, 258, 262
_TIFF_SAMPLE_FORMAT, _TIFF_DNG_VERSION = 339, 50706
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_TIFF_PHOTOMETRICS = (0, 1, 2, 3, 5, 6)  # grey, RGB, palette, CMYK, YCbCr
_TIFF_MAX_PAGES = 16
_TIFF_REDUCED_OR_MASK = 1 | 4


@dataclass(frozen=True, slots=True)
class _TiffLayout:
    order: str
    count: str
    entry: str
    offset: str

    @property
    def count_bytes(self) -> int:
        return struct.calcsize(self.order + self.count)

    @property
    def entry_bytes(self) -> int:
        return struct.calcsize(self.order + self.entry) + struct.calcsize(self.order + self.offset)


def _parse_tiff(view: memoryview) -> ImageHeader:
    order = "<" if view[0] == 0x49 else ">"
    (version,) = _read(order + "H", view, 2)
    is_big = version == 43
    layout = _TiffLayout(order, "Q", "HHQ", "Q") if is_big else _TiffLayout(order, "H", "HHI", "I")
    (position,) = _read(order + layout.offset, view, 8 if is_big else 4)
    pages = []
    for _ in range(_TIFF_MAX_PAGES):
        tags, position = _read_tiff_directory(view, layout, position)
        pages.append(tags)
        if position == 0:
            break
    # Thumbnails and masks come along as pages of their own and do not count.
    full_pages = sum(
        not page.get(_TIFF_SUBFILE, (0,))[0] & _TIFF_REDUCED_OR_MASK for page in pages[1:]
    )
    if full_pages or position:
        raise UnsupportedImageError("expected a TIFF of one page, got several")
    return _tiff_page_to_header(pages[0])


def _read_tiff_directory(
    view: memoryview, layout: _TiffLayout, position: int
) -> tuple[dict[int, tuple[int, ...]], int]:
    (count,) = _read(layout.order + layout.count, view, position)
    if not 1 <= count <= MAX_SEGMENTS:
        raise ImageDecodeError(f"expected a TIFF directory of at least one entry, got {count}")
    tags = {}
    position += layout.count_bytes
    entry_bytes = layout.entry_bytes
    for start in range(position, position + count * entry_bytes, entry_bytes):
        tag, kind, values = _read(layout.order + layout.entry, view, start)
        if tag in _TIFF_TAGS and kind in _TIFF_TYPES and 1 <= values <= 8:
            form = f"{layout.order}{values}{_TIFF_TYPES[kind]}"
            field = start + entry_bytes - struct.calcsize(layout.order + layout.offset)
            if struct.calcsize(form) > struct.calcsize(layout.order + layout.offset):
                (field,) = _read(layout.order + layout.offset, view, field)
            tags[tag] = _read(form, view, field)
    (following,) = _read(layout.order + layout.offset, view, position + count * entry_bytes)
    return tags, following


_TIFF_TAGS = frozenset(
    (
        _TIFF_SUBFILE,
        _TIFF_WIDTH,
        _TIFF_HEIGHT,
        _TIFF_BITS,
        _TIFF_PHOTOMETRIC,
        _TIFF_SAMPLE_FORMAT,
        _TIFF_DNG_VERSION,
    )
)


def _tiff_page_to_header(tags: dict[int, tuple[int, ...]]) -> ImageHeader:
    if _TIFF_WIDTH not in tags or _TIFF_HEIGHT not in tags:
        raise ImageDecodeError("expected a TIFF directory with a size, got one without")
    if _TIFF_DNG_VERSION in tags or tags.get(_TIFF_SUBFILE, (0,))[0] & _TIFF_REDUCED_OR_MASK:
        raise UnsupportedImageError("expected a TIFF picture, got a raw file")
    if (photometric := tags.get(_TIFF_PHOTOMETRIC, (1,))[0]) not in _TIFF_PHOTOMETRICS:
        raise UnsupportedImageError(
            "expected a grey, palette, RGB, CMYK or YCbCr TIFF, "
            f"got photometric interpretation {photometric}"
        )
    kinds = set(tags.get(_TIFF_SAMPLE_FORMAT, (1,)))
    if kinds - {1, 4}:  # 1: unsigned integer; 4: undefined, read as such.
        raise UnsupportedImageError(
            f"expected a TIFF of unsigned integers, got sample format {max(kinds)}"
        )
    bits = set(tags.get(_TIFF_BITS, (1,)))
    if bits not in ({1}, {2}, {4}, {8}, {16}):
        raise UnsupportedImageError(
            f"expected a TIFF of 8 or 16 bits a sample, got {', '.join(map(str, sorted(bits)))}"
        )
    return ImageHeader(
        "tiff", tags[_TIFF_WIDTH][0], tags[_TIFF_HEIGHT][0], 16 if bits == {16} else 8
    )


_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PARSERS: tuple[tuple[Callable[[bytes], bool], Callable[[memoryview], ImageHeader]], ...] = (
    (lambda start: start.startswith(b"\xff\xd8\xff"), _parse_jpeg),
    (lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"), _parse_png),
    (lambda start: start.startswith(b"RIFF") and start[8:12] == b"WEBP", _parse_webp),
    (lambda start: start.startswith(_TIFF_STARTS), _parse_tiff),
)
