"""Decodes image files to RGB pixels.

libvips does the work. It reads strips, so that decoding needs memory for a strip and not for the
picture; it keeps 16 bits through ICC and orientation; and it refuses truncated files. The sniffed
format chooses the loader, and `configure_libvips` blocks every other one. The pixels of a JPEG go
past it, see `expofuse.files.reading.jpeg.scan`; it then converts their colours.
"""

from dataclasses import dataclass
from itertools import chain
from typing import cast

import numpy as np
import pyvips

from expofuse.errors import ImageDecodeError
from expofuse.files.device.jpeg import DeviceJpeg
from expofuse.files.exif import rebuild_exif
from expofuse.files.formats import ImageMetadata
from expofuse.files.headers import ImageHeader, PixelLimits, check_size, sniff
from expofuse.files.pixels import STRIP_ROWS
from expofuse.files.reading.colours.convert import (
    choose_sign,
    drop_extra_bands,
    to_srgb,
    to_three_bands,
)
from expofuse.files.reading.colours.signs import ColourSign, collect_signs
from expofuse.files.reading.dropped import find_dropped
from expofuse.files.reading.jpeg.scan import check_scan, damaged_jpeg, read_scan
from expofuse.files.reading.jpeg.stream import tidy
from expofuse.files.reading.jpeg.tiff_strips import check_strips
from expofuse.files.reading.open_image import open_image
from expofuse.files.reading.orientation import read_orientation
from expofuse.files.reading.raw import develop
from expofuse.files.reading.vips import (
    EXIF,
    PROFILE,
    VIPS_FAILURES,
    load,
    raise_if_out_of_memory,
    read_blob,
)
from expofuse.files.white_balance import WhiteBalance
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
        white_balance: Of a raw file, what it was developed with; None for others.
    """

    pixels: Pixels
    metadata: ImageMetadata
    orientation: int = 1
    transparent: Transparency | None = None
    white_balance: WhiteBalance | None = None


def decode(
    data: bytes | bytearray | memoryview,
    *,
    limits: PixelLimits,
    out: Pixels | None = None,
    untagged: bytes | None = None,
    white_balance: WhiteBalance | None = None,
    device: DeviceJpeg | None = None,
) -> DecodedPixels:
    """Decode an image to upright RGB pixels in sRGB.

    Orientation is applied. Colours that the file describes are converted to sRGB (relative
    colorimetric, 16 bits kept), see `expofuse.files.reading.colours.signs`; a damaged profile is
    ignored. Grey becomes RGB, CMYK is converted. Alpha is not composited: the pixels stay as they
    are, and what is transparent is said.

    Args:
        data: The whole file, untrusted.
        limits: How large it may be.
        out: Where to put the pixels: as many samples as the header says, of any shape,
            C-contiguous; a raw file may turn out smaller. A uint16 array takes images of 8 bits
            too, times 257. Without it an array of the image's own depth is made.
        untagged: ICC profile of an image without a sign of its colours; None takes it for sRGB.
        white_balance: Of a raw file; None takes the camera's.
        device: What decodes the pixels of those JPEG files that it takes; None: the CPU all.

    Returns:
        The pixels, a view of `out` if that was given, and the metadata.

    Raises:
        MediaTypeError, PixelLimitError: see `sniff` and `check_size`.
        UnsupportedImageError: see `sniff` and `collect_signs`.
        ImageDecodeError: The file is truncated or damaged.
    """
    header = sniff(data)
    check_size(header, limits)
    if header.format == "raw":
        return _develop(data, header, out, white_balance)
    opacity: Pixels | None = None
    try:
        image = open_image(data, header)
        exif, orientation = read_blob(image, EXIF), read_orientation(image)
        colours = drop_extra_bands(image)
        signs = chain(collect_signs(data, header, colours), [ColourSign(untagged, untagged)])
        sign = choose_sign(signs, bands=colours.bands)
        pixels = _oriented_output(header, orientation, out)
        stored = view_stored(pixels, orientation)
        if header.format == "jpeg":
            _read_jpeg(tidy(data), header, sign, stored, bands=colours.bands, device=device)
        else:
            if header.format == "tiff":
                check_strips(data)
            converted = to_three_bands(to_srgb(colours, sign, bits=header.bits))
            if image.hasalpha():
                opacity = _empty(pixels.shape[:2], header.bits)
                alpha = image.extract_band(image.bands - 1).cast(converted.format)
                _copy_strips(converted.bandjoin(alpha), stored, view_stored(opacity, orientation))
            else:
                _copy_strips(converted, stored)
    except VIPS_FAILURES as error:
        raise_if_out_of_memory(error)
        raise ImageDecodeError(
            f"expected a complete {header.format} file, got a truncated or damaged one: "
            "copy or export it again"
        ) from error
    kept_exif = None if exif is None or len(exif) > MAX_EXIF_BYTES else exif
    metadata = ImageMetadata(kept_exif, sign.kept, find_dropped(data, header))
    transparent = None if opacity is None else find_transparent(opacity)
    return DecodedPixels(pixels, metadata, orientation, transparent)


def read_profile(data: bytes | bytearray | memoryview) -> bytes | None:
    """The ICC profile that an image carries, None where it carries none.

    Raises:
        MediaTypeError, UnsupportedImageError: see `sniff`.
        ImageDecodeError: The header is truncated or damaged.
    """
    header = sniff(data)
    if header.format == "raw":  # It is developed to sRGB.
        return None
    try:
        image = open_image(data, header)
    except VIPS_FAILURES as error:
        raise ImageDecodeError(
            f"expected a complete {header.format} header, got a truncated or damaged one"
        ) from error
    return read_blob(image, PROFILE)


def _develop(
    data: bytes | bytearray | memoryview,
    header: ImageHeader,
    out: Pixels | None,
    white_balance: WhiteBalance | None,
) -> DecodedPixels:
    developed = develop(data, header, white_balance=white_balance)
    pixels: Pixels = developed.pixels
    height_px, width_px = pixels.shape[:2]
    if out is not None:
        room = out.reshape(-1)[: pixels.size].reshape(pixels.shape)
        room[...] = pixels
        pixels = room
    exif = developed.exif
    if exif is not None:
        # A block of its own: what was read is the whole file.
        exif = rebuild_exif(exif, width_px=width_px, height_px=height_px)
    return DecodedPixels(pixels, ImageMetadata(exif), white_balance=developed.white_balance)


def _read_jpeg(
    file: bytes,
    header: ImageHeader,
    sign: ColourSign,
    stored: Pixels,
    *,
    bands: int,
    device: DeviceJpeg | None,
) -> None:
    """Decode a JPEG whose header is in order; straight to its place where that can be."""
    is_place = stored.flags.c_contiguous and stored.dtype == np.uint8
    is_at_once = bands < 4 and is_place and sign.profile is None
    if is_at_once and read_scan(file, stored, device=device):
        return
    if bands < 4:
        shape = (header.height_px, header.width_px, bands)
        samples = stored if is_place and bands == 3 else np.empty(shape, np.uint8)
        if read_scan(file, samples, space="RGB" if bands == 3 else "GRAY", device=device):
            _convert_strips(samples, sign, stored)
            return
    else:
        check_scan(file)
        if device is not None:
            device.leave()
    image = drop_extra_bands(load(file, header, fail_on="warning"))
    try:
        _copy_strips(to_three_bands(to_srgb(image, sign, bits=8)), stored)
    except VIPS_FAILURES as error:
        raise_if_out_of_memory(error)
        raise damaged_jpeg() from error


def _convert_strips(samples: Pixels, sign: ColourSign, stored: Pixels) -> None:
    """Bring decoded samples to sRGB, and where they belong; this may be where they are."""
    rows, width_px, bands = samples.shape
    for top in range(0, rows, STRIP_ROWS):
        place = stored[top : top + STRIP_ROWS]
        if sign.profile is None:
            _put_strip(samples[top : top + STRIP_ROWS], place)
            continue
        # A copy: libvips reads it while the converted strip takes its place.
        strip = samples[top : top + STRIP_ROWS].copy()
        part = pyvips.Image.new_from_memory(strip, width_px, strip.shape[0], bands, "uchar")
        part = part.copy(interpretation="srgb" if bands == 3 else "b-w")
        converted = to_three_bands(to_srgb(part, sign, bits=8))
        _copy_strips(converted, place)


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
    source_type = np.uint8 if image.format == "uchar" else np.uint16
    for top in range(0, image.height, STRIP_ROWS):
        rows = min(STRIP_ROWS, image.height - top)
        strip = np.frombuffer(region.fetch(0, top, image.width, rows), source_type)
        strip = strip.reshape(rows, image.width, image.bands)
        if opacity is not None:
            opacity[top : top + rows] = strip[..., -1]
        _put_strip(cast("Pixels", strip[..., :3]), target[top : top + rows])


def _put_strip(strip: Pixels, place: Pixels) -> None:
    """Copy samples to where they belong; 8 bits become 16 there by times 257, grey becomes RGB."""
    if strip.dtype == place.dtype:
        place[...] = strip
    else:
        np.multiply(strip, UINT8_TO_UINT16, out=place, dtype=np.uint16)
