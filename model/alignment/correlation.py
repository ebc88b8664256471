"""Cuts small patches from pictures and finds them in windows, by compiled code."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.kernels.native import LIBRARY

MIN_CORRELATION = 0.6
"""A patch whose best place correlates less shows something else, or noise."""

MIN_TEXTURE = 0.008
"""Least standard deviation of a patch, intensities in 0..1: below it lies quantisation noise."""

MIN_CURVATURE = 1e-3
"""Least curvature of a correlation peak along its flattest direction."""

MAX_TRUSTED_CORRELATION = 0.99
"""Bounds the weight of one patch: above it the correlation says nothing more about its noise."""

MAX_RADIUS_PX = 31

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]


class Correlation(NamedTuple):
    """How patches correlate with every place in their windows.

    Attributes:
        scores: -1..1. Shape (M, P, P), float32.
        contrast: The smaller standard deviation of a patch and its window. Shape (M,), float32.
    """

    scores: Grey
    contrast: Grey


def locate_patches(found: Correlation) -> tuple[NDArray[np.bool_], Matrix, Matrix]:
    """Find the place of each patch in its window.

    The correlation around its maximum is taken as a quadratic (least squares over 3x3 places).

    Args:
        found: Of M patches.

    Returns:
        Which patches are found (M,), and of those found the offsets from the window's middle
        (F, 2) and the information that they carry (F, 2, 2).
    """
    is_found = found.contrast >= MIN_TEXTURE
    scores = found.scores[is_found]
    reach = (scores.shape[1] - 1) // 2
    count, places, _ = scores.shape
    flat = scores.reshape(count, places * places)
    place = flat.argmax(axis=1)
    row, column = np.divmod(place, places)
    best = flat[np.arange(count), place]
    is_good = (best >= MIN_CORRELATION) & (np.minimum(row, column) > 0)
    is_good &= np.maximum(row, column) < places - 1
    row, column, best = row[is_good], column[is_good], best[is_good]
    index = np.flatnonzero(is_good)[:, None, None]
    step = np.arange(-1, 2)
    near = scores[index, row[:, None, None] + step[:, None], column[:, None, None] + step]
    slope, curvature = _fit_quadratics(near.astype(np.float64))
    half_trace = np.trace(curvature, axis1=1, axis2=2) / 2.0
    least = half_trace - np.sqrt(np.maximum(half_trace**2 - np.linalg.det(curvature), 0.0))
    is_peak = least >= MIN_CURVATURE
    shift = np.zeros_like(slope)
    shift[is_peak] = np.linalg.solve(curvature[is_peak], slope[is_peak, :, None])[..., 0]
    is_peak &= np.abs(shift).max(axis=1, initial=0.0) <= 1.0
    is_good[is_good] = is_peak
    is_found[is_found] = is_good
    offsets = np.stack([column, row], axis=1)[is_peak] - reach + shift[is_peak]
    noise = 1.0 - np.minimum(best[is_peak], MAX_TRUSTED_CORRELATION).astype(np.float64)
    return is_found, offsets, curvature[is_peak] / noise[:, None, None]


def cut_patches(picture: Grey, to_source: Matrix, centres: NDArray[np.int64], radius: int) -> Grey:
    """Cut square patches from a picture as a homography lays them, by Keys's cubic kernel.

    Args:
        picture: Shape (H, W), float32; its edge goes on outside.
        to_source: From a pixel of a patch to one of the picture. Shape (3, 3).
        centres: Middle pixel (x, y) of each patch, before the homography. Shape (M, 2).
        radius: Pixels on either side of it, at most 31.

    Returns:
        Shape (M, 2 radius + 1, 2 radius + 1), float32.
    """
    assert radius <= MAX_RADIUS_PX
    picture = np.ascontiguousarray(picture, np.float32)
    matrix = np.ascontiguousarray(to_source, np.float64)
    middles = np.ascontiguousarray(centres, np.int32)
    side = 2 * radius + 1
    patches = np.empty((len(middles), side, side), np.float32)
    LIBRARY.cut_patches(
        picture.ctypes.data, *picture.shape, matrix.ctypes.data,
        middles.ctypes.data, len(middles), radius, patches.ctypes.data,
    )  # fmt: skip
    return patches


def _fit_quadratics(near: Matrix) -> tuple[Matrix, Matrix]:
    """Slope (M, 2) and curvature (M, 2, 2), downwards, of scores at 3x3 places (M, 3, 3)."""
    columns, rows = near.sum(axis=1), near.sum(axis=2)
    slope = np.stack([columns[:, 2] - columns[:, 0], rows[:, 2] - rows[:, 0]], axis=1) / 6.0
    bend_x, bend_y = (
        (lines[:, 0] + lines[:, 2] - 2.0 * lines[:, 1]) / 3.0 for lines in (columns, rows)
    )
    bend_xy = (near[:, 0, 0] + near[:, 2, 2] - near[:, 0, 2] - near[:, 2, 0]) / 4.0
    curvature = -np.stack([bend_x, bend_xy, bend_xy, bend_y], axis=1).reshape(-1, 2, 2)
    return slope, curvature


def correlate_patches(patches: Grey, windows: Grey) -> Correlation:
    r"""Normalised cross-correlation of square patches with every place in their windows.

    .. math::
        c = \frac{\sum (p - \bar p) (w - \bar w)}
                 {\sqrt{\sum (p - \bar p)^2 \sum (w - \bar w)^2}}

    Where a place has no contrast the score is 0.

    Args:
        patches: Shape (M, S, S), float32.
        windows: Shape (M, S + P - 1, S + P - 1), float32.

    Returns:
        The scores, and the contrast of each patch.

    Raises:
        ValueError: They are no squares, or windows are smaller than patches.
    """
    count, side, _ = patches.shape
    wide = windows.shape[1]
    if windows.shape != (count, wide, wide) or patches.shape[2] != side or wide < side:
        raise ValueError(
            f"expected squares, and windows larger than patches, got {patches.shape} and "
            f"{windows.shape}"
        )
    patches = np.ascontiguousarray(patches, np.float32)
    windows = np.ascontiguousarray(windows, np.float32)
    scores = np.empty((count, wide - side + 1, wide - side + 1), np.float32)
    contrast = np.empty(count, np.float32)
    scratch = np.empty(LIBRARY.count_patches_scratch(side, wide), np.float32)
    LIBRARY.correlate_patches(
        patches.ctypes.data, windows.ctypes.data, count, side, wide,
        scores.ctypes.data, contrast.ctypes.data, scratch.ctypes.data,
    )  # fmt: skip
    return Correlation(scores, contrast)


def measure_deviations(stack: Grey) -> NDArray[np.float32]:
    """Standard deviation of each picture of a stack (M, S, S). Shape (M,)."""
    flat = stack.reshape(len(stack), stack.shape[1] * stack.shape[2])
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.einsum("nk,nk->n", flat, flat) / flat.shape[1]))
