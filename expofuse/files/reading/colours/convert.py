"""Brings the colours of a decoded picture to sRGB."""

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

import numpy as np
import pyvips

from expofuse.errors import UnsupportedImageError
from expofuse.files.reading.colours.signs import PROFILE, ColourSign
from expofuse.files.reading.vips import VIPS_FAILURES, raise_if_out_of_memory

_COLOUR_BANDS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb": 3, "rgb16": 3, "cmyk": 4}
_SRGB_TOLERANCE = 65535 // 255
"""A profile that moves no colour by more than one step of 8 bits is taken for sRGB."""

_Verdict = Literal["srgb", "other", "unusable"]
_MAX_VERDICTS = 64
_verdicts: OrderedDict[tuple[bytes, int], _Verdict] = OrderedDict()


def drop_extra_bands(image: pyvips.Image) -> pyvips.Image:
    """Leave alpha and other extra channels out.

    Raises:
        UnsupportedImageError: Neither grey, RGB nor CMYK.
    """
    bands = _COLOUR_BANDS.get(image.interpretation)
    if bands is None or image.bands < bands:
        raise UnsupportedImageError(
            f"expected grey, RGB or CMYK, got {image.interpretation} of {image.bands} channels: "
            "save the picture as RGB"
        )
    return image.extract_band(0, n=bands) if image.bands > bands else image


def choose_sign(signs: Iterable[ColourSign], *, bands: int) -> ColourSign:
    """The first sign that can be followed; damaged profiles, and others' profiles, cannot.

    Args:
        signs: The decisive first; sRGB follows after the last.
        bands: Of the picture: 1, 3 or 4.
    """
    for sign in signs:
        if sign.profile is None:
            return sign
        verdict = _judge(sign.profile, bands)
        if verdict == "srgb":
            return ColourSign()
        if verdict == "other":
            return sign
    return ColourSign()


def to_srgb(image: pyvips.Image, sign: ColourSign, *, bits: int) -> pyvips.Image:
    """Convert to grey or RGB in sRGB; the image itself where nothing is to be done."""
    if sign.profile is not None:
        return _convert(with_profile(image, sign.profile), bits=bits)
    if image.bands == 4:
        if image.get_typeof(PROFILE) != 0:
            image = image.copy()
            image.remove(PROFILE)
        return image.icc_transform("srgb", input_profile="cmyk", depth=bits)
    return image


def to_three_bands(image: pyvips.Image) -> pyvips.Image:
    """Grey becomes R, G and B; these stay."""
    return image.bandjoin([image, image]) if image.bands == 1 else image


def with_profile(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    """An image with an ICC profile."""
    tagged = image.copy()
    tagged.set_type(pyvips.GValue.blob_type, PROFILE, profile)
    return tagged


def _convert(image: pyvips.Image, *, bits: int) -> pyvips.Image:
    if bits == 8:
        return image.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    # At 16 bits the direct way goes through an interpolated table and misses dark channels of
    # saturated colours by 9/255; by way of CIELAB in float it is within 2/255, for ten times the
    # time.
    in_lab = image.icc_import(embedded=True, intent="relative", pcs="lab")
    return in_lab.icc_export(output_profile="srgb", intent="relative", depth=16)


def _judge(profile: bytes, bands: int) -> _Verdict:
    key = sha256(profile).digest(), bands
    if key not in _verdicts:
        _verdicts[key] = _probe(profile, bands)
        if len(_verdicts) > _MAX_VERDICTS:
            _verdicts.popitem(last=False)
    _verdicts.move_to_end(key)
    return _verdicts[key]


def _probe(profile: bytes, bands: int) -> _Verdict:
    """Convert a few colours by a profile and see how far they move."""
    steps = np.linspace(0, 65535, 6 if bands > 1 else 256).round().astype(np.uint16)
    colours = np.ascontiguousarray(np.stack(np.meshgrid(*[steps] * bands), axis=-1))
    kind = {1: "grey16", 3: "rgb16"}.get(bands, "cmyk")
    probe = pyvips.Image.new_from_memory(colours, colours.size // bands, 1, bands, "ushort").copy(
        interpretation=kind
    )
    try:
        converted = to_three_bands(_convert(with_profile(probe, profile), bits=16))
        result = np.frombuffer(converted.write_to_memory(), np.uint16)
    except VIPS_FAILURES as error:
        raise_if_out_of_memory(error)
        return "unusable"
    if bands == 4:
        return "other"
    expected = np.broadcast_to(colours, (*colours.shape[:-1], 3)).astype(np.int32).ravel()
    moved = np.abs(result.astype(np.int32) - expected).max()
    return "srgb" if moved <= _SRGB_TOLERANCE else "other"
