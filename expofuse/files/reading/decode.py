"""Decodes image files to RGB pixels.

libvips does the work. It reads strips, so that decoding needs memory for a strip and not for the
picture; it keeps 16 bits through ICC and orientation; and it refuses truncated files. The sniffed
format chooses the loader, and `configure_libvips` blocks every other one. The pixels of a JPEG go
past it, see `expofuse.files.reading.jpeg_scan`.
"""

from dataclasses import dataclass

import numpy as np
import pyvips

from expofuse.errors import ImageDecodeError
from expofuse.files.formats import ImageMetadata
from expofuse.files.headers import ImageHeader, PixelLimits, check_size, sniff
from expofuse.files.pixels import STRIP_ROWS
from expofuse.files.reading.colour import drop_extra_bands, tag, to_srgb, to_three_bands
from expofuse.files.reading.colour_signs import find_profile
from expofuse.files.reading.jpeg_repair import JpegStructure, read_structure
from expofuse.files.reading.jpeg_scan import read_scan
from expofuse.files.reading.open_image import open_image
from expofuse.files.reading.orientation import read_orientation
from expofuse.files.reading.vips import (
    EXIF,
    PROFILE,
    VIPS_FAILURES,
    load,
    raise_if_out_of_memory,
    read_blob,
)
from model.exposure import UINT8_TO_UINT16, Pixels
from model.stance import view_stored
from model.transparency import Transparency, find_transparent

MAX_EXIF_BYTES = 1 << 20
"""A larger block is left behind: it holds previews, not settings."""


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
    structure = read_structure(data) if header.format == "jpeg" else None
    transparent: Transparency | None = None
    try:
        image = open_image(data if structure is None else structure.data, header)
        exif, orientation = read_blob(image, EXIF), read_orientation(image)
        profile = find_profile(memoryview(data), header, icc=read_blob(image, PROFILE), exif=exif)
        alpha = image.extract_band(image.bands - 1) if image.hasalpha() else None
        stored = tag(drop_extra_bands(image), untagged if profile is None else profile)
        pixels = _oriented_output(header, orientation, out)
        if structure is not None:
            stored = _decode_scan(stored, structure, header, orientation, pixels)
        if stored is not None:
            opacity = None if alpha is None else _empty(pixels.shape[:2], header.bits)
            _write_upright(to_srgb(stored, bits=header.bits), alpha, orientation, pixels, opacity)
            transparent = None if opacity is None else find_transparent(opacity)
    except VIPS_FAILURES as error:
        raise_if_out_of_memory(error)
        raise ImageDecodeError(
            f"expected a complete {header.format} file, got a truncated or damaged one"
        ) from error
    extras = () if structure is None else structure.extras
    return DecodedPixels(
        pixels, ImageMetadata(_bounded(exif), profile, extras), orientation, transparent
    )


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
    return read_blob(image, PROFILE)


def _decode_scan(
    image: pyvips.Image,
    structure: JpegStructure,
    header: ImageHeader,
    orientation: int,
    pixels: Pixels,
) -> pyvips.Image | None:
    """Decode a JPEG past libvips: into the pixels where nothing else is to be done with it.

    Returns:
        The image that is still to be brought to sRGB and turned; None where the pixels are there.
    """
    is_plain = image.bands != 4 and to_srgb(image, bits=header.bits) is image
    if is_plain and orientation == 1 and pixels.dtype == np.uint8:
        levels = read_scan(structure, header, bands=3, out=np.asarray(pixels, np.uint8))
        return image if levels is None else None
    levels = read_scan(structure, header, bands=image.bands)
    if levels is None or image.bands == 4:  # libvips knows which CMYK files are inverted.
        return image
    decoded = pyvips.Image.new_from_memory(
        levels, header.width_px, header.height_px, image.bands, "uchar"
    )
    return tag(decoded.copy(interpretation=image.interpretation), read_blob(image, PROFILE))


def _write_upright(
    image: pyvips.Image,
    alpha: pyvips.Image | None,
    orientation: int,
    pixels: Pixels,
    opacity: Pixels | None,
) -> None:
    """Write grey or R, G and B where the stored pixels go, and alpha to the opacity."""
    image = to_three_bands(image)
    if alpha is not None:
        image = image.bandjoin(alpha.cast(image.format))
    _copy_strips(
        image,
        view_stored(pixels, orientation),
        None if opacity is None else view_stored(opacity, orientation),
    )


def _bounded(exif: bytes | None) -> bytes | None:
    return None if exif is None or len(exif) > MAX_EXIF_BYTES else exif


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
