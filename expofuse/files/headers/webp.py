"""Reads the header of a WebP file."""

from expofuse.errors import ImageDecodeError, UnsupportedImageError
from expofuse.files.headers.header import ImageHeader, read_fields


def parse_webp(view: memoryview) -> ImageHeader:
    """Format, size and depth of a WebP; raises as `sniff` does."""
    (name,) = read_fields("<4s", view, 12)
    if name == b"VP8X":
        flags, width_low, width_high, height_low, height_high = read_fields("<B3xHBHB", view, 20)
        if flags & 0x02:
            raise UnsupportedImageError(
                "expected a still image, got an animated WebP: save one frame as a picture"
            )
        width_px = 1 + width_low + (width_high << 16)
        height_px = 1 + height_low + (height_high << 16)
        return ImageHeader("webp", width_px, height_px, 8)
    if name == b"VP8L":
        signature, packed = read_fields("<BI", view, 20)
        if signature == 0x2F:
            return ImageHeader("webp", 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF), 8)
    if name == b"VP8 ":
        start_code, width_px, height_px = read_fields("<3x3sHH", view, 20)
        if start_code == b"\x9d\x01\x2a":
            return ImageHeader("webp", width_px & 0x3FFF, height_px & 0x3FFF, 8)
    raise ImageDecodeError("expected a valid WebP header, got a damaged one")
