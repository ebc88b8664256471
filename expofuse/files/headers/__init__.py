"""What the header of a picture file says, before any decoder sees the file."""

from expofuse.files.headers.header import (
    MAX_SEGMENTS,
    Depth,
    ImageFormat,
    ImageHeader,
    PixelLimits,
    check_size,
)
from expofuse.files.headers.sniff import sniff

__all__ = [
    "MAX_SEGMENTS",
    "Depth",
    "ImageFormat",
    "ImageHeader",
    "PixelLimits",
    "check_size",
    "sniff",
]
