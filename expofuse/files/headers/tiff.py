"""Reads the header of a TIFF file."""

import struct
from dataclasses import dataclass

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.header import MAX_SEGMENTS, ImageHeader, read_fields

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_SAMPLE_FORMAT, _DNG_VERSION = 339, 50706
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}

_NO_COMPRESSION, _JPEG, _YCBCR = 1, 7, 6
_COMPRESSIONS = (_NO_COMPRESSION, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, 50001)
"""Besides none: CCITT, LZW, JPEG, deflate, PackBits and WebP."""
_OTHER_COMPRESSIONS = {
    6: "the JPEG of TIFF 6.0, which was given up",
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT",
    32809: "ThunderScan",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of raw files",
    34925: "LZMA",
    50000: "Zstandard",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_PHOTOMETRICS = (0, 1, 2, 3, 5, _YCBCR)  # grey, palette, RGB, CMYK
_OTHER_PHOTOMETRICS = {
    4: "a transparency mask",
    8: "CIELAB",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "the mosaic of a raw file",
    32844: "LogL",
    32845: "LogLuv",
    34892: "the linear data of a raw file",
}
_SAVE_AS = "save it as RGB with LZW or deflate compression, or as PNG"
_MAX_PAGES = 16
_REDUCED_OR_MASK = 1 | 4


@dataclass(frozen=True, slots=True)
class _Layout:
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


def parse_tiff(view: memoryview) -> ImageHeader:
    """Format, size and depth of a TIFF; raises as `sniff` does."""
    order = "<" if view[0] == 0x49 else ">"
    (version,) = read_fields(order + "H", view, 2)
    is_big = version == 43
    layout = _Layout(order, "Q", "HHQ", "Q") if is_big else _Layout(order, "H", "HHI", "I")
    (position,) = read_fields(order + layout.offset, view, 8 if is_big else 4)
    pages = []
    for _ in range(_MAX_PAGES):
        tags, position = _read_directory(view, layout, position)
        pages.append(tags)
        if position == 0:
            break
    # Thumbnails and masks come along as pages of their own and do not count.
    full_pages = sum(not page.get(_SUBFILE, (0,))[0] & _REDUCED_OR_MASK for page in pages[1:])
    if full_pages or position:
        raise UnsupportedImageError("expected a TIFF of one page, got several")
    return _page_to_header(pages[0])


def _read_directory(
    view: memoryview, layout: _Layout, position: int
) -> tuple[dict[int, tuple[int, ...]], int]:
    (count,) = read_fields(layout.order + layout.count, view, position)
    if not 1 <= count <= MAX_SEGMENTS:
        raise ImageDecodeError(f"expected a TIFF directory of at least one entry, got {count}")
    tags = {}
    position += layout.count_bytes
    entry_bytes = layout.entry_bytes
    for start in range(position, position + count * entry_bytes, entry_bytes):
        tag, kind, values = read_fields(layout.order + layout.entry, view, start)
        if tag in _TAGS and kind in _TYPES and 1 <= values <= 8:
            form = f"{layout.order}{values}{_TYPES[kind]}"
            field = start + entry_bytes - struct.calcsize(layout.order + layout.offset)
            if struct.calcsize(form) > struct.calcsize(layout.order + layout.offset):
                (field,) = read_fields(layout.order + layout.offset, view, field)
            tags[tag] = read_fields(form, view, field)
    (following,) = read_fields(layout.order + layout.offset, view, position + count * entry_bytes)
    return tags, following


_TAGS = frozenset(
    (
        _SUBFILE,
        _WIDTH,
        _HEIGHT,
        _BITS,
        _COMPRESSION,
        _PHOTOMETRIC,
        _SAMPLE_FORMAT,
        _DNG_VERSION,
    )
)


def _check_readable(tags: dict[int, tuple[int, ...]]) -> None:
    """Refuse by name what the decoder does not have, or would show in wrong colours."""
    photometric = tags.get(_PHOTOMETRIC, (1,))[0]
    if photometric not in _PHOTOMETRICS:
        name = _OTHER_PHOTOMETRICS.get(photometric, f"photometric interpretation {photometric}")
        raise UnsupportedImageError(
            f"expected a grey, palette, RGB or CMYK TIFF, got {name}: {_SAVE_AS}"
        )
    compression = tags.get(_COMPRESSION, (_NO_COMPRESSION,))[0]
    if compression not in _COMPRESSIONS:
        name = _OTHER_COMPRESSIONS.get(compression, f"number {compression}")
        raise UnsupportedImageError(
            "expected a TIFF with LZW, deflate, PackBits, JPEG, WebP, CCITT or no compression, "
            f"got {name}: {_SAVE_AS}"
        )
    if photometric == _YCBCR and compression != _JPEG:
        raise UnsupportedImageError(
            f"expected a YCbCr TIFF with JPEG compression only, got another: {_SAVE_AS}"
        )


def _page_to_header(tags: dict[int, tuple[int, ...]]) -> ImageHeader:
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise ImageDecodeError("expected a TIFF directory with a size, got one without")
    if _DNG_VERSION in tags or tags.get(_SUBFILE, (0,))[0] & _REDUCED_OR_MASK:
        raise UnsupportedImageError(
            "expected a TIFF picture, got a raw file (DNG, NEF, ARW or the like): develop it first"
        )
    _check_readable(tags)
    kinds = set(tags.get(_SAMPLE_FORMAT, (1,)))
    if kinds - {1, 4}:  # 1: unsigned integer; 4: undefined, read as such.
        raise UnsupportedImageError(
            f"expected a TIFF of unsigned integers, got sample format {max(kinds)}"
        )
    bits = set(tags.get(_BITS, (1,)))
    if bits not in ({1}, {2}, {4}, {8}, {16}):
        raise UnsupportedImageError(
            f"expected a TIFF of 8 or 16 bits a sample, got {', '.join(map(str, sorted(bits)))}"
        )
    return ImageHeader("tiff", tags[_WIDTH][0], tags[_HEIGHT][0], 16 if bits == {16} else 8)
