"""Encodes pixels to image files by libvips; JPEG XL by its own library, JPEG maybe on a device."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import pyvips
from pyvips import ForeignKeep

from expofuse.errors import EncodeError
from expofuse.files.device.jpeg import DeviceJpeg
from expofuse.files.exif import rebuild_exif
from expofuse.files.formats import EncodeOptions, ImageMetadata, check_encodable
from expofuse.files.pixels import to_depth
from expofuse.files.reading.vips import (
    EXIF,
    PROFILE,
    VIPS_FAILURES,
    raise_if_out_of_memory,
    read_blob,
)
from expofuse.files.writing.jpeg_segments import add_metadata
from expofuse.files.writing.jxl import encode_jxl
from model.exposure import Pixels

PNG_COMPRESSION, PNG_FILTER = 3, "sub"
"""On 12 megapixels 0.25 s and 13.1 MB; level 6 takes 0.84 s for 5 % less."""
TIFF_COMPRESSION_LEVEL = 3
WEBP_EFFORT = 2
"""On 12 megapixels 0.4 s; the usual 4 takes 0.9 s for 2.5 % less."""
AVIF_EFFORT = 0
"""On 12 megapixels 2.3 s of a core; 1 takes 4 s for the same size, 4 takes 80 s for 30 % less."""

_SUBSAMPLE_MODES = {"auto": "auto", "444": "off", "420": "on"}
WHOLE_CHROMA_QUALITY = 90
"""From this quality on libvips' `auto` keeps the chroma of a JPEG whole."""

_SPACE, _RGB = slice(16, 20), b"RGB "


def encode(
    pixels: Pixels,
    *,
    options: EncodeOptions,
    metadata: ImageMetadata,
    device: DeviceJpeg | None = None,
) -> bytes:
    """Encode RGB pixels, tagged as sRGB or with the profile that is kept.

    16 bits become fewer by rounding to the nearest, where the format or the options ask for it.
    EXIF is written to all but TIFF, whose writer has no place for it. A profile that is not of RGB,
    or that colours cannot be brought back to, is not kept.

    Args:
        pixels: RGB in sRGB. Shape (H, W, 3), uint8 or uint16.
        options: Format, quality, depth and the others.
        metadata: Of the reference exposure.
        device: What encodes JPEG files, but progressive ones; where it fails, libvips does.

    Returns:
        The file.

    Raises:
        OptionError: The format cannot meet the options for this size.
        EncodeError: The encoder failed.
    """
    height_px, width_px = pixels.shape[:2]
    check_encodable(options, width_px=width_px, height_px=height_px)
    bits = options.choose_bits(16 if pixels.dtype == np.uint16 else 8)
    samples: Pixels = np.require(to_depth(pixels, 8 if bits == 8 else 16), requirements="C")
    image = pyvips.Image.new_from_memory(
        samples, width_px, height_px, 3, "uchar" if bits == 8 else "ushort"
    ).copy(interpretation="srgb" if bits == 8 else "rgb16")
    if options.format != "jpeg":
        device = None
    try:
        kept = options.profile == "keep" and metadata.profile is not None
        if kept and metadata.profile is not None and metadata.profile[_SPACE] == _RGB:
            try:
                converted = _to_profile(image, metadata.profile)
                return _save_with_exif(converted, options, metadata, bits, device)
            except VIPS_FAILURES as error:  # A profile that is for reading only.
                raise_if_out_of_memory(error)
        return _save_with_exif(image, options, metadata, bits, device, samples)
    except VIPS_FAILURES as error:
        raise_if_out_of_memory(error)
        raise EncodeError(f"expected {options.format} to be written, got a failure") from error


