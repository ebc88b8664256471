"""Defines what the header of an image says, and reads it without trusting it."""

import struct
from dataclasses import dataclass
from typing import Any, Literal

from expofuse.errors import ImageDecodeError, MetadataLimitError, PixelLimitError

ImageFormat = Literal["jpeg", "png", "webp", "tiff", "avif", "bmp", "heic", "jxl", "raw"]
"""Formats that are read."""

Depth = Literal[8, 16]

MAX_SEGMENTS = 4096
"""Segments, chunks or directory entries that are looked at; real files have at most hundreds."""

MAX_METADATA_BYTES = 32 << 20
"""Of one file, before its pixels: a JPEG can hold a profile of 16 MiB; depth maps of phones take up
to 10."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an image says.

    Attributes:
        format: One of those that are taken.
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


def check_metadata(begin: int, end: int) -> None:
    """Refuse a file that has more before its pixels than is looked at; decoders would read it all.

    Args:
        begin: Where what is no picture begins.
        end: Where it ends.

    Raises:
        MetadataLimitError: More than `MAX_METADATA_BYTES`.
    """
    if end - begin > MAX_METADATA_BYTES:
        raise MetadataLimitError(
            f"expected at most {MAX_METADATA_BYTES} bytes of metadata before the picture, got "
            f"{end - begin}: save it without"
        )


def read_fields(layout: str, view: memoryview, offset: int) -> tuple[Any, ...]:
    """Unpack a fixed layout.

    Args:
        layout: As of the module `struct`.
        view: The whole file.
        offset: Where the layout begins; untrusted.

    Raises:
        ImageDecodeError: It does not lie within the file.
    """
    if not 0 <= offset <= len(view) - struct.calcsize(layout):
        raise ImageDecodeError("expected a complete image header, got a truncated file")
    return struct.unpack_from(layout, view, offset)
