"""Checks the strips of a TIFF that are JPEG streams; libtiff fills what is missing with grey."""

from expofuse.files.reading.colours.exif_tags import (
    COMPRESSION,
    JPEG_TABLES,
    STRIP_BYTES,
    STRIP_OFFSETS,
    TILE_BYTES,
    TILE_OFFSETS,
    read_exif_tags,
)
from expofuse.files.reading.jpeg.scan import check_scan
from expofuse.files.reading.jpeg.stream import tidy

_JPEG = 7


def check_strips(data: bytes | bytearray | memoryview) -> None:
    """Refuse a TIFF with a damaged JPEG in one of its strips or tiles; others pass.

    The tables that all strips share come first in each stream (TIFF technical note 2).

    Args:
        data: The whole file.

    Raises:
        ImageDecodeError: The data of a strip is missing, damaged or inserted.
    """
    tags = read_exif_tags(data)
    if tags.image.get(COMPRESSION, (0,))[0] != _JPEG:
        return
    view = memoryview(data).cast("B")
    offsets = tags.image.get(TILE_OFFSETS) or tags.image.get(STRIP_OFFSETS, ())
    sizes = tags.image.get(TILE_BYTES) or tags.image.get(STRIP_BYTES, ())
    tables = tags.words.get(JPEG_TABLES, b"").removesuffix(b"\xff\xd9")
    for offset, size in zip(offsets, sizes, strict=False):
        strip = bytes(view[int(offset) : int(offset) + int(size)])
        check_scan(tidy((tables or b"\xff\xd8") + strip.removeprefix(b"\xff\xd8")))
