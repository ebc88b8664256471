"""RGB pixels on their way in: from a colour profile to sRGB, and reduced to a longest side."""

import io
from typing import TypeVar, cast

import cv2
import numpy as np
from PIL import Image, ImageCms

from model.exposure import Pixels

Samples = TypeVar("Samples", bound=Pixels)


def convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert RGB from an ICC profile to sRGB, relative colorimetric as the service does.

    A profile that moves no colour by more than one step of 8 bits is taken for sRGB; one that is
    damaged, or not of RGB, is ignored. Either leaves the pixels as they are.

    Args:
        image: Picture of mode RGB.
        profile: Its ICC profile, None where it has none.

    Returns:
        The picture in sRGB, of mode RGB.
    """
    return image if profile is None or is_srgb(profile) else _convert(image, profile)


def is_srgb(profile: bytes) -> bool:
    """Whether a profile moves no colour by more than one step, or cannot be used at all."""
    steps = np.linspace(0, 255, 6).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(6, 36, 3)
    converted = np.asarray(_convert(Image.fromarray(colours), profile), dtype=np.int16)
    return bool(np.abs(converted - colours).max() <= 1)


def limit_side(pixels: Samples, max_side_px: int | None) -> Samples:
    """Reduce a picture by area averaging until no side is longer than `max_side_px`.

    Args:
        pixels: Shape (H, W, 3), uint8 or uint16.
        max_side_px: Largest side of the result; None, or a smaller picture, leaves it untouched.

    Returns:
        The picture, in its dtype.
    """
    height, width = pixels.shape[:2]
    if max_side_px is None or max(height, width) <= max_side_px:
        return pixels
    scale = max_side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cast(Samples, cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _convert(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        return image
    return image if converted is None else converted
