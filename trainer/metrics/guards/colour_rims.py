"""Colour rims: fringes beside edges of colour that no exposure has."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.metrics.grey import GREY_WEIGHTS, Grey, check_compared, check_rgb
from trainer.metrics.guards.cells import average_cells, average_worst
from trainer.metrics.windows import Plane

CELLS = 256
"""Cells along the longer side: fringes are narrower than the rims of `halo`."""

STRONG_EDGE = 16.0
"""Grey levels of an opponent channel within `NEAR` by which an exposure shows an edge."""

NEAR = 5
"""Side in cells of the square around a cell in which its edges are looked for."""

GAIN = 1.5
"""A fusion may show a colour of an exposure so many times as strongly; the rest is made up."""


def colour_rims(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the overshoot of colour beside its edges, where it is worst; lower is better.

    On coarse tones (`CELLS` along the longer side, see `average_cells`), with the opponent
    channels o = R - Y and o = B - Y of the exposures k and of the result f:

    .. math::
        h = \max_o \; \max\left(0, \;
            o_f - 1.5 \max(0, \max_k o_k), \; 1.5 \min(0, \min_k o_k) - o_f\right)

    in cells near an edge, and 0 elsewhere: where any exposure changes by more than `STRONG_EDGE` in
    this channel within the 5 x 5 cells around. The result is the mean of h over the worst per cent
    of all cells. Violet beside leaves before a white sky, where each exposure is green or neutral,
    raises it; more and less of a colour that an exposure has there does not. Where colours vary
    slowly over a cell no convex weights of the exposures raise it.

    Args:
        exposures: Two or more, in any order, RGB in sRGB, 0..255. Shape (H, W, 3) each, uint8.
        fused: Fused picture, likewise.

    Returns:
        Overshoot in grey levels, 0 or more; 0 without an edge.

    Raises:
        ValueError: There are fewer than two exposures, a picture is not RGB of 8 bits, or they
            differ in size.

    Reference:
        Ours, after `halo`. On thirty pairs the order of the methods is nearly the same with 128 to
        256 cells and edges of 16 or 32 levels; with a gain of 1 all that saturates has rims.

    Example:
        >>> leaves = np.full((64, 64, 3), (60, 120, 40), np.uint8)
        >>> leaves[:, 32:] = 250
        >>> violet = leaves.copy()
        >>> violet[:, 32:34] = (250, 210, 250)
        >>> colour_rims([leaves, leaves], leaves), round(colour_rims([leaves, leaves], violet), 1)
        (0.0, 23.5)
    """
    check_compared(exposures)
    check_rgb(fused, *exposures)
    shown = np.stack([_average_opponents(one) for one in exposures])
    result = _average_opponents(fused)
    above = result - GAIN * shown.max(axis=0).clip(min=0)
    below = GAIN * shown.min(axis=0).clip(max=0) - result
    is_near = np.logical_or.reduce([_find_edges(of_exposure) for of_exposure in shown])
    overshoot = np.where(is_near, np.maximum(above, below).clip(min=0), 0)
    return average_worst(overshoot.max(axis=0))


def _average_opponents(picture: Grey) -> Plane:
    """R - Y and B - Y of cells. Shape (H, W, 3) to (2, h, w)."""
    red, green, blue = (
        average_cells(picture[..., channel].astype(np.float64), CELLS) for channel in range(3)
    )
    luma = GREY_WEIGHTS[0] * red + GREY_WEIGHTS[1] * green + GREY_WEIGHTS[2] * blue
    return np.stack([red - luma, blue - luma])


def _find_edges(channels: Plane) -> NDArray[np.bool_]:
    """Where each channel changes strongly near a cell. Shape (2, h, w) both."""
    near = np.ones((NEAR, NEAR), np.uint8)
    spans = [cv2.dilate(channel, near) - cv2.erode(channel, near) for channel in channels]
    edges: NDArray[np.bool_] = np.stack(spans) > STRONG_EDGE
    return edges
