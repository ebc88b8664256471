"""Reads the header of a BMP file."""

from expofuse.errors import UnsupportedImageError
from expofuse.files.headers.header import ImageHeader, read_fields

_DEPTHS = (1, 4, 8, 24, 32)
_UNCOMPRESSED, _RUN_LENGTH_8, _RUN_LENGTH_4, _MASKS = 0, 1, 2, 3


def parse_bmp(view: memoryview) -> ImageHeader:
    """Format, size and depth of a BMP; raises as `sniff` does."""
    (head_bytes,) = read_fields("<I", view, 14)
    if head_bytes == 12:
        width_px, height_px, _, bits = read_fields("<HHHH", view, 18)
        compression = _UNCOMPRESSED
    else:
        width_px, height_px, _, bits, compression = read_fields("<iiHHI", view, 18)
    if bits not in _DEPTHS or compression not in (
        _UNCOMPRESSED,
        _RUN_LENGTH_8,
        _RUN_LENGTH_4,
        _MASKS,
    ):
        raise UnsupportedImageError(
            f"expected a BMP of 1, 4, 8, 24 or 32 bits a pixel, got {bits} with compression "
            f"{compression}: save it as PNG"
        )
    return ImageHeader("bmp", max(width_px, 0), abs(height_px), 8)
