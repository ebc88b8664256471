"""Grey pictures for the metrics: the conversion, and the check of what a metric is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.exposure import MIN_EXPOSURES

Grey = NDArray[np.generic]
"""A picture that a metric takes, on the 0..255 scale. Shape (H, W); of colour (H, W, 3), uint8."""

FULL_SCALE = 255.0
"""Value of white; every metric works on the 8-bit range, never on 0..1."""

GREY_WEIGHTS = (0.298936, 0.587043, 0.114021)
"""Luminance weights of R, G and B to the six digits MATLAB's rgb2gray prints; they sum to 1."""


def rgb_to_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    r"""Convert an 8-bit RGB picture to 8-bit grey, rounding halves up.

    .. math::
        Y = \lfloor 0.298936 R + 0.587043 G + 0.114021 B + 0.5 \rfloor

    A grey picture (R = G = B) is returned unchanged.

    Args:
        rgb: Picture in RGB order, 0..255. Shape (H, W, 3), uint8.

    Returns:
        Grey picture, 0..255. Shape (H, W), uint8.

    Reference:
        MATLAB rgb2gray. OpenCV's BGR2GRAY rounds its weights to fewer bits and differs by one
        level in up to 1 % of the pixels, hence the own conversion.

    Example:
        >>> rgb_to_grey(np.array([[[255, 0, 0], [7, 7, 7]]], dtype=np.uint8)).tolist()
        [[76, 7]]
    """
    check_rgb(rgb)
    luminance = rgb.astype(np.float64) @ np.array(GREY_WEIGHTS)
    return np.asarray(np.floor(luminance + 0.5), dtype=np.uint8)


def check_rgb(*pictures: NDArray[np.generic]) -> None:
    """Check pictures that a metric of colour gets.

    Raises:
        ValueError: One is not RGB of 8 bits, shape (H, W, 3), or they differ in size.
    """
    first = pictures[0].shape
    for picture in pictures:
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"expected a uint8 picture (H, W, 3), got {picture.dtype} {picture.shape}"
            )
        if picture.shape != first:
            raise ValueError(f"expected pictures of one size, got {first} and {picture.shape}")


def as_planes(
    *pictures: NDArray[np.generic], min_side_px: int = 2
) -> tuple[NDArray[np.float64], ...]:
    """Check that grey pictures fit together and give them in float64.

    Args:
        pictures: Grey pictures of one size, on the 0..255 scale. Shape (H, W), any real dtype.
        min_side_px: Smallest side the metric is defined for.

    Returns:
        The same values, shape (H, W), float64, C-contiguous.

    Raises:
        ValueError: A picture is not two-dimensional, too small, or of another size.
    """
    first = pictures[0].shape
    for picture in pictures:
        if picture.ndim != 2:
            raise ValueError(f"expected grey pictures (H, W), got shape {picture.shape}")
        if picture.shape != first:
            raise ValueError(f"expected pictures of one size, got {first} and {picture.shape}")
    if min(first) < min_side_px:
        raise ValueError(f"expected sides of at least {min_side_px} pixels, got shape {first}")
    return tuple(np.ascontiguousarray(picture, dtype=np.float64) for picture in pictures)


def as_compared_planes(
    exposures: Sequence[Grey], fused: Grey, *, min_side_px: int = 2
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Check the exposures and the fusion that a metric compares, and give them in float64.

    Args:
        exposures: Two or more, see `as_planes`.
        fused: The fusion, of their size.
        min_side_px: See `as_planes`.

    Returns:
        The planes of the exposures, and that of the fusion.

    Raises:
        ValueError: There are fewer than two exposures, or see `as_planes`.
    """
    check_compared(exposures)
    *sources, result = as_planes(*exposures, fused, min_side_px=min_side_px)
    return sources, result


def check_compared(exposures: Sequence[Grey]) -> None:
    """Check how many exposures a fusion is compared with.

    Raises:
        ValueError: Fewer than two.
    """
    if len(exposures) < MIN_EXPOSURES:
        raise ValueError(f"expected at least {MIN_EXPOSURES} exposures, got {len(exposures)}")
