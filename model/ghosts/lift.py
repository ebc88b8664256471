"""Continues the surroundings of what moved where the reference shows nothing but a bound."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.ghosts.curves import LEVELS, Levels, trust_levels
from model.ghosts.ghost_map import NO_LIFT
from model.ghosts.planes import Plane, Planes, halve, look_up

ANCHOR = 0.5
"""Weight of a level just inside the limit: there a surface goes on without a step."""

ANCHOR_BRIGHT, ANCHOR_DARK = (200, 220), (60, 40)
"""Levels between which anchors gain their weight, towards clipping and towards black."""

LEAST_WEIGHT = 1e-3
LEAST_SIDE_PX = 8

Field = NDArray[np.float32]
Lift = NDArray[np.uint8]
SQUARE = np.ones((3, 3), np.uint8)


def find_lift(
    exposure: Planes, predicted: Planes, reference: Planes, mask: Plane, *, is_brighter: bool
) -> Lift | None:
    """Find by how much a prediction misses the exposure around a ghost, and carry it inwards.

    What is clipped in the reference can have any level in a darker exposure, and is predicted as
    one level: without more, a flat band beside what was not replaced. The difference that the
    exposure shows around, where the reference is clipped too, is interpolated over the ghost. It
    vanishes towards levels that are just not clipped, which are predicted well.

    Args:
        exposure: The exposure. Shape (h, w) each plane.
        predicted: What is predicted of it.
        reference: The reference.
        mask: 255 where the exposure is replaced. Shape (h, w).
        is_brighter: The exposure is brighter than the reference.

    Returns:
        The lift, see `GhostMap`, at a quarter of the sides; None where all that is replaced is
        predicted well.

    Reference:
        Gortler et al., "The lumigraph", SIGGRAPH 1996: pull and push.
    """
    doubt = find_doubt(reference, is_brighter=is_brighter)
    needed = cv2.min(mask, doubt)
    if min(mask.shape) < LEAST_SIDE_PX or not needed.any():
        return None
    seen = _to_share(halve(np.where(mask == 0, doubt, np.uint8(0))))
    ways = [
        seen * cv2.subtract(one, other, dtype=cv2.CV_32F)
        for one, other in zip(exposure.halved(), predicted.halved(), strict=True)
    ]
    weight = seen + _to_share(halve(_find_anchors(reference, is_brighter=is_brighter)))
    filled = _pull_and_push(_shrink(np.asarray(cv2.merge(ways))), _shrink(weight))
    lift: Lift = np.clip(np.rint(filled) + NO_LIFT, 0, 255).astype(np.uint8)
    # One cell more on each side: the lift is magnified.
    cells = halve(halve((needed > 0) * np.uint8(255)))
    lift[cv2.dilate(cells, SQUARE) == 0] = NO_LIFT
    return lift


def find_doubt(reference: Planes, *, is_brighter: bool) -> Plane:
    """How far the reference does not predict an exposure: 0 .. 255. Shape (h, w)."""
    trust = trust_levels(is_brighter=is_brighter)
    return look_up(255 * (1 - trust), reference.worst(is_brighter=is_brighter))


def add_lift(levels: Planes, lift: Lift, doubt: Plane) -> Planes:
    """Levels with a lift, as far as there is doubt."""
    size = doubt.shape[1], doubt.shape[0]
    ways = cv2.resize(lift.astype(np.float32) - NO_LIFT, size, interpolation=cv2.INTER_LINEAR)
    raised = cv2.multiply(ways, cv2.merge([_to_share(doubt)] * 3))
    return Planes.of(np.asarray(cv2.add(cv2.merge(levels), raised, dtype=cv2.CV_8U), np.uint8))


def _find_anchors(reference: Planes, *, is_brighter: bool) -> Plane:
    start, end = ANCHOR_DARK if is_brighter else ANCHOR_BRIGHT
    near: Levels = ((np.arange(LEVELS) - start) / (end - start)).clip(0, 1)
    weight = ANCHOR * near * trust_levels(is_brighter=is_brighter)
    return look_up(255 * weight, reference.worst(is_brighter=is_brighter))


def _to_share(plane: Plane) -> Field:
    return np.asarray(plane.astype(np.float32) / np.float32(255))


def _shrink(field: Field) -> Field:
    height, width = field.shape[:2]
    size = (width // 2, height // 2)
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_AREA), np.float32)


def _pull_and_push(values: Field, weight: Field) -> Field:
    """Fill a field from where it has weight: means of ever larger cells, finer where known.

    Args:
        values: Values times their weight. Shape (h, w, 3).
        weight: Weights, 0..1.5. Shape (h, w).
    """
    if min(weight.shape) <= 2:
        return values / (weight + np.float32(LEAST_WEIGHT))[..., None]
    coarse = _pull_and_push(_shrink(values), _shrink(weight))
    around = cv2.resize(coarse, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
    own = values / np.maximum(weight, np.float32(1e-6))[..., None]
    known = np.minimum(4 * weight, np.float32(1))[..., None]
    return np.asarray(around + known * (own - around), np.float32)
