"""Reads the header of a TIFF file."""

import struct
from dataclasses import dataclass

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.header import MAX_SEGMENTS, ImageHeader, read_fields

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 254, 256, 257, 258, 262
_SAMPLE_FORMAT, _DNG_VERSION = 339, 50706
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_PHOTOMETRICS = (0, 1, 2, 3, 5, 6)  # grey, RGB, palette, CMYK, YCbCr
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
        _PHOTOMETRIC,
        _SAMPLE_FORMAT,
        _DNG_VERSION,
    )
)


def _page_to_header(tags: dict[int, tuple[int, ...]]) -> ImageHeader:
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise ImageDecodeError("expected a TIFF directory with a size, got one without")
    if _DNG_VERSION in tags or tags.get(_SUBFILE, (0,))[0] & _REDUCED_OR_MASK:
        raise UnsupportedImageError("expected a TIFF picture, got a raw file")
    if (photometric := tags.get(_PHOTOMETRIC, (1,))[0]) not in _PHOTOMETRICS:
        raise UnsupportedImageError(
            "expected a grey, palette, RGB, CMYK or YCbCr TIFF, "
            f"got photometric interpretation {photometric}"
        )
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
