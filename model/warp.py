"""Brings one window of the moving exposure onto the reference exposure by a homography.

See `model.torch_warp.warp_window` for the definition.
"""

import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels
from model.kernels.native import CHANNELS, LIBRARY, as_rows, of_type
from model.tiling import Rect


def warp_pixels(moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
    """Sample the moving exposure at the pixels of one window of the reference.

    Args:
        moving: The moving exposure. Shape (H, W, 3), uint8 or uint16.
        to_moving: Reference pixel -> moving pixel, `geometry.reference_to_moving`. Shape (3, 3).
        target: The window, in reference pixels.

    Returns:
        Shape (target.height, target.width, 3), of the type of the moving exposure.
    """
    warped = np.empty((target.height, target.width, CHANNELS), moving.dtype)
    _warp("warp", moving, to_moving, target, warped)
    return warped


def warp_planes(
    moving: Pixels, to_moving: NDArray[np.float64], target: Rect
) -> NDArray[np.float32]:
    """See `warp_pixels`; encoded sRGB, 0..1, that is not rounded. Shape (3, H, W) of the window."""
    warped = np.empty((target.height, target.width, CHANNELS), np.float32)
    _warp("warp_float", moving, to_moving, target, warped)
    scale = np.float32(1 / np.iinfo(moving.dtype).max)
    return np.ascontiguousarray(warped.transpose(2, 0, 1)) * scale


def _warp(
    name: str,
    moving: Pixels,
    to_moving: NDArray[np.float64],
    target: Rect,
    warped: Pixels | NDArray[np.float32],
) -> None:
    picture, row_pixels = as_rows(moving)
    height, width = picture.shape[:2]
    # Named, so that it lives as long as the call that is given its address.
    matrix = np.ascontiguousarray(to_moving, np.float64)
    warp = of_type(LIBRARY, name, moving)
    warp(
        picture.ctypes.data, height, width, row_pixels, matrix.ctypes.data,
        target.top, target.left, target.height, target.width, warped.ctypes.data,
    )  # fmt: skip
