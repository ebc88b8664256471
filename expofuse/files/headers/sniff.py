"""Judges a picture file from its header alone: format, pixel size and depth.

The service calls this in its event loop on untrusted bytes. So it is pure Python, calls no decoder,
and its work is bounded: a hostile file cannot make it loop over its own length. It refuses whatever
is no single picture of 8 or 16 bit integers, before such a file costs anything.
"""

from collections.abc import Callable

from expofuse.errors import ImageDecodeError, MediaTypeError
from expofuse.files.headers.bmp import parse_bmp
from expofuse.files.headers.header import ImageHeader
from expofuse.files.headers.isobmff import find_item_format, parse_items, read_general_format
from expofuse.files.headers.jpeg import parse_jpeg
from expofuse.files.headers.jxl import CODESTREAM_START, CONTAINER_START, parse_jxl
from expofuse.files.headers.names import name_content
from expofuse.files.headers.png import parse_png
from expofuse.files.headers.raw import is_raw, parse_raw
from expofuse.files.headers.tiff import parse_tiff
from expofuse.files.headers.webp import parse_webp

READ_FORMATS = ("JPEG", "PNG", "WebP", "TIFF", "AVIF", "JPEG XL", "BMP", "HEIC", "camera raw")


def sniff(data: bytes | bytearray | memoryview) -> ImageHeader:
    """Read format, size and depth from the header of a whole upload.

    Args:
        data: The whole body of the part; a TIFF keeps its directory anywhere.

    Returns:
        The header's claims; the decoder checks them again.

    Raises:
        MediaTypeError: None of the formats that are read.
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
    item_format = find_item_format(start) or read_general_format(view)
    if item_format is not None:
        return _check_sides(parse_items(view, item_format).image)
    if is_raw(view):
        return _check_sides(parse_raw(view))
    for matches, parse in _PARSERS:
        if matches(start):
            return _check_sides(parse(view))
    raise MediaTypeError(
        f"expected a file of {', '.join(READ_FORMATS)}, got {name_content(bytes(view[:64]))}: "
        "export the picture as one of these"
    )


def _check_sides(header: ImageHeader) -> ImageHeader:
    if header.width_px < 1 or header.height_px < 1:
        raise ImageDecodeError(
            f"expected a {header.format} header with a size of at least 1x1 pixels, "
            f"got {header.width_px}x{header.height_px}"
        )
    return header


_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PARSERS: tuple[tuple[Callable[[bytes], bool], Callable[[memoryview], ImageHeader]], ...] = (
    (lambda start: start.startswith(b"\xff\xd8\xff"), parse_jpeg),
    (lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"), parse_png),
    (lambda start: start.startswith(b"RIFF") and start[8:12] == b"WEBP", parse_webp),
    (lambda start: start.startswith(_TIFF_STARTS), parse_tiff),
    (lambda start: start.startswith((CODESTREAM_START, CONTAINER_START)), parse_jxl),
    (lambda start: start.startswith(b"BM"), parse_bmp),
)