def _to_profile(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    """Bring sRGB back to a profile, and attach it."""
    with _as_file(profile) as path:
        if image.format == "uchar":
            converted = image.icc_transform(path, input_profile="srgb", intent="relative", depth=8)
        else:
            in_lab = image.icc_import(input_profile="srgb", intent="relative", pcs="lab")
            converted = in_lab.icc_export(output_profile=path, intent="relative", depth=16)
        # The profile is read when pixels are asked for.
        return converted.copy_memory()


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path under which libvips finds a profile, without a file on a disk."""
    descriptor = os.memfd_create("profile")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _save_with_exif(
    image: pyvips.Image,
    options: EncodeOptions,
    metadata: ImageMetadata,
    bits: int,
    device: DeviceJpeg | None,
    samples: Pixels | None = None,
) -> bytes:
    """Write an image with the block of its exposure; `samples` are its pixels, where at hand."""
    exif = None
    if metadata.exif is not None and options.metadata != "strip" and options.format != "tiff":
        exif = rebuild_exif(
            metadata.exif,
            width_px=image.width,
            height_px=image.height,
            is_srgb=image.get_typeof(PROFILE) == 0,
            with_place=options.metadata == "keep",
        )
    if device is not None:
        file = _save_on_device(device, image, options, exif, samples)
        if file is not None:
            return file
    if exif is None:
        return _save(image, options, bits)
    tagged = image.copy()
    tagged.set_type(pyvips.GValue.blob_type, EXIF, exif)
    tagged.set_type(pyvips.GValue.gint_type, "orientation", 1)
    try:
        return _save(tagged, options, bits)
    except VIPS_FAILURES:  # Damaged EXIF costs the client the EXIF, not the picture.
        return _save(image, options, bits)


def _save_on_device(
    device: DeviceJpeg,
    image: pyvips.Image,
    options: EncodeOptions,
    exif: bytes | None,
    samples: Pixels | None,
) -> bytes | None:
    """The JPEG file of a device; None where it does not write such a file, or failed."""
    if options.is_progressive:
        device.leave()
        return None
    stream = device.encode(
        image.numpy() if samples is None else samples,
        quality=options.quality,
        is_halved=options.subsampling == "420"
        or (options.subsampling == "auto" and options.quality < WHOLE_CHROMA_QUALITY),
    )
    if stream is None:
        return None
    return add_metadata(stream, exif=exif, profile=read_blob(image, PROFILE) or _load_srgb())


@cache
def _load_srgb() -> bytes:
    """The profile that libvips attaches to what is sRGB."""
    return bytes(pyvips.Operation.call("profile_load", "srgb"))


def _save(image: pyvips.Image, options: EncodeOptions, bits: int) -> bytes:
    # Where the exposures have no EXIF, there is none: libvips would write a block of its own, which
    # says that the colours are not known.
    keep = ForeignKeep.ICC | (ForeignKeep.EXIF if image.get_typeof(EXIF) != 0 else 0)
    tags: dict[str, object] = {"keep": keep}
    if image.get_typeof(PROFILE) == 0:
        tags["profile"] = "srgb"
    match options.format:
        case "jpeg":
            # Optimised coding saves 2 %, but holds the whole picture: 1 to 2 GiB at 100 megapixels.
            saved = image.jpegsave_buffer(
                Q=options.quality,
                subsample_mode=_SUBSAMPLE_MODES[options.subsampling],
                interlace=options.is_progressive,
                **tags,
            )
        case "png":
            saved = image.pngsave_buffer(compression=PNG_COMPRESSION, filter=PNG_FILTER, **tags)
        case "webp":
            saved = image.webpsave_buffer(Q=options.quality, effort=WEBP_EFFORT, **tags)
        case "tiff":
            saved = image.tiffsave_buffer(
                compression="deflate",
                level=TIFF_COMPRESSION_LEVEL,
                predictor="horizontal",
                **tags,
            )
        case "avif":
            saved = image.heifsave_buffer(
                compression="av1",
                Q=options.quality,
                bitdepth=bits,
                effort=AVIF_EFFORT,
                subsample_mode=_SUBSAMPLE_MODES[options.subsampling],
                **tags,
            )
        case "jxl":
            saved = encode_jxl(
                image.numpy(),
                quality=options.quality,
                profile=read_blob(image, PROFILE),
                exif=read_blob(image, EXIF),
            )
    return bytes(saved)
