"""Converts sRGB to CIELAB and back on arrays.

One RGB-to-XYZ matrix serves both ways: its inverse is computed. `model.torch_colour` does the same
on tensors, by the same constants.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels

Planes = NDArray[np.float32]
"""Shape (..., 3, H, W) or (..., H, W), contiguous."""

RGB_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
"""Linear sRGB to CIE XYZ: ITU-R BT.709 primaries, white D65."""

WHITE_XYZ = np.array([[0.95047], [1.0], [1.08883]])
"""CIE D65, 2 degree observer. The matrix's own white differs in the fifth digit, which leaves a
grey with |a*|, |b*| below 0.005, a hundredth of an 8-bit step."""

RGB_TO_RELATIVE_XYZ = RGB_TO_XYZ / WHITE_XYZ
RELATIVE_XYZ_TO_RGB = np.linalg.inv(RGB_TO_RELATIVE_XYZ)

SRGB_SLOPE = 12.92
SRGB_OFFSET = 0.055
SRGB_GAMMA = 2.4
SRGB_KNEE = 0.04045
"""IEC 61966-2-1; encoded values up to the knee lie on the straight part."""

LAB_DELTA = 6 / 29
"""CIE 15: below it the cube root is replaced by a straight line."""


def srgb_to_linear(encoded: Planes) -> Planes:
    """Undo the sRGB transfer curve; negative values follow the straight part.

    Example:
        >>> srgb_to_linear(np.array([0, 1], np.float32)).tolist()
        [0.0, 1.0]
    """
    curved = _power(
        (np.maximum(encoded, _single(SRGB_KNEE)) + _single(SRGB_OFFSET)) / _single(1 + SRGB_OFFSET),
        SRGB_GAMMA,
    )
    return np.where(encoded <= _single(SRGB_KNEE), encoded * _single(1 / SRGB_SLOPE), curved)


def linear_to_srgb(linear: Planes) -> Planes:
    """Apply the sRGB transfer curve; the inverse of `srgb_to_linear` on all reals."""
    knee = _single(SRGB_KNEE / SRGB_SLOPE)
    curved = _power(np.maximum(linear, knee), 1 / SRGB_GAMMA)
    curved = curved * _single(1 + SRGB_OFFSET) - _single(SRGB_OFFSET)
    return np.where(linear <= knee, linear * _single(SRGB_SLOPE), curved)


def pixels_to_linear(pixels: Pixels) -> Planes:
    """Turn integer sRGB pixels into linear planes by table.

    Args:
        pixels: Shape (H, W, 3), uint8 or uint16.

    Returns:
        Linear values 0..1. Shape (3, H, W).
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected uint8 or uint16 pixels, got {pixels.dtype}")
    table = _linear_table(int(np.iinfo(pixels.dtype).max))
    return np.take(table, np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def linear_to_lab(linear: Planes) -> Planes:
    """Turn linear sRGB, (3, H, W), into CIELAB of the same shape.

    See `model.torch_colour.linear_to_lab` for the formula.
    """
    relative = _multiply(RGB_TO_RELATIVE_XYZ, linear)
    root = _power(np.maximum(relative, _single(LAB_DELTA**3)), 1 / 3)
    line = relative * _single(1 / (3 * LAB_DELTA**2)) + _single(4 / 29)
    f = np.where(relative > _single(LAB_DELTA**3), root, line)
    return np.stack(
        (
            _single(116) * f[1] - _single(16),
            _single(500) * (f[0] - f[1]),
            _single(200) * (f[1] - f[2]),
        )
    )


def lab_to_linear(lightness: Planes, a: Planes, b: Planes) -> Planes:
    """Turn CIELAB planes, (H, W) each, into linear sRGB, (3, H, W); outside 0..1 out of gamut."""
    y = (lightness + _single(16)) * _single(1 / 116)
    f = np.stack((y + a * _single(1 / 500), y, y - b * _single(1 / 200)))
    line = (f - _single(4 / 29)) * _single(3 * LAB_DELTA**2)
    return _multiply(RELATIVE_XYZ_TO_RGB, np.where(f > _single(LAB_DELTA), f * f * f, line))


def to_pixels(srgb: Planes, like: Pixels) -> Pixels:
    """Round sRGB planes, (3, H, W), to pixels, (H, W, 3), of the type of `like`: half to even."""
    full = np.iinfo(like.dtype).max
    rounded = np.rint(srgb * _single(full))
    return np.ascontiguousarray(rounded.clip(0, full).astype(like.dtype).transpose(1, 2, 0))


def _single(value: float) -> np.float32:
    return np.float32(value)


def _power(base: Planes, exponent: float) -> Planes:
    """OpenCV's is several times as fast as NumPy's where the machine has no AVX-512."""
    return np.asarray(cv2.pow(base.reshape(1, -1), exponent), np.float32).reshape(base.shape)


def _multiply(matrix: NDArray[np.float64], planes: Planes) -> Planes:
    """A matrix times the three values of each pixel, added in one order on every machine."""
    first, second, third = planes
    return np.stack(
        [
            _single(row[0]) * first + _single(row[1]) * second + _single(row[2]) * third
            for row in matrix
        ]
    )


@lru_cache(maxsize=2)
def _linear_table(full_scale: int) -> Planes:
    encoded = np.arange(full_scale + 1) / full_scale
    curved = ((encoded + SRGB_OFFSET) / (1 + SRGB_OFFSET)) ** SRGB_GAMMA
    return np.where(encoded <= SRGB_KNEE, encoded / SRGB_SLOPE, curved).astype(np.float32)
