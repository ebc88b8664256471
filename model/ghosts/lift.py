"""Continues the surroundings of what moved where the reference shows nothing but a bound."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.ghosts.curves import Levels, trust_levels
from model.ghosts.ghost_map import NO_LIFT
from model.ghosts.kernels import LEVELS
from model.ghosts.planes import Plane, Planes, find_worst, halve, look_up

ANCHOR = 0.5
"""Weight of a level just inside the limit: there a surface goes on without a step."""

ANCHOR_BRIGHT, ANCHOR_DARK = (200, 220), (60, 40)
"""Levels between which anchors gain their weight, towards clipping and towards black."""

LEAST_LIFT = 2.0
"""Levels of a step that nobody sees."""

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
        exposure: The exposure. Shape (3, h, w).
        predicted: What is predicted of it.
        reference: The reference.
        mask: 255 where the exposure is replaced. Shape (h, w).
        is_brighter: The exposure is brighter than the reference.

    Returns:
        The lift, see `GhostMap`, at a quarter of the sides; None where none is needed.

    Reference:
        Gortler et al., "The lumigraph", SIGGRAPH 1996: pull and push.
    """
    worst = find_worst(reference, is_brighter=is_brighter)
    trust = trust_levels(is_brighter=is_brighter)
    doubt = look_up(255 * (1 - trust), worst)
    needed = cv2.threshold(cv2.min(mask, doubt), 0, 255, cv2.THRESH_BINARY)[1]
    if min(mask.shape) < LEAST_SIDE_PX or not cv2.hasNonZero(needed):
        return None
    anchor = look_up(255 * ANCHOR * trust * _near_limit(is_brighter=is_brighter), worst)
    kept = cv2.threshold(mask, 0, 255, cv2.THRESH_BINARY_INV)[1]
    seen = _to_share(halve(np.asarray(cv2.min(doubt, kept), np.uint8)))
    ways = [
        seen * cv2.subtract(halve(one), halve(other), dtype=cv2.CV_32F)
        for one, other in zip(exposure, predicted, strict=True)
    ]
    weight = seen + _to_share(halve(anchor))
    filled = _pull_and_push(_shrink(np.asarray(cv2.merge(ways))), _shrink(weight))
    filled[np.abs(filled) < LEAST_LIFT] = 0
    lift: Lift = np.clip(np.rint(filled) + NO_LIFT, 0, 255).astype(np.uint8)
    # One cell more on each side: the lift is magnified.
    is_needed = cv2.dilate(halve(halve(np.asarray(needed, np.uint8))), SQUARE) > 0
    lift[~is_needed] = NO_LIFT
    return lift if (lift != NO_LIFT).any() else None


def needs_lift(reference: Planes, mask: Plane, *, is_brighter: bool) -> bool:
    """Whether anything is replaced where the reference shows little more than a bound.

    Else there is no lift, whatever is predicted.

    Args:
        reference: See `find_lift`, as the others.
        mask: See there.
        is_brighter: See there.
    """
    if min(mask.shape) < LEAST_SIDE_PX:
        return False
    doubt = 255 * (1 - trust_levels(is_brighter=is_brighter))
    worst = find_worst(reference, is_brighter=is_brighter)
    return bool(cv2.hasNonZero(cv2.min(mask, look_up(doubt, worst))))


def _near_limit(*, is_brighter: bool) -> Levels:
    """How near each level is to where the reference shows nothing any more, 0..1."""
    start, end = ANCHOR_DARK if is_brighter else ANCHOR_BRIGHT
    return np.asarray(((np.arange(LEVELS) - start) / (end - start)).clip(0, 1))


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
