"""Predicts pixels of an exposure from those of the reference, and puts them in its place."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import UINT8_TO_UINT16, Pixels
from model.ghosts.ghost_map import CurveTable, GhostMap, LevelTable

Field = NDArray[np.float32]
Weight = Field
"""Shares of pixels, 0..1. Shape (h, w)."""

_EVERY_UINT16 = np.arange(2**16) / UINT8_TO_UINT16


class Predictor:
    """What `GhostMap` predicts, as tables for the levels of one type.

    Args:
        ghost: What moved.
        dtype: Type of the pixels, uint8 or uint16.
    """

    def __init__(self, ghost: GhostMap, dtype: np.dtype[np.generic]) -> None:
        self._curve = _to_tables(ghost.curve, dtype)
        self._neighbour_curve = (
            None if ghost.neighbour_curve is None else _to_tables(ghost.neighbour_curve, dtype)
        )
        self._trust = _expand(ghost.trust, dtype).astype(np.float32)
        self._is_darker = ghost.trust[0] > ghost.trust[-1]

    def predict(self, reference: Pixels, neighbour: Pixels | None) -> Pixels:
        """Predict pixels of the exposure from those of the reference and of its neighbour.

        Args:
            reference: Shape (h, w, 3).
            neighbour: The same of the neighbour; not used where the ghost has no curve of it.

        Returns:
            Shape and type of the reference.
        """
        own = _look_up(reference, self._curve)
        if neighbour is None or self._neighbour_curve is None:
            return own
        return mix(_look_up(neighbour, self._neighbour_curve), own, self._find_trust(reference))

    def raise_levels(self, prediction: Pixels, reference: Pixels, lift: Field) -> Pixels:
        """Add a lift, in levels of uint8, to a prediction, as far as the reference is no help."""
        doubt = 1 - self._find_trust(reference)
        share = cv2.merge([doubt, doubt, doubt])
        if prediction.dtype == np.uint8:
            levels = cv2.multiply(lift, share)
            return np.asarray(cv2.add(prediction, levels, dtype=cv2.CV_8U), np.uint8)
        levels = cv2.multiply(lift, share, scale=UINT8_TO_UINT16)
        return np.asarray(cv2.add(prediction, levels, dtype=cv2.CV_16U), np.uint16)

    def _find_trust(self, reference: Pixels) -> Weight:
        """Trust in the least trusted channel of every pixel."""
        red, green, blue = cv2.split(reference)
        extreme = cv2.max if self._is_darker else cv2.min
        worst = extreme(extreme(red, green), blue)
        if reference.dtype == np.uint8:
            return np.asarray(cv2.LUT(np.asarray(worst, np.uint8), self._trust), np.float32)
        return np.asarray(self._trust[worst], np.float32)


def mix(first: Pixels, second: Pixels, weight: Weight) -> Pixels:
    """First plus weight times the way to the second, rounded. Shape (h, w, 3)."""
    full = np.iinfo(first.dtype).max
    levels = np.rint(weight * np.float32(full)).astype(first.dtype)
    share = cv2.merge([levels, levels, levels])
    # OpenCV's unsigned integers stop at 0, so that the ways up and down go apart.
    up = cv2.multiply(cv2.subtract(second, first), share, scale=1 / full)
    down = cv2.multiply(cv2.subtract(first, second), share, scale=1 / full)
    mixed = cv2.subtract(cv2.add(first, up), down)
    if first.dtype == np.uint8:
        return np.asarray(mixed, np.uint8)
    return np.asarray(mixed, np.uint16)


def _look_up(pixels: Pixels, tables: Pixels) -> Pixels:
    """Each channel in its table, (3, levels)."""
    if pixels.dtype == np.uint8:
        interleaved = np.ascontiguousarray(np.asarray(tables, np.uint8).T)[None]
        return np.asarray(cv2.LUT(np.asarray(pixels, np.uint8), interleaved), np.uint8)
    planes = [table[pixels[..., channel]] for channel, table in enumerate(tables)]
    return np.asarray(cv2.merge(planes), np.uint16)


def _to_tables(curve: CurveTable, dtype: np.dtype[np.generic]) -> Pixels:
    """The curve of each channel in the levels of a type. Shape (3, levels)."""
    levels = np.stack([_expand(one, dtype) for one in curve])
    if dtype == np.uint8:
        return np.rint(levels).astype(np.uint8)
    return np.rint(levels * UINT8_TO_UINT16).astype(np.uint16)


def _expand(levels: LevelTable, dtype: np.dtype[np.generic]) -> NDArray[np.float64]:
    """A table of 256 levels, linear in between, for every level of a type."""
    table = np.array(levels, np.float64)
    if dtype == np.uint8:
        return table
    return np.asarray(np.interp(_EVERY_UINT16, np.arange(256), table))
