"""Finds small patches in the windows around them, all in one vectorised pass."""

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

MIN_CORRELATION = 0.6
"""A patch whose best place correlates less shows something else, or noise."""

MIN_TEXTURE = 0.008
"""Least standard deviation of a patch, intensities in 0..1: below it lies quantisation noise."""

MIN_CURVATURE = 1e-3
"""Least curvature of a correlation peak along its flattest direction."""

MAX_TRUSTED_CORRELATION = 0.99
"""Bounds the weight of one patch: above it the correlation says nothing more about its noise."""

EPSILON = 1e-9

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]


def locate_patches(patches: Grey, windows: Grey) -> tuple[NDArray[np.bool_], Matrix, Matrix]:
    """Find each patch in its window by normalised cross-correlation.

    The correlation around its maximum is taken as a quadratic (least squares over 3x3 places).

    Args:
        patches: Square patches of the moving exposure. Shape (M, S, S), float32.
        windows: Windows of the reference exposure about them, alike but larger.

    Returns:
        Which patches are found (M,), and of those found the offsets from the window's middle
        (F, 2) and the information that they carry (F, 2, 2).
    """
    reach = (windows.shape[1] - patches.shape[1]) // 2
    is_found = measure_deviations(patches) >= MIN_TEXTURE
    is_found &= measure_deviations(windows) >= MIN_TEXTURE
    scores = correlate_patches(patches[is_found], windows[is_found])
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


def correlate_patches(patches: Grey, windows: Grey) -> Grey:
    r"""Normalised cross-correlation of square patches with every place in their windows.

    .. math::
        c = \frac{\sum (p - \bar p) (w - \bar w)}
                 {\sqrt{\sum (p - \bar p)^2 \sum (w - \bar w)^2}}

    A patch is padded to the width of the window's rows; both are then runs of memory, and all
    places of all patches are dot products of overlapping runs. Where a place has no contrast the
    score is 0.

    Args:
        patches: Shape (M, S, S), float32.
        windows: Shape (M, S + P - 1, S + P - 1), float32.

    Returns:
        The scores, -1..1. Shape (M, P, P), float32.
    """
    count, side, _ = patches.shape
    wide = windows.shape[1]
    places = wide - side + 1
    windows = np.ascontiguousarray(windows - windows.mean(axis=(1, 2), keepdims=True))
    padded = np.zeros((count, side, wide), np.float32)
    padded[:, :, :side] = patches - patches.mean(axis=(1, 2), keepdims=True)
    kernels = padded.reshape(count, side * wide)[:, : side * wide - places + 1]
    one, row, pixel = windows.strides
    runs = as_strided(windows, (count, places, places, kernels.shape[1]), (one, row, pixel, pixel))
    products = np.einsum("nyxk,nk->nyx", runs, kernels)
    energy = np.einsum("nk,nk->n", kernels, kernels)[:, None, None]
    sums, squares = _sum_places(windows, side), _sum_places(windows**2, side)
    energies = energy * (squares - sums**2 / side**2)
    is_seen = energies > EPSILON
    return np.asarray(np.where(is_seen, products / np.sqrt(np.where(is_seen, energies, 1.0)), 0.0))


def _sum_places(windows: Grey, side: int) -> Grey:
    """Sums over the squares of a side at every place of windows (M, W, W). (M, P, P)."""
    sums = windows
    for axis in (1, 2):
        running = np.moveaxis(sums, axis, 0)
        out = np.empty((len(running) - side + 1, *running.shape[1:]), np.float32)
        out[0] = running[:side].sum(axis=0)
        for place in range(1, len(out)):
            out[place] = out[place - 1] + running[place + side - 1] - running[place - 1]
        sums = np.moveaxis(out, 0, axis)
    return sums


def measure_deviations(stack: Grey) -> NDArray[np.float32]:
    """Standard deviation of each picture of a stack (M, S, S). Shape (M,)."""
    flat = stack.reshape(len(stack), stack.shape[1] * stack.shape[2])
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.einsum("nk,nk->n", flat, flat) / flat.shape[1]))
