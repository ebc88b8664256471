"""Brings samples from one depth to another."""

import numpy as np
from numpy.typing import NDArray

from model.exposure import UINT8_TO_UINT16, Pixels

STRIP_ROWS = 256


def to_8_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Reduce uint16 to uint8 by rounding x / 257 to the nearest; uint8 stays as it is.

    Example:
        >>> to_8_bit(np.array([0, 128, 129, 65535], np.uint16)).tolist()
        [0, 0, 1, 255]
    """
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    reduced = np.empty(pixels.shape, np.uint8)
    for top in range(0, pixels.shape[0], STRIP_ROWS):
        strip = pixels[top : top + STRIP_ROWS].astype(np.uint32)
        # 257 is odd, so x / 257 is never half-way: adding its half rounds to the nearest.
        reduced[top : top + STRIP_ROWS] = (strip + UINT8_TO_UINT16 // 2) // UINT8_TO_UINT16
    return reduced


def to_depth(pixels: Pixels, bits: int) -> Pixels:
    """Pixels of a depth, 8 or 16 bits; as they are where they have it."""
    if pixels.dtype == (np.uint16 if bits == 16 else np.uint8):
        return pixels
    if bits == 16:
        return pixels.astype(np.uint16) * np.uint16(UINT8_TO_UINT16)
    return to_8_bit(pixels)
