"""Turns scores into soft masks of whole objects."""

import cv2
import numpy as np
from numpy.typing import NDArray

STRONG, WEAK, FAINT = 1.4, 0.7, 0.35
"""Scores that start an object, that belong to it, and into which its edge grows."""

LEAST_AREA_SHARE = 2e-5
GROW_PX = 4
CLOSE_PX = 4
MARGIN_PX = 2
FEATHER_PX = 1.2

Plane = NDArray[np.float32]


def make_mask(score: Plane) -> NDArray[np.uint8]:
    """Mask what contradicts: hysteresis, growth to the edge, closing, a margin, a soft edge.

    Args:
        score: Contradiction, about 1 where as large as tolerated. Shape (h, w), float32.

    Returns:
        0 keep .. 255 replace. Shape (h, w).
    """
    is_strong = score > STRONG
    least = max(3.0, LEAST_AREA_SHARE * score.size)
    if np.count_nonzero(is_strong) < least:
        return np.zeros(score.shape, np.uint8)
    weak = (score > WEAK).astype(np.uint8)
    count, labels = cv2.connectedComponents(weak, connectivity=8)
    is_kept = np.bincount(labels[is_strong], minlength=count) >= least
    is_kept[0] = False
    if not is_kept.any():
        return np.zeros(score.shape, np.uint8)
    mask = is_kept.astype(np.uint8)[labels]
    faint = (score > FAINT).astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    for _ in range(GROW_PX):
        grown = np.asarray(cv2.dilate(mask, square), np.uint8)
        mask = np.maximum(mask, grown & faint)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disc(CLOSE_PX))
    whole = cv2.dilate(closed, _disc(MARGIN_PX)) * np.uint8(255)
    return np.asarray(cv2.GaussianBlur(whole, (0, 0), FEATHER_PX), np.uint8)


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
