"""S3: how sharp the fused picture is by its local spectra and its local contrasts."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from trainer.metrics.grey import FULL_SCALE, as_planes
from trainer.metrics.windows import Plane

SPECTRAL_BLOCK_PX = 32
SPECTRAL_STEP_PX = 8
SPECTRAL_PAD_PX = 16
RADII = SPECTRAL_BLOCK_PX // 2
ANGLES = 360

SUB_BLOCK_PX = 8
SUB_STEP_PX = 4
MIN_LUMINANCE = 2.0
MIN_CONTRAST = 5.0
"""Mean and range of the luminance that an 8 x 8 sub-block needs to make its block count."""

SIGMOID_SLOPE = 3.0
SIGMOID_CENTRE = 2.0

SPATIAL_BLOCK_PX = 8
SPATIAL_PADS_PX = (8, 4)

TOP_SHARE = 0.01
MIN_SIDE_PX = SPECTRAL_PAD_PX + 1
"""Smallest side that can be mirrored by the spectral map's margin."""

BATCH_BLOCKS = 2048
"""Spectra computed at once: 16 MiB of blocks."""


def s3(fused: NDArray[np.generic], *, pooling: Literal["mean", "top"] = "mean") -> float:
    r"""Compute the spectral and spatial sharpness of a picture; higher is sharper.

    .. math::
        S_3 = \sqrt{S_1 S_2}

    S1 is a sigmoid of the slope at which the amplitude spectrum of a 32 x 32 block falls, S2 the
    largest total variation of the 2 x 2 cells in an 8 x 8 block. The index is the mean of the map
    over all pixels, or of its largest 1 %. A constant picture gives 0.

    Args:
        fused: Grey picture, 0..255. Shape (H, W), sides of at least 17.
        pooling: "mean", the habit of papers on exposure fusion, or "top", the mean of the largest
            1 % of the map, the authors' own index.

    Returns:
        Index, 0..1.

    Reference:
        Vu, Phan and Chandler, IEEE TIP 21 (2012) 934-945, with the constants of the authors'
        programme and the interpolation of its spectra (see _radial_weights).

    Example:
        >>> s3(np.full((40, 50), 99.0))
        0.0
    """
    (plane,) = as_planes(fused, min_side_px=MIN_SIDE_PX)
    sharpness = np.sqrt(spectral_map(plane) * spatial_map(plane))
    if pooling == "mean":
        return float(sharpness.mean())
    count = int(np.ceil(TOP_SHARE * sharpness.size))
    return float(np.partition(sharpness, -count, axis=None)[-count:].mean())


def spectral_map(plane: Plane) -> Plane:
    """Compute S1: 0 for a blurred place, up to 1 for a sharp one.

    Args:
        plane: Grey picture, 0..255. Shape (H, W), float64, sides of at least 17.

    Returns:
        Map, 0..1. Shape (H, W), float64.
    """
    padded = _mirror(plane, SPECTRAL_PAD_PX)
    size = (SPECTRAL_BLOCK_PX, SPECTRAL_BLOCK_PX)
    blocks = np.lib.stride_tricks.sliding_window_view(padded, size)
    blocks = blocks[::SPECTRAL_STEP_PX, ::SPECTRAL_STEP_PX]
    values = np.zeros(blocks.shape[:2])
    rows, columns = np.nonzero(_is_active(padded))
    for start in range(0, len(rows), BATCH_BLOCKS):
        batch = rows[start : start + BATCH_BLOCKS], columns[start : start + BATCH_BLOCKS]
        values[batch] = _spectral_sharpness(blocks[batch])
    covered = values.repeat(SPECTRAL_STEP_PX, axis=0).repeat(SPECTRAL_STEP_PX, axis=1)
    # A value stands for the middle of its block, so the first one reaches 4 pixels inside.
    skip = SPECTRAL_PAD_PX - (SPECTRAL_BLOCK_PX - SPECTRAL_STEP_PX) // 2
    return _fit(covered[skip:, skip:], plane.shape)


