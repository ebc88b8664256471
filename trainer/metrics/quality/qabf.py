"""Qabf: how much of the sources' edge strength and direction the fused picture keeps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from trainer.metrics.grey import Grey, as_compared_planes
from trainer.metrics.windows import Plane

STRENGTH_SIGMOID = (0.9994, 15.0, 0.5)
"""Gain, slope and centre of the sigmoid for kept edge strength (Xydeas and Petrovic, 2000)."""

DIRECTION_SIGMOID = (0.9879, 22.0, 0.8)
"""The same for kept edge direction."""


def qabf(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the edge transfer from exposures to their fusion; higher is better.

    .. math::
        Q^{ABF} = \frac{\sum_k \sum Q^{kF} g_k}{\sum_k \sum g_k}

    where g is the Sobel magnitude of an exposure k (borders padded with zeros) and Q the product
    of two sigmoids of the kept strength and the kept direction of its edge. Without any edge in
    the sources the quotient is undefined; the result is then 0.

    Args:
        exposures: Two or more, grey, 0..255. Shape (H, W) each, sides of at least 2.
        fused: Fused picture, likewise.

    Returns:
        Score, about 0..1.

    Reference:
        Xydeas and Petrovic, Electron. Lett. 36 (2000) 308-309, in the form used by the MEFB
        benchmark, whose value at equal magnitudes is the magnitude itself and not 1. It is stated
        for two sources A and B; the sums run over all of them here.

    Example:
        >>> step = np.repeat([[0.0, 50.0]], 8, axis=0).repeat(8, axis=1)
        >>> qabf([step, step], step) > 0.95
        True
    """
    sources, result = as_compared_planes(exposures, fused)
    result_edges = _edges(result)
    kept = total = 0.0
    for source in sources:
        strength, angle = _edges(source)
        kept += float((_preservation(strength, angle, *result_edges) * strength).sum())
        total += float(strength.sum())
    return kept / total if total > 0 else 0.0


def _edges(plane: Plane) -> tuple[Plane, Plane]:
    """Give Sobel magnitude and angle in (-pi/2, pi/2]; an upright gradient has pi/2."""
    horizontal = cv2.Sobel(plane, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_CONSTANT)
    # The definition counts the vertical axis upwards; the sign decides which angles are near pi/2.
    vertical = -cv2.Sobel(plane, cv2.CV_64F, 0, 1, borderType=cv2.BORDER_CONSTANT)
    is_upright = horizontal == 0
    slope = np.divide(vertical, horizontal, out=np.zeros_like(plane), where=~is_upright)
    angle = np.where(is_upright, np.pi / 2, np.arctan(slope))
    return np.sqrt(horizontal**2 + vertical**2), angle


def _preservation(strength: Plane, angle: Plane, strength_f: Plane, angle_f: Plane) -> Plane:
    larger = np.maximum(strength, strength_f)
    ratio = np.divide(
        np.minimum(strength, strength_f), larger, out=np.zeros_like(larger), where=larger > 0
    )
    kept_strength = np.where(strength == strength_f, strength_f, ratio)
    kept_direction = 1 - np.abs(angle - angle_f) / (np.pi / 2)
    return _sigmoid(kept_strength, *STRENGTH_SIGMOID) * _sigmoid(kept_direction, *DIRECTION_SIGMOID)


def _sigmoid(value: Plane, gain: float, slope: float, centre: float) -> Plane:
    return np.asarray(gain / (1 + np.exp(-slope * (value - centre))))
