"""Maps pixels of one frame to pixels of another; arithmetic only, needs NumPy only.

Pixel centres lie at integers, so a frame of n pixels reaches from -0.5 to n - 0.5.
"""

import numpy as np
from numpy.typing import NDArray

from model.tiling import Rect

Matrix = NDArray[np.float64]


def reference_to_moving(homography: tuple[float, ...], height: int, width: int) -> Matrix:
    """Invert a homography and check that it can warp a whole picture.

    Args:
        homography: Moving-exposure pixel -> reference pixel, nine numbers row by row.
        height: Height of the picture.
        width: Width of the picture.

    Returns:
        Reference pixel -> moving-exposure pixel. Shape (3, 3), float64.

    Raises:
        ValueError: Not nine finite numbers, not invertible, or the picture crosses the horizon
            of the map, where a pixel has no image.
    """
    numbers = np.array(homography, dtype=np.float64)
    if numbers.shape != (9,) or not np.isfinite(numbers).all():
        raise ValueError(f"expected nine finite numbers as homography, got {len(homography)}")
    matrix: Matrix = numbers.reshape(3, 3)
    if np.linalg.matrix_rank(matrix) < 3:
        raise ValueError("expected an invertible homography, got a singular one")
    inverse = np.linalg.inv(matrix).astype(np.float64)
    depth = inverse[2] @ _corners(Rect(0, 0, height, width))
    if depth.min() <= 0 < depth.max() or not depth.any():
        raise ValueError(f"the homography's horizon crosses the picture of {width}x{height} pixels")
    normalised: Matrix = inverse / inverse[2, 2]
    return normalised


def stretch(size: tuple[int, int], target: tuple[int, int]) -> Matrix:
    """Map of the pixels of one frame onto another of any size, edge onto edge.

    Args:
        size: Width and height of the one.
        target: Width and height of the other.

    Returns:
        The map. Shape (3, 3), float64.

    Example:
        >>> stretch((100, 50), (200, 100))[0].tolist()
        [2.0, 0.0, 0.5]
    """
    x, y = target[0] / size[0], target[1] / size[1]
    return np.array([[x, 0.0, (x - 1.0) / 2.0], [0.0, y, (y - 1.0) / 2.0], [0.0, 0.0, 1.0]])


def shift(x: float, y: float) -> Matrix:
    """Map of pixels onto those that lie so many pixels to the right and below. Shape (3, 3)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def needed_region(
    to_moving: Matrix, target: Rect, height: int, width: int, *, margin_px: int
) -> Rect:
    """The pixels of an exposure that are read to fill a window of the reference.

    A homography maps convex onto convex, so the window's corners bound its positions.

    Args:
        to_moving: Reference pixel -> pixel of the exposure. Shape (3, 3).
        target: The window, in reference pixels.
        height: Height of the exposure.
        width: Width of the exposure.
        margin_px: How far a kernel reaches, and one more for rounding.

    Returns:
        The region; at least one pixel, the nearest, where the window lies outside.
    """
    x, y, depth = to_moving @ _corners(target)
    left, right = _span(x / depth, width, margin_px)
    top, bottom = _span(y / depth, height, margin_px)
    return Rect(top, left, bottom - top, right - left)


def _span(positions: Matrix, length: int, margin_px: int) -> tuple[int, int]:
    low, high = np.floor(
        positions.clip(-margin_px, length + margin_px)[[positions.argmin(), positions.argmax()]]
    )
    first = min(max(int(low) - margin_px, 0), length - 1)
    last = min(max(int(high) + margin_px, 0), length - 1)
    return first, last + 1


def _corners(rect: Rect) -> Matrix:
    """Centres of the corner pixels, homogeneous. Shape (3, 4)."""
    right, bottom = rect.right - 1, rect.bottom - 1
    return np.array(
        [
            [rect.left, right, rect.left, right],
            [rect.top, rect.top, bottom, bottom],
            [1, 1, 1, 1],
        ],
        dtype=np.float64,
    )