def spatial_map(plane: Plane) -> Plane:
    """Compute S2: the largest total variation in the 8 x 8 blocks of two shifted grids.

    Args:
        plane: Grey picture, 0..255. Shape (H, W), float64, sides of at least 8.

    Returns:
        Map, 0..1. Shape (H, W), float64.
    """
    side = SPATIAL_BLOCK_PX
    maps = []
    for pad in SPATIAL_PADS_PX:
        padded = _mirror(plane, pad)
        height, width = (length - length % side for length in padded.shape)
        blocks = padded[:height, :width].reshape(height // side, side, width // side, side)
        blocks = np.ascontiguousarray(blocks.transpose(1, 3, 0, 2))
        a, b = blocks[:-1, :-1], blocks[:-1, 1:]
        c, d = blocks[1:, :-1], blocks[1:, 1:]
        pairs = ((a, b), (a, c), (a, d), (b, c), (b, d), (c, d))
        variation = np.zeros_like(a)
        for one, other in pairs:
            variation += np.abs(one - other)
        values = (variation / FULL_SCALE / 4).max(axis=(0, 1))
        covered = values.repeat(side, axis=0).repeat(side, axis=1)
        maps.append(_fit(covered[pad:, pad:], plane.shape))
    return np.maximum(*maps)


def _mirror(plane: Plane, pad: int) -> Plane:
    """Mirror the borders outwards; the row and column that the programme never reads are left out.

    The programme appends one more of each, and its blocks end before the last.
    """
    return np.pad(plane, pad, mode="symmetric")


def _fit(covered: Plane, shape: tuple[int, ...]) -> Plane:
    """Cut a map to a shape; what no block covers is 0."""
    fitted = np.zeros(shape)
    height, width = (min(pair) for pair in zip(shape, covered.shape, strict=True))
    fitted[:height, :width] = covered[:height, :width]
    return fitted


def _is_active(padded: Plane) -> NDArray[np.bool_]:
    """Tell which blocks hold a sub-block with light and contrast.

    The programme inverts bright sub-blocks first, which changes neither condition.
    """
    luminance = (0.7656 + 0.0364 * padded) ** 2.2
    size = (SUB_BLOCK_PX, SUB_BLOCK_PX)
    subs = np.lib.stride_tricks.sliding_window_view(luminance, size)[::SUB_STEP_PX, ::SUB_STEP_PX]
    contrast = subs.max(axis=(2, 3)) - subs.min(axis=(2, 3))
    counts = (subs.mean(axis=(2, 3)) > MIN_LUMINANCE) & (contrast > MIN_CONTRAST)
    inside = (SPECTRAL_BLOCK_PX - SUB_BLOCK_PX) // SUB_STEP_PX + 1
    groups = np.lib.stride_tricks.sliding_window_view(counts, (inside, inside))
    step = SPECTRAL_STEP_PX // SUB_STEP_PX
    return np.asarray(groups[::step, ::step].any(axis=(2, 3)))


def _spectral_sharpness(blocks: Plane) -> Plane:
    """Give the sigmoid of the spectral slope of each block. Shape (n, 32, 32) -> (n,)."""
    side = SPECTRAL_BLOCK_PX
    # MATLAB's hanning window, which has no zeros at its ends.
    taps = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, side + 1) / (side + 1)))
    magnitude = np.abs(scipy.fft.fft2(blocks * np.outer(taps, taps)))
    magnitude[:, 0, 0] = (magnitude[:, 1, 0] + magnitude[:, 0, 1]) / 2
    radial = magnitude.reshape(len(blocks), -1) @ _radial_weights()

    frequency = np.log(np.arange(1, RADII + 1) / side)
    centred = frequency - frequency.mean()
    slope = np.log(radial) @ centred / (centred**2).sum()
    return np.asarray(1 - 1 / (1 + np.exp(SIGMOID_SLOPE * (slope + SIGMOID_CENTRE))))


@cache
def _radial_weights() -> Plane:
    """Give the matrix that averages a spectrum over the circles of radius 1..16.

    The programme interpolates between the grid points next to a place on the circle, but on
    negative coordinates it exchanges the two points' weights; its published values contain that.
    Places that lie on a grid point take the side that the rounding of the sine decides.

    Returns:
        Weights of the 32 x 32 magnitudes, row by row, for each radius. Shape (1024, 16), float64.
    """
    side = SPECTRAL_BLOCK_PX
    weights = np.zeros((side, side, RADII))
    angle = (np.arange(ANGLES) / ANGLES) * 2 * np.pi
    for radius in range(1, RADII + 1):
        rows, columns = _grid_points(radius * np.sin(angle)), _grid_points(radius * np.cos(angle))
        for row, row_weight in rows:
            for column, column_weight in columns:
                shares = row_weight * column_weight / ANGLES
                np.add.at(weights[:, :, radius - 1], (row % side, column % side), shares)
    return weights.reshape(side * side, RADII)


def _grid_points(
    position: Plane,
) -> tuple[tuple[NDArray[np.intp], Plane], tuple[NDArray[np.intp], Plane]]:
    """Give the grid points towards and away from zero with the programme's weights."""
    inner = np.trunc(position)
    outer = np.where(position < 0, np.floor(position), np.ceil(position))
    outer_weight = np.where(outer >= 0, np.abs(position - inner), np.abs(position - outer))
    return (
        (inner.astype(np.intp), 1 - outer_weight),
        (outer.astype(np.intp), outer_weight),
    )
