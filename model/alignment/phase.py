"""Finds by phase correlation how stacks of tiles, and whole pictures, lie on each other."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.kernels.native import LIBRARY

WHITENING = 0.7
"""Power of the amplitude that is divided out: 1 is phase alone, which noise spoils first."""

MIN_PEAK = 8.0
"""Height of a correlation's peak, in its standard deviations, from which a tile counts."""

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]


def correlate_tiles(tiles: Grey, references: Grey) -> tuple[Matrix, Matrix]:
    r"""Find the motion of each tile onto its reference.

    With the Fourier transforms F and M of the two tiles:

    .. math::
        c = \mathcal{F}^{-1} \frac{F M^*}{|F M^*|^{0.7}}

    whose peak lies at the motion, refined by a parabola along each axis. A peak on the border of
    the surface counts nothing.

    Args:
        tiles: Square tiles of the moving exposure. Shape (M, S, S), float32.
        references: Those of the reference exposure, alike.

    Returns:
        Motions (M, 2), and the heights of their peaks in standard deviations (M,).

    Reference:
        Kuglin and Hines, "The phase correlation image alignment method", 1975.
        Ours: the partial whitening.
    """
    side = tiles.shape[-1]
    taper = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    surface = np.empty((len(tiles), side, side), np.float32)
    for out, tile, reference in zip(surface, tiles, references, strict=True):
        moving, fixed = (cv2.dft((one - cv2.mean(one)[0]) * taper) for one in (tile, reference))
        cv2.idft(cross_spectrum(fixed, moving), out, cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE)
    flat = surface.reshape(len(surface), side * side)
    best = flat.argmax(axis=1) if len(flat) else np.empty(0, np.intp)
    rows, columns = np.divmod(best, side)
    index, half = np.arange(len(flat)), side // 2
    is_inside = ((rows - half) * (columns - half) * (rows - half + 1) * (columns - half + 1)) != 0
    middle = flat[index, best]
    x = _peak_offset(
        surface[index, rows, columns - 1], middle, surface[index, rows, (columns + 1) % side]
    )
    y = _peak_offset(
        surface[index, rows - 1, columns], middle, surface[index, (rows + 1) % side, columns]
    )
    shifts = np.stack([columns + x, rows + y], axis=1)
    shifts = (shifts + half) % side - half
    spread = np.sqrt(np.einsum("nk,nk->n", flat, flat) / side**2)
    peaks = middle / np.maximum(spread, 1e-12) * is_inside
    return shifts.astype(np.float64), peaks.astype(np.float64)


def cross_spectrum(fixed: Grey, moving: Grey) -> Grey:
    """Cross-power spectrum of two transforms, most of its amplitude divided out.

    All three are packed as `cv2.dft` packs the transform of a real picture of even sides: the real
    and imaginary parts lie side by side, but in the first and the last column one below the other,
    and in the corners there are real numbers alone. Shape (H, W), float32.

    Raises:
        ValueError: The sides are odd, or not equal.
    """
    height, width = fixed.shape
    if fixed.shape != moving.shape or height % 2 or width % 2 or min(height, width) < 2:
        raise ValueError(f"expected spectra of one even size, got {fixed.shape} and {moving.shape}")
    given = [np.ascontiguousarray(one, np.float32) for one in (fixed, moving)]
    product = np.empty((height, width), np.float32)
    LIBRARY.cross_spectrum(
        *(one.ctypes.data for one in given), height, width, WHITENING / 2.0, product.ctypes.data
    )
    return product


def _peak_offset(before: NDArray[Any], middle: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """Where the parabola through three values has its maximum, in -0.5..0.5."""
    return np.asarray((after - before) / (2.0 * (2.0 * middle - before - after) + 1e-12))
