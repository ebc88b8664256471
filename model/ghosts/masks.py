"""Turns scores into soft masks of whole objects."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class Reach(NamedTuple):
    """How far an object reaches from where it contradicts strongly.

    Attributes:
        weak: Score of what belongs to it, connected with what is strong.
        faint: Score of what its edge grows into.
        grow_px: How far the edge grows.
    """

    weak: float
    faint: float
    grow_px: int


STRONG = 1.4
"""Score that starts an object."""

ANY = Reach(0.7, 0.35, 4)
LARGE = Reach(0.5, 0.25, 8)
"""A large object is sure: what hangs together with it belongs to it on less evidence. Foliage and
water, which still scenes have in small pieces, stay as they are."""

LEAST_AREA_SHARE, LARGE_AREA_SHARE = 2e-5, 1e-3
"""Shares of the picture that an object contradicts strongly, a large one too."""

HOLE_SHARE = 0.01
"""Largest hole of an object that is its inside."""

CLOSE_PX = 4
MARGIN_PX = 2
FEATHER_PX = 1.2

Score = NDArray[np.float32]
Labels = NDArray[np.int32]
Region = NDArray[np.uint8]
"""1 inside, 0 outside. Shape (h, w)."""

SQUARE = np.ones((3, 3), np.uint8)


def make_mask(score: Score) -> NDArray[np.uint8]:
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
    count, labels = _find_parts(_above(score, ANY.weak))
    areas = np.bincount(labels[is_strong], minlength=count)
    areas[0] = 0
    if areas.max() < least:
        return np.zeros(score.shape, np.uint8)
    mask = _grow(_choose(labels, areas >= least), score, ANY)
    if areas.max() >= LARGE_AREA_SHARE * score.size:
        large = _choose(labels, areas >= LARGE_AREA_SHARE * score.size)
        mask = np.maximum(mask, _grow(_join(large, _above(score, LARGE.weak)), score, LARGE))
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disc(CLOSE_PX))
    whole = _fill_holes(np.asarray(cv2.dilate(closed, _disc(MARGIN_PX)), np.uint8))
    return np.asarray(cv2.GaussianBlur(whole * np.uint8(255), (0, 0), FEATHER_PX), np.uint8)


def _above(score: Score, threshold: float) -> Region:
    return (score > threshold).astype(np.uint8)


def _find_parts(region: Region) -> tuple[int, Labels]:
    """Connected parts of a region, numbered from 1, and how many numbers there are."""
    count, labels = cv2.connectedComponents(region, connectivity=8)
    return count, np.asarray(labels, np.int32)


def _choose(labels: Labels, is_chosen: NDArray[np.bool_]) -> Region:
    return np.asarray(is_chosen.astype(np.uint8).take(labels), np.uint8)


def _join(seeds: Region, region: Region) -> Region:
    """The connected parts of a region that hold a seed."""
    count, labels = _find_parts(region)
    is_held = np.bincount(labels[seeds > 0], minlength=count) > 0
    is_held[0] = False
    return _choose(labels, is_held)


def _grow(mask: Region, score: Score, reach: Reach) -> Region:
    """Grow over what is faint, step by step."""
    faint = _above(score, reach.faint)
    for _ in range(reach.grow_px):
        grown = np.asarray(cv2.dilate(mask, SQUARE), np.uint8)
        mask = np.maximum(mask, grown & faint)
    return mask


def _fill_holes(mask: Region) -> Region:
    """Fill, in place, what a mask encloses as far as it is small."""
    contours, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for contour, (_, _, _, around) in zip(contours, np.asarray(tree)[0], strict=True):
        if around >= 0 and cv2.contourArea(contour) < HOLE_SHARE * mask.size:
            cv2.drawContours(mask, [contour], -1, 1, cv2.FILLED)
    return mask


def _disc(radius: int) -> Region:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
