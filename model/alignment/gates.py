"""The bounds that a homography must keep to be applied, and the reasons why one is refused."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.patches import PatchFit, frame_corners, map_points

RefusalReason = Literal[
    "few_matches",
    "few_inliers",
    "low_inlier_ratio",
    "poor_spread",
    "uncertain",
    "implausible_motion",
]

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gates:
    """Bounds that a homography must keep to be applied; `bench/alignment.py` measures them.

    Attributes:
        min_matches: Matches of keypoints from which a first homography is sought.
        min_inliers: Patches that must agree with the refined one.
        min_inlier_ratio: Their least share of all patches found again.
        min_spread: Least share of the frame that the convex hull of these patches covers.
        max_corner_sigma_px: Standard error of a corner, proxy pixels, that is always taken.
        relative_corner_sigma: The same as a share of the corner motion that is put right.
        corner_sigma_limit_px: Standard error of a corner that is never taken.
        min_scale: Least local scale along an axis, at any corner.
        max_scale: Largest local scale.
        max_shear: Largest cosine of the angle between the mapped axes, at any corner.
        max_rotation: Largest local rotation in radians.
        max_shift: Largest motion of the middle as a share of the side.
    """

    min_matches: int = 8
    min_inliers: int = 30
    min_inlier_ratio: float = 0.6
    min_spread: float = 0.25
    max_corner_sigma_px: float = 0.5
    relative_corner_sigma: float = 0.02
    corner_sigma_limit_px: float = 1.5
    min_scale: float = 0.8
    max_scale: float = 1.25
    max_shear: float = 0.15
    max_rotation: float = 0.26
    max_shift: float = 0.25


GATES = Gates()

NEAR_GATES = Gates(min_inliers=80)
"""For few patches that are to say whether exposures are at rest: fewer than these are not exact."""

STRIP_GATES = Gates(min_spread=0.06)
"""For a similarity, which is known all over the frame from patches in a strip of it."""


def check_gates(
    fit: PatchFit, width: int, height: int, gates: Gates = GATES
) -> RefusalReason | None:
    """Name the first gate that a fit fails on an image of this size; None when it passes all."""
    if int(fit.is_inlier.sum()) < gates.min_inliers:
        return "few_inliers"
    if float(fit.is_inlier.mean()) < gates.min_inlier_ratio:
        return "low_inlier_ratio"
    hull = cv2.convexHull(fit.fixed_points[fit.is_inlier].astype(np.float32))
    if cv2.contourArea(hull) < gates.min_spread * width * height:
        return "poor_spread"
    relative_px = gates.relative_corner_sigma * shift_corners(fit.homography, width, height)
    tolerated_px = max(gates.max_corner_sigma_px, min(relative_px, gates.corner_sigma_limit_px))
    if not fit.corner_sigma_px <= tolerated_px:
        return "uncertain"
    if not is_plausible(fit.homography, width, height, gates):
        return "implausible_motion"
    return None


def shift_corners(homography: Matrix, width: int, height: int) -> float:
    """Largest motion in pixels of a corner of the frame under a homography (3, 3)."""
    corners = frame_corners(width, height)
    return float(np.linalg.norm(map_points(homography, corners) - corners, axis=1).max())


def is_plausible(homography: Matrix, width: int, height: int, gates: Gates = GATES) -> bool:
    """Whether a homography is one that a hand between two exposures can make.

    The warped frame must be convex and keep its orientation; scale, shear and rotation of the
    local affine map at each corner and the shift of the middle must keep their bounds.
    """
    corners = frame_corners(width, height)
    depth = corners @ homography[2, :2] + homography[2, 2]
    if not np.isfinite(homography).all() or depth.min() <= 0.0:
        return False
    warped = map_points(homography, corners)
    if not cv2.isContourConvex(warped.astype(np.float32)):
        return False
    for target, weight in zip(warped, depth, strict=True):
        local = (homography[:2, :2] - np.outer(target, homography[2, :2])) / weight
        scales = np.linalg.norm(local, axis=0)
        rotation = np.arctan2(local[1, 0], local[0, 0])
        shear = (local[:, 0] @ local[:, 1]) / scales.prod()
        if np.linalg.det(local) <= 0.0 or abs(rotation) > gates.max_rotation:
            return False
        if abs(shear) > gates.max_shear or not gates.min_scale <= scales.min():
            return False
        if scales.max() > gates.max_scale:
            return False
    middle = np.array([[(width - 1) / 2.0, (height - 1) / 2.0]])
    shift = np.abs(map_points(homography, middle) - middle)[0] / (width, height)
    return bool(shift.max() <= gates.max_shift)
