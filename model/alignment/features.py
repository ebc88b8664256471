"""A first homography between two exposures from matched SIFT keypoints."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.gates import GATES
from model.alignment.patches import Motion
from model.alignment.view import Keypoints

MATCH_RATIO = 0.8
RANSAC_PX = 3.0
RANSAC_ITERATIONS = 10_000
RANSAC_CONFIDENCE = 0.9999

Matrix = NDArray[np.float64]


def match_keypoints(
    moving: Keypoints,
    fixed: Keypoints,
    *,
    estimator: int = cv2.USAC_MAGSAC,
    motion: Motion = "homography",
) -> Matrix | None:
    """Find a first homography (3, 3) from SIFT matches; None where there are too few.

    MAGSAC++ rather than RANSAC (`cv2.RANSAC`): `bench/alignment.py` runs both.
    """
    moving_points, moving_features = moving
    fixed_points, fixed_features = fixed
    rows, columns = match_features(moving_features, fixed_features)
    return fit_matches(
        moving_points[rows], fixed_points[columns], estimator=estimator, motion=motion
    )


def fit_matches(
    moving_points: Matrix,
    fixed_points: Matrix,
    *,
    estimator: int = cv2.USAC_MAGSAC,
    motion: Motion = "homography",
    limit_px: float = RANSAC_PX,
) -> Matrix | None:
    """Find the motion that most matches agree on.

    Args:
        moving_points: Places in the moving exposure. Shape (M, 2), float64.
        fixed_points: Where they lie in the reference exposure, alike.
        estimator: Of OpenCV, for a homography.
        motion: What is sought.
        limit_px: How far a match may lie off it to agree.

    Returns:
        The homography (3, 3), or None where there are too few matches or none agree.
    """
    if len(moving_points) < GATES.min_matches:
        return None
    if motion == "similarity":
        affine, _ = cv2.estimateAffinePartial2D(
            moving_points, fixed_points, ransacReprojThreshold=limit_px
        )
        return None if affine is None else np.vstack([affine, [0.0, 0.0, 1.0]])
    homography, _ = cv2.findHomography(
        moving_points,
        fixed_points,
        estimator,
        limit_px,
        maxIters=RANSAC_ITERATIONS,
        confidence=RANSAC_CONFIDENCE,
    )
    if homography is None or not np.isfinite(homography).all():
        return None
    found: Matrix = homography.astype(np.float64)
    return found


def match_features(
    moving: NDArray[np.float32], fixed: NDArray[np.float32], *, ratio: float = MATCH_RATIO
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Match descriptors by ratio test and mutual check.

    SIFT's components are integers up to 255, so all squared distances are exact in float32 and
    the matches do not depend on the order of summation.

    Args:
        moving: Descriptors of the moving exposure. Shape (M, 128), float32.
        fixed: Descriptors of the reference exposure. Shape (N, 128), float32.
        ratio: Share of the second-best distance, in 0..1, that the best must stay below.

    Returns:
        Indices of the matched rows of either, of equal length.
    """
    nothing = np.empty(0, np.intp)
    if len(moving) < 2 or len(fixed) < 2:
        return nothing, nothing
    squares = (moving**2).sum(axis=1)[:, None] + (fixed**2).sum(axis=1)
    distances = squares - 2.0 * (moving @ fixed.T)
    rows = np.arange(len(moving))
    nearest = distances.argmin(axis=1)
    backward = distances.argmin(axis=0)
    best = distances[rows, nearest]
    distances[rows, nearest] = np.inf
    second = distances.min(axis=1)
    is_match = (best < ratio**2 * second) & (backward[nearest] == rows)
    return rows[is_match], nearest[is_match]
