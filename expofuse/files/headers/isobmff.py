"""Reads the header of AVIF and HEIC files: boxes of ISO/IEC 14496-12, items of 23008-12."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.boxes import list_boxes
from expofuse.files.headers.header import ImageHeader, read_fields

MAX_BITS = 16
"""Of a sample, that either format has."""

ItemFormat = Literal["avif", "heic"]

_BRANDS: dict[bytes, ItemFormat] = {
    b"avif": "avif",
    b"heic": "heic",
    b"heix": "heic",
    b"heim": "heic",
    b"heis": "heic",
}
_SEQUENCES: dict[bytes, ItemFormat] = {
    b"avis": "avif",
    b"hevc": "heic",
    b"hevx": "heic",
    b"msf1": "heic",
}
_GENERAL = b"mif1"
_MAX_ITEMS = 4096


@dataclass(frozen=True, slots=True)
class ItemHeader:
    """What a file says of its primary picture.

    Attributes:
        image: Format, size after the file's own rotation, and depth.
        bits: Bits of a sample in the file.
        code_points: Primaries and transfer of ITU-T H.273, and whether levels are full; None where
            the file does not say.
    """

    image: ImageHeader
    bits: int
    code_points: tuple[int, int, bool] | None


def find_item_format(start: bytes) -> ItemFormat | None:
    """The format that the brand of a file names; None where it is another kind of file.

    Example:
        >>> find_item_format(bytes.fromhex("0000001c") + b"ftypavif")
        'avif'
    """
    if start[4:8] != b"ftyp":
        return None
    return (_BRANDS | _SEQUENCES).get(start[8:12])


def read_general_format(view: memoryview) -> ItemFormat | None:
    """The format of a file of the general brand, by its compatible ones."""
    if len(view) < 16 or bytes(view[4:12]) != b"ftyp" + _GENERAL:
        return None
    (length,) = struct.unpack_from(">I", view, 0)
    brands = bytes(view[16 : min(length, 256)])
    found = (_BRANDS.get(brands[at : at + 4]) for at in range(0, len(brands), 4))
    return next((one for one in found if one is not None), None)


def parse_items(view: memoryview, image_format: ItemFormat) -> ItemHeader:
    """The primary picture of a file; raises as `sniff` does."""
    if bytes(view[8:12]) in _SEQUENCES:
        raise UnsupportedImageError(f"expected a still image, got a sequence of {image_format}")
    meta = _find(view, 0, len(view), b"meta")
    begin, end = meta[0] + 4, meta[1]
    pitm = _find(view, begin, end, b"pitm")
    version = view[pitm[0]] if pitm[0] < pitm[1] else 0
    (primary,) = read_fields(">H" if version == 0 else ">I", view, pitm[0] + 4)
    iprp = _find(view, begin, end, b"iprp")
    ipco = _find(view, *iprp, b"ipco")
    properties = list(_list_boxes(view, *ipco))
    chosen = [
        properties[index - 1]
        for index in _list_associations(view, _find(view, *iprp, b"ipma"), primary)
        if 1 <= index <= len(properties)
    ]
    return _to_header(view, chosen, image_format)


def _to_header(
    view: memoryview, properties: list[tuple[bytes, int, int]], image_format: ItemFormat
) -> ItemHeader:
    size: tuple[int, int] | None = None
    bits, turns = 8, 0
    code_points = None
    for name, begin, end in properties:
        if name == b"ispe":
            width, height = read_fields(">II", view, begin + 4)
            size = (width, height)
        elif name == b"clap":
            # Encoders work in whole blocks; the picture is what is cut from them.
            width, wide_by, height, high_by = read_fields(">IIII", view, begin)
            if wide_by and high_by:
                size = (width // wide_by, height // high_by)
        elif name == b"pixi":
            (channels,) = read_fields(">B", view, begin + 4)
            bits = max([bits, *bytes(view[begin + 5 : min(begin + 5 + channels, end)])])
        elif name == b"av1C":  # AV1 in ISOBMFF, 2.3.3
            (flags,) = read_fields(">B", view, begin + 2)
            bits = max(bits, 8 + 2 * bool(flags & 0x40) + 2 * bool(flags & 0x20))
        elif name == b"hvcC":  # ISO/IEC 14496-15, 8.3.3.1
            (luma,) = read_fields(">B", view, begin + 17)
            bits = max(bits, 8 + (luma & 7))
        elif name == b"irot":
            turns = read_fields(">B", view, begin)[0] & 3
        elif name == b"colr" and bytes(view[begin : begin + 4]) == b"nclx":
            primaries, transfer, _, flags = read_fields(">HHHB", view, begin + 4)
            code_points = (primaries, transfer, bool(flags & 0x80))
    if size is None:
        raise ImageDecodeError(f"expected a {image_format} header with a size, got one without")
    if bits > MAX_BITS:
        raise ImageDecodeError(
            f"expected a {image_format} of at most {MAX_BITS} bits a sample, its header says {bits}"
        )
    if turns % 2:
        size = size[::-1]
    header = ImageHeader(image_format, *size, 8 if bits == 8 else 16)
    return ItemHeader(header, bits, code_points)


def _list_boxes(view: memoryview, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of the content of each box, up to one that is not whole."""
    for box in list_boxes(view, begin, end):
        if box.is_whole:
            yield box.name, box.content, box.end


def _find(view: memoryview, begin: int, end: int, name: bytes) -> tuple[int, int]:
    for found, inner, outer in _list_boxes(view, begin, end):
        if found == name:
            return inner, outer
    raise ImageDecodeError(
        f"expected an image file with the box {name.decode()}, got a truncated or damaged one"
    )


def _list_associations(view: memoryview, box: tuple[int, int], item: int) -> list[int]:
    """Numbers, from 1, of the properties of an item."""
    at, end = box
    (head,) = read_fields(">I", view, at)
    version, is_wide = head >> 24, bool(head & 1)
    (count,) = read_fields(">I", view, at + 4)
    at += 8
    for _ in range(min(count, _MAX_ITEMS)):
        number, entries = read_fields(">HB" if version < 1 else ">IB", view, at)
        at += 3 if version < 1 else 5
        if at + entries * (2 if is_wide else 1) > end:
            break
        form = f">{entries}{'H' if is_wide else 'B'}"
        indices = read_fields(form, view, at) if entries else ()
        if number == item:
            return [index & (0x7FFF if is_wide else 0x7F) for index in indices]
        at += struct.calcsize(form)
    return []
