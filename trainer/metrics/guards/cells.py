"""Coarse tones: a picture averaged over cells that are a fixed share of its longer side."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.metrics.windows import Plane

WORST_SHARE = 0.01
"""Share of the cells that `average_worst` looks at."""


def average_cells(plane: Plane, cells: int) -> Plane:
    """Average a plane over square cells, so many along its longer side.

    Cells are a share of the picture and not a number of pixels: the same scene has the same
    coarse tones at any resolution. They cover the whole picture; a pixel that two of them share
    counts in both by its area. A picture with fewer pixels than cells has a cell for each pixel.

    Args:
        plane: Values. Shape (H, W), float64.
        cells: Cells along the longer side, at least 1.

    Returns:
        Means. Shape (h, w), float64, the longer side at most `cells`, the shorter at least 1.

    Example:
        >>> average_cells(np.array([[0.0, 4.0, 8.0, 12.0]]), 2).tolist()
        [[2.0, 10.0]]
    """
    height, width = plane.shape
    share = min(1.0, cells / max(height, width))
    size = max(1, round(width * share)), max(1, round(height * share))
    averaged: NDArray[np.generic] = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    return np.asarray(averaged, dtype=np.float64).reshape(size[1], size[0])


def average_worst(values: Plane) -> float:
    """Average the largest per cent of values, at least one: what an eye sees before all others.

    Args:
        values: How bad each cell is. Any shape, at least one value, float64.

    Returns:
        The mean of the largest `WORST_SHARE`.

    Example:
        >>> average_worst(np.arange(200.0))
        198.5
    """
    count = math.ceil(WORST_SHARE * values.size)
    return float(np.sort(values, axis=None)[-count:].mean())
