"""Windowed moments and the halving of a picture, as the structural metrics share them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]


def gaussian_taps(size_px: int, sigma_px: float) -> Plane:
    """Give the 1-D factor of the Gaussian window G(size, sigma), normalised to sum 1.

    The 2-D window of the metrics' definitions is the outer product of these taps with themselves.

    Args:
        size_px: Number of taps, at least 1.
        sigma_px: Standard deviation, above 0.

    Returns:
        Taps on the grid centred at 0. Shape (size_px,), float64.

    Example:
        >>> float(gaussian_taps(3, 1.0).sum().round(12))
        1.0
    """
    offset = np.arange(size_px) - (size_px - 1) / 2
    taps = np.exp(-(offset**2) / (2 * sigma_px**2))
    return np.asarray(taps / taps.sum())


def window_mean(plane: Plane, taps: Plane) -> Plane:
    """Average a plane under a symmetric separable window wherever the window fits.

    Args:
        plane: Values. Shape (H, W), float64.
        taps: 1-D factor of the window, odd length n. Shape (n,), float64.

    Returns:
        Means at the "valid" positions. Shape (H - n + 1, W - n + 1), float64.
    """
    filtered = cv2.sepFilter2D(plane, cv2.CV_64F, taps, taps, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(_crop(filtered, len(taps)))


def window_sum(plane: Plane, size_px: int) -> Plane:
    """Sum a plane over every size x size box that fits.

    Sums of 8-bit values, of their products and of their means over 4 or 16 pixels are exact in
    float64, so a flat patch has a variance of exactly 0.

    Args:
        plane: Values. Shape (H, W), float64.
        size_px: Side n of the box, odd.

    Returns:
        Sums at the "valid" positions. Shape (H - n + 1, W - n + 1), float64.
    """
    summed = cv2.boxFilter(
        plane, cv2.CV_64F, (size_px, size_px), normalize=False, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(_crop(summed, size_px))


def _crop(filtered: NDArray[np.generic], size_px: int) -> NDArray[np.generic]:
    margin = size_px // 2
    height, width = filtered.shape
    return filtered[margin : height - margin, margin : width - margin]


def halve(plane: Plane) -> Plane:
    """Halve a plane as the reference programmes of MS-SSIM and MEF-SSIM do.

    Every output pixel is the mean of the 2 x 2 pixels that start at an even position; the row
    and column beyond an odd end repeat the last.

    Args:
        plane: Values. Shape (H, W), float64.

    Returns:
        Means. Shape (ceil(H / 2), ceil(W / 2)), float64.

    Example:
        >>> halve(np.array([[0.0, 4.0, 8.0]])).tolist()
        [[2.0, 8.0]]
    """
    height, width = plane.shape
    even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    return np.asarray((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4)
