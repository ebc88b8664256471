"""Brings the colours of a decoded picture to sRGB."""

from functools import lru_cache

import numpy as np
import pyvips

from expofuse.errors import UnsupportedImageError
from expofuse.files.reading.vips import PROFILE, VIPS_FAILURES, read_blob

_COLOUR_BANDS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb": 3, "rgb16": 3, "cmyk": 4}
_MAX_PROFILES = 16
"""Whose nature is remembered: a shoot has one or two."""

_SPACE = slice(16, 20)
"""Where a profile says what its colours are made of."""

_SRGB_TOLERANCE = 65535 // 255
"""A profile that moves no colour by more than one step of 8 bits is taken for sRGB."""


def drop_extra_bands(image: pyvips.Image) -> pyvips.Image:
    """Leave alpha and other extra channels out.

    Raises:
        UnsupportedImageError: Neither grey, RGB nor CMYK.
    """
    bands = _COLOUR_BANDS.get(image.interpretation)
    if bands is None or image.bands < bands:
        raise UnsupportedImageError(
            f"expected grey, RGB or CMYK, got {image.interpretation} of {image.bands} channels"
        )
    return image.extract_band(0, n=bands) if image.bands > bands else image


def to_srgb(image: pyvips.Image, *, bits: int) -> pyvips.Image:
    """Convert to grey or RGB in sRGB; the image itself where nothing is to be done."""
    profile = read_blob(image, PROFILE)
    if profile is not None:
        try:
            coloured = image
            if image.bands == 1 and profile[_SPACE] == b"RGB ":
                kind = "rgb16" if image.format == "ushort" else "srgb"
                coloured = to_three_bands(image).copy(interpretation=kind)
            if coloured.bands != 3 or not _is_srgb(profile):
                return _convert_profile(coloured, bits=bits)
        except VIPS_FAILURES:  # A damaged profile, or one for another kind of image.
            if image.bands == 4:
                image = tag(image, None)
    if image.bands == 4:
        return image.icc_transform("srgb", input_profile="cmyk", depth=bits)
    return image


def to_three_bands(image: pyvips.Image) -> pyvips.Image:
    """Grey becomes R, G and B; these stay."""
    return image.bandjoin([image, image]) if image.bands == 1 else image


def tag(image: pyvips.Image, profile: bytes | None) -> pyvips.Image:
    """An image with this ICC profile, or none, in the place of its own."""
    own = read_blob(image, PROFILE)
    if own == profile:
        return image
    tagged = image.copy()
    if own is not None:
        tagged.remove(PROFILE)
    if profile is not None:
        tagged.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    return tagged


def _convert_profile(image: pyvips.Image, *, bits: int) -> pyvips.Image:
    if bits == 8:
        return image.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    # At 16 bits the direct way goes through an interpolated table and misses dark channels of
    # saturated colours by 9/255; by way of CIELAB in float it is within 2/255, for ten times the
    # time.
    in_lab = image.icc_import(embedded=True, intent="relative", pcs="lab")
    return in_lab.icc_export(output_profile="srgb", intent="relative", depth=16)


@lru_cache(_MAX_PROFILES)
def _is_srgb(profile: bytes) -> bool:
    steps = np.linspace(0, 65535, 6).round().astype(np.uint16)
    colours = np.ascontiguousarray(np.stack(np.meshgrid(steps, steps, steps), axis=-1))
    probe = pyvips.Image.new_from_memory(colours, 36, 6, 3, "ushort").copy(interpretation="rgb16")
    probe.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    converted = _convert_profile(probe, bits=16)
    if converted.bands != 3:
        return False
    result = np.frombuffer(converted.write_to_memory(), np.uint16).reshape(colours.shape)
    return bool(np.abs(result.astype(np.int32) - colours).max() <= _SRGB_TOLERANCE)
