"""Decodes image files to RGB pixels.

libvips does the work. It reads strips, so that decoding needs memory for a strip and not for the
picture; it keeps 16 bits through ICC and orientation; and it refuses truncated files. The sniffed
format chooses the loader, and `configure_libvips` blocks every other one. The pixels of an ordinary
JPEG go past it, see `expofuse.files.reading.jpeg_scan`.
"""

from dataclasses import dataclass

import numpy as np
import pyvips

from expofuse.errors import ImageDecodeError
from expofuse.files.formats import ImageMetadata
from expofuse.files.headers import ImageHeader, PixelLimits, check_size, sniff
from expofuse.files.pixels import STRIP_ROWS
from expofuse.files.reading.colour import (
    PROFILE,
    drop_extra_bands,
    to_srgb,
    to_three_bands,
    with_profile,
)
from expofuse.files.reading.jpeg_scan import read_scan
from expofuse.files.reading.orientation import read_orientation
from expofuse.files.reading.vips import VIPS_FAILURES, load, raise_if_out_of_memory
from expofuse.files.writing.exif import clean_exif
from model.exposure import UINT8_TO_UINT16, Pixels
from model.stance import view_stored
from model.transparency import Transparency, find_transparent

_SEVERAL_SCANS = "jpeg-multiscan"


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPixels:
    """A decoded image in this process.

    Attributes:
        pixels: RGB in sRGB, upright. Shape (H, W, 3), uint8 or uint16, C-contiguous.
        metadata: What travels on to the result.
        orientation: The EXIF orientation that they were turned upright by, 1 to 8.
        transparent: Where the image shows nothing, see `find_transparent`. Shape (H, W); None where
            it is opaque everywhere.
    """

    pixels: Pixels
    metadata: ImageMetadata
    orientation: int = 1
    transparent: Transparency | None = None


def decode(
    data: bytes | bytearray | memoryview,
    *,
    limits: PixelLimits,
    out: Pixels | None = None,
    untagged: bytes | None = None,
) -> DecodedPixels:
    """Decode an image to upright RGB pixels in sRGB.

    Orientation is applied, ICC profiles are converted to sRGB (relative colorimetric, 16 bits
    kept; a damaged profile is ignored), grey becomes RGB, CMYK is converted. Alpha is not
    composited: the pixels stay as they are, and what is transparent is said.

    Args:
        data: The whole file, untrusted.
        limits: How large it may be.
        out: Where to put the pixels: as many samples as the image has, of any shape,
            C-contiguous. A uint16 array takes images of 8 bits too, times 257. Without it an array
            of the image's own depth is made.
        untagged: ICC profile of an image that carries none; None takes it for sRGB.

    Returns:
        The pixels, a view of `out` if that was given, and the metadata.

    Raises:
        MediaTypeError, UnsupportedImageError, PixelLimitError: see `sniff` and `check_size`.
        ImageDecodeError: The file is truncated or damaged.
    """
    header = sniff(data)
    check_size(header, limits)
    transparent: Transparency | None = None
    try:
        image = load(data, header)
        metadata = ImageMetadata(_read_exif(image))
        orientation = read_orientation(image)
        if untagged is not None:
            image = with_profile(image, untagged)
        alpha = image.extract_band(image.bands - 1) if image.hasalpha() else None
        stored = drop_extra_bands(image)
        image = to_srgb(stored, bits=header.bits)
        pixels = _oriented_output(header, orientation, out)
        is_ordinary = image is stored and orientation == 1 and _has_one_scan(image)
        if not (is_ordinary and read_scan(data, pixels)):
            image = to_three_bands(image)
            if alpha is None:
                _copy_strips(image, view_stored(pixels, orientation))
            else:
                opacity = _empty(pixels.shape[:2], header.bits)
                joined = image.bandjoin(alpha.cast(image.format))
                stored_views = (view_stored(one, orientation) for one in (pixels, opacity))
                _copy_strips(joined, *stored_views)
                transparent = find_transparent(opacity)
    except VIPS_FAILURES as error:
        raise_if_out_of_memory(error)
        raise ImageDecodeError(
            f"expected a complete {header.format} file, got a truncated or damaged one"
        ) from error
    return DecodedPixels(pixels, metadata, orientation, transparent)


def read_profile(data: bytes | bytearray | memoryview) -> bytes | None:
    """The ICC profile that an image carries, None where it carries none.

    Raises:
        MediaTypeError, UnsupportedImageError: see `sniff`.
        ImageDecodeError: The header is truncated or damaged.
    """
    header = sniff(data)
    try:
        image = load(data, header)
    except VIPS_FAILURES as error:
        raise ImageDecodeError(
            f"expected a complete {header.format} header, got a truncated or damaged one"
        ) from error
    if image.get_typeof(PROFILE) == 0:
        return None
    profile: bytes = image.get(PROFILE)
    return profile


def _read_exif(image: pyvips.Image) -> bytes | None:
    if image.get_typeof("exif-data") == 0:
        return None
    return clean_exif(image.get("exif-data"))


def _has_one_scan(image: pyvips.Image) -> bool:
    """Whether an image comes from a JPEG that can be decoded from top to bottom.

    A file may have any number of scans of the whole picture; libvips bounds them.
    """
    return image.get_typeof(_SEVERAL_SCANS) != 0 and not image.get(_SEVERAL_SCANS)


def _oriented_output(header: ImageHeader, orientation: int, out: Pixels | None) -> Pixels:
    height_px, width_px = header.height_px, header.width_px
    if orientation >= 5:
        height_px, width_px = width_px, height_px
    if out is None:
        return _empty((height_px, width_px, 3), header.bits)
    if out.size != header.pixels * 3 or (header.bits == 16 and out.dtype != np.uint16):
        raise ValueError(
            f"expected room for {header.pixels * 3} samples of {header.bits} bits, "
            f"got {out.size} of {out.dtype}"
        )
    return out.reshape(height_px, width_px, 3)


def _empty(shape: tuple[int, ...], bits: int) -> Pixels:
    return np.empty(shape, np.uint16) if bits == 16 else np.empty(shape, np.uint8)


def _copy_strips(image: pyvips.Image, target: Pixels, opacity: Pixels | None = None) -> None:
    """Copy the first three bands of an image, and its last one where that is wanted."""
    region = pyvips.Region.new(image)
    scale = UINT8_TO_UINT16 if image.format == "uchar" and target.dtype == np.uint16 else 1
    source_type = np.uint8 if image.format == "uchar" else np.uint16
    for top in range(0, image.height, STRIP_ROWS):
        rows = min(STRIP_ROWS, image.height - top)
        strip = np.frombuffer(region.fetch(0, top, image.width, rows), source_type)
        strip = strip.reshape(rows, image.width, image.bands)
        colours = strip[..., :3]
        if scale == 1:
            target[top : top + rows] = colours
        else:
            np.multiply(colours, scale, out=target[top : top + rows], dtype=np.uint16)
        if opacity is not None:
            opacity[top : top + rows] = strip[..., -1]
