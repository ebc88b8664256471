"""Reads the header of a TIFF file."""

import struct
from dataclasses import dataclass

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.header import MAX_SEGMENTS, ImageHeader, read_fields

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_PLANES, _TILE_WIDTH, _INK_SET, _SAMPLE_FORMAT, _DNG_VERSION = 284, 322, 332, 339, 50706
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_PHOTOMETRICS = (0, 1, 2, 3, 5, 6)  # grey, RGB, palette, CMYK, YCbCr
_OTHER_PHOTOMETRICS = {
    4: "a mask",
    8: "CIELAB",
    9: "ICCLAB",
    10: "ITULAB",
    32803: "a colour filter array (raw)",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear raw",
}
_JPEG = 7
_COMPRESSIONS = (1, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, 50001)
"""None, CCITT (three kinds), LZW, JPEG, deflate (two numbers), PackBits, WebP."""
_OTHER_COMPRESSIONS = {
    6: "old-style JPEG",
    9: "JBIG",
    10: "JBIG",
    32766: "NeXT",
    32771: "CCITT RLE by words",
    32809: "ThunderScan",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI Log",
    34677: "SGI Log 24",
    34712: "JPEG 2000",
    34713: "Nikon NEF",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34925: "LZMA",
    34926: "zstd",
    50000: "zstd",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_SAVE_AS = "save it as RGB of 8 or 16 bits with LZW or deflate"
_PHASE_ONE_MARKS = (b"IIII", b"MMMM")
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
    if bytes(view[8:12]) in _PHASE_ONE_MARKS:
        raise UnsupportedImageError(
            "expected a TIFF picture, got a raw file (IIQ): develop it and save it as TIFF or JPEG"
        )
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
        raise UnsupportedImageError(
            "expected a TIFF of one page, got several: save the page to fuse on its own"
        )
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
        _PLANES,
        _TILE_WIDTH,
        _INK_SET,
        _SAMPLE_FORMAT,
        _DNG_VERSION,
    )
)


def _page_to_header(tags: dict[int, tuple[int, ...]]) -> ImageHeader:
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise ImageDecodeError("expected a TIFF directory with a size, got one without")
    if _DNG_VERSION in tags or tags.get(_SUBFILE, (0,))[0] & _REDUCED_OR_MASK:
        raise UnsupportedImageError(
            "expected a TIFF picture, got a raw file or a thumbnail: "
            "develop it and save it as TIFF or JPEG"
        )
    compression = tags.get(_COMPRESSION, (1,))[0]
    if compression not in _COMPRESSIONS:
        name = _OTHER_COMPRESSIONS.get(compression, f"number {compression}")
        raise UnsupportedImageError(
            "expected a TIFF without compression or with LZW, deflate, PackBits, JPEG, WebP or "
            f"CCITT, got compression {name}: {_SAVE_AS}"
        )
    _check_colours(tags, compression)
    if tags.get(_PLANES, (1,))[0] == 2 and _TILE_WIDTH in tags:
        raise UnsupportedImageError(
            f"expected a TIFF in strips or of one plane, got tiles of separate planes: {_SAVE_AS}"
        )
    kinds = set(tags.get(_SAMPLE_FORMAT, (1,)))
    if kinds - {1, 4}:  # 1: unsigned integer; 4: undefined, read as such.
        name = {2: "signed integers", 3: "floating point"}.get(max(kinds), "complex numbers")
        raise UnsupportedImageError(f"expected a TIFF of unsigned integers, got {name}: {_SAVE_AS}")
    bits = set(tags.get(_BITS, (1,)))
    if bits not in ({1}, {2}, {4}, {8}, {16}):
        raise UnsupportedImageError(
            "expected a TIFF of 8 or 16 bits a sample, "
            f"got {', '.join(map(str, sorted(bits)))}: {_SAVE_AS}"
        )
    return ImageHeader("tiff", tags[_WIDTH][0], tags[_HEIGHT][0], 16 if bits == {16} else 8)


def _check_colours(tags: dict[int, tuple[int, ...]], compression: int) -> None:
    photometric = tags.get(_PHOTOMETRIC, (1,))[0]
    name = _OTHER_PHOTOMETRICS.get(photometric, f"photometric interpretation {photometric}")
    if photometric == 6 and compression != _JPEG:
        # libtiff gives the samples as they are, and they would be shown as if they were RGB.
        name = "YCbCr without JPEG compression"
    elif photometric == 5 and tags.get(_INK_SET, (1,))[0] != 1:
        name = "inks other than CMYK"
    elif photometric in _PHOTOMETRICS:
        return
    raise UnsupportedImageError(
        f"expected a grey, palette, RGB or CMYK TIFF, or YCbCr with JPEG, got {name}: {_SAVE_AS}"
    )
