"""PIQE: how much blockiness and noise the active blocks of the fused picture show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.grey import FULL_SCALE, as_planes
from trainer.metrics.windows import Plane, gaussian_taps, window_mean

BLOCK_PX = 16
WINDOW_PX = 7
WINDOW_SIGMA_PX = 7 / 6
MIN_ACTIVITY = 0.1
RUN_PX = 6
MAX_RUN_DEVIATION = 0.1
CENTRE_COLUMNS = (7, 8)
NOT_SURROUND_COLUMNS = (7, 9)
"""Columns of a block left out of the surround: an index shift of the published programme."""


def piqe(fused: NDArray[np.generic]) -> float:
    r"""Compute the perception-based quality of a picture without a reference; lower is better.

    The picture is normalised by local mean and deviation and cut into 16 x 16 blocks. A block of
    variance v above 0.1 is active. It is impaired when some run of six pixels along its border is
    flat, and noisy when its deviation stands out against the ratio of its centre to its surround:

    .. math::
        \mathrm{PIQE} = 100 \, \frac{1 + \sum_\text{impaired} (1 - v) + \sum_\text{noisy} v}
                                    {1 + n_\text{active}}

    The thresholds make it jump with single grey levels. A picture without active blocks, such as
    a constant one, gives 100.

    Args:
        fused: Grey picture, 0..255, 8-bit values. Shape (H, W), sides of at least 2.

    Returns:
        Score, 0..100.

    Reference:
        Venkatanath et al., NCC 2015, in the form of MATLAB's piqe with its padding and scaling.

    Example:
        >>> piqe(np.full((40, 50), 99.0))
        100.0
    """
    (plane,) = as_planes(fused)
    blocks = _blocks(_normalise(plane))
    variance = blocks.var(axis=(1, 2), ddof=1)
    is_active = variance > MIN_ACTIVITY
    blocks, variance = blocks[is_active], variance[is_active]
    distortion = (1 - variance)[_is_impaired(blocks)].sum() + variance[
        _is_noisy(blocks, np.sqrt(variance))
    ].sum()
    return float(100 * (distortion + 1) / (len(blocks) + 1))


def _normalise(plane: Plane) -> Plane:
    """Fill up to whole blocks, stretch to full scale, and divide out local mean and deviation."""
    missing = [(0, -side % BLOCK_PX) for side in plane.shape]
    padded = np.pad(plane, missing, mode="symmetric")
    brightest = padded.max()
    scaled = np.rint(FULL_SCALE * (padded / brightest)) if brightest > 0 else padded
    bordered = np.pad(scaled, WINDOW_PX // 2, mode="edge")
    taps = gaussian_taps(WINDOW_PX, WINDOW_SIGMA_PX)
    mean = window_mean(bordered, taps)
    deviation = np.sqrt(np.abs(window_mean(bordered * bordered, taps) - mean**2))
    return np.asarray((scaled - mean) / (deviation + 1))


def _blocks(plane: Plane) -> Plane:
    """Cut into blocks. Shape (16 a, 16 b) -> (a b, 16, 16)."""
    rows, columns = (side // BLOCK_PX for side in plane.shape)
    blocks = plane.reshape(rows, BLOCK_PX, columns, BLOCK_PX).swapaxes(1, 2)
    return blocks.reshape(-1, BLOCK_PX, BLOCK_PX)


def _is_impaired(blocks: Plane) -> NDArray[np.bool_]:
    """Tell which blocks have a flat run of pixels along one of their four edges."""
    edges = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], axis=1)
    runs = np.lib.stride_tricks.sliding_window_view(edges, RUN_PX, axis=2)
    return np.asarray((runs.std(axis=3, ddof=1) < MAX_RUN_DEVIATION).any(axis=(1, 2)))


def _is_noisy(blocks: Plane, deviation: Plane) -> NDArray[np.bool_]:
    centre = blocks[:, :, CENTRE_COLUMNS].std(axis=(1, 2), ddof=1)
    surround = np.delete(blocks, NOT_SURROUND_COLUMNS, axis=2).std(axis=(1, 2), ddof=1)
    # Where the surround is flat the ratio is 0 or infinite; an infinite one makes no noise.
    ratio = np.where(centre > 0, np.inf, 0.0)
    np.divide(centre, surround, out=ratio, where=surround > 0)
    contrast = np.full_like(deviation, np.inf)
    np.divide(
        np.abs(deviation - ratio),
        np.maximum(deviation, ratio),
        out=contrast,
        where=np.isfinite(ratio),
    )
    return np.asarray(deviation > 2 * contrast)
