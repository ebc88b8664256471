"""Picture files to pixels as the service decodes them, and the small conversions on the way."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from model.exposure import UINT8_TO_UINT16, Pixels
from trainer.data.pixels import convert_to_srgb, is_srgb
from trainer.errors import DataError
from trainer.files import write_whole
from trainer.metrics.guards.mean_chroma import iterate_lab

Picture = NDArray[np.uint8]
"""Shape (H, W, 3), RGB."""

SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}

_PNG_DEPTH_BYTE = 24
_TIFF_BITS_PER_SAMPLE = 258
_SIMPLE_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}


def read_picture(path: Path, *, untagged: bytes | None = None) -> Pixels:
    """Read a picture as the service would: upright RGB in sRGB, 16 bits kept, alpha dropped.

    A profile that moves no colour by more than one step of 8 bits is taken for sRGB.

    Args:
        path: JPEG, PNG, TIFF or WebP.
        untagged: ICC profile of a picture that carries none; None takes it for sRGB.

    Returns:
        Pixels. Shape (H, W, 3), uint8 or uint16.

    Raises:
        DataError: The file is damaged, no picture, of a kind that is not evaluated (CMYK, float),
            or of 16 bits with another profile than sRGB.
        OSError: It cannot be read at all.
    """
    data = path.read_bytes()
    try:
        # Pillow warns of unknown tags and the like; what cannot be decoded is an error.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            image.load()
            profile = image.info.get("icc_profile") or untagged
            if _sample_bits(image, data) == 16:
                return _read_16_bit(path, data, profile)
            return _read_8_bit(path, ImageOps.exif_transpose(image), profile)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as cause:
        # Pillow tells of damaged PNG chunks by SyntaxError.
        raise DataError(f"expected a complete picture, could not decode {path.name}") from cause


def read_profile(path: Path) -> bytes | None:
    """The ICC profile that a picture carries, None where it carries none.

    Raises:
        DataError: The file is no picture.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            profile: bytes | None = image.info.get("icc_profile")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as cause:
        raise DataError(f"expected a picture, could not decode {path.name}") from cause
    return profile or None


def to_8_bit(pixels: Pixels) -> Picture:
    """Reduce uint16 to uint8 by rounding x / 257 to the nearest, as the service's encoder does."""
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, dtype=np.uint8)
    half = UINT8_TO_UINT16 // 2
    return np.asarray((pixels.astype(np.uint32) + half) // UINT8_TO_UINT16, dtype=np.uint8)


def fit_to(pixels: Pixels, height: int, width: int) -> Pixels:
    """Bring a picture to a size by area averaging; one that has it stays untouched."""
    if pixels.shape[:2] == (height, width):
        return pixels
    resized: Pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return resized


def write_png(path: Path, pixels: Pixels) -> None:
    """Write RGB pixels as PNG; the file appears whole or not at all."""
    is_encoded, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not is_encoded:
        raise DataError(f"expected {path.name} to be encoded as PNG, got a failure")
    write_whole(path, encoded.tobytes())


def mean_lightness(picture: Picture) -> float:
    """Mean L* of CIELAB, 0..100, of an sRGB picture. Shape (H, W, 3), uint8.

    Example:
        >>> round(mean_lightness(np.full((2, 2, 3), 255, np.uint8)), 3)
        100.0
    """
    total = sum(float(lab[:, 0].sum(dtype=torch.float64)) for lab in iterate_lab(picture))
    return float(total / (picture.shape[0] * picture.shape[1]))


def _sample_bits(image: Image.Image, data: bytes) -> int:
    """Bits of a sample; Pillow itself shows 16-bit colour as 8 bits."""
    if image.mode.startswith("I;16"):
        return 16
    if image.format == "PNG":
        return 16 if data[_PNG_DEPTH_BYTE] == 16 else 8
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        return int(max(tags.get(_TIFF_BITS_PER_SAMPLE, (8,))))
    return 8


def _read_8_bit(path: Path, image: Image.Image, profile: bytes | None) -> Picture:
    if image.mode not in _SIMPLE_MODES:
        raise DataError(f"expected grey or RGB samples, got mode {image.mode} in {path.name}")
    return np.asarray(convert_to_srgb(image.convert("RGB"), profile), dtype=np.uint8)


def _read_16_bit(path: Path, data: bytes, profile: bytes | None) -> Pixels:
    if profile is not None and not is_srgb(profile):
        raise DataError(f"expected 16 bits in sRGB, got another colour profile in {path.name}")
    # Not IMREAD_COLOR_RGB: OpenCV 5.0 leaves 16-bit TIFF pixels unset under it.
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None or pixels.dtype != np.uint16:
        raise DataError(f"expected a 16-bit picture, could not decode {path.name}")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint16)
