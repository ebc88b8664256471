"""Finds the homography between the exposures of a pair, or says why none is applied."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.adaptive_gamma import adaptive_gamma, apply_gamma
from model.alignment.patches import PatchFit, frame_corners, map_points, refine_homography
from model.exposure import IDENTITY, AlignmentReport, ExposurePair, Pixels, Reference

PROXY_MAX_PX = 1_500_000
"""Keypoints are sought on at most this many pixels: SIFT on 24 megapixels peaks at 5.4 GB."""

NEGLIGIBLE_SHIFT_PX = 0.5
"""Motion, at full size, below which warping would only blur."""

SIFT_FEATURES = 4000
SIFT_CONTRAST = 0.01
"""A quarter of the usual threshold: what an under exposure shows is faint even after AGC."""

MATCH_RATIO = 0.8
RANSAC_PX = 3.0
RANSAC_ITERATIONS = 10_000
RANSAC_CONFIDENCE = 0.9999

RefusalReason = Literal[
    "few_matches",
    "few_inliers",
    "low_inlier_ratio",
    "poor_spread",
    "uncertain",
    "implausible_motion",
]

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]


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


def align_pair(pair: ExposurePair, *, reference: Reference = "over") -> AlignmentReport:
    """Find the homography that lays one exposure of a pair onto the other.

    SIFT keypoints of the two grey, AGC-corrected proxies (at most `PROXY_MAX_PX` pixels) are
    matched by ratio test and mutual check; a robust homography of them is refined on patches,
    checked by the gates, and rescaled to full size. Where a gate fails, the model is the identity;
    so it is where no corner, or the root mean square of the matched patches, moves by
    `NEGLIGIBLE_SHIFT_PX` (a corner alone is extrapolated). Black, white, constant and tiny images
    have nothing to match and are refused like any other. The same pair gives the same report.

    Args:
        pair: The exposures, uint8 or uint16.
        reference: The exposure that stays where it is; the other one is the moving exposure.

    Returns:
        What was found and what is to be applied.

    Reference:
        Lowe, "Distinctive image features from scale-invariant keypoints", IJCV, 2004;
        Barath et al., "MAGSAC++, a fast, reliable and accurate robust estimator", CVPR, 2020.
        The alignment step of the paper names SIFT on AGC images and a homography; patches and
        gates are ours.

    Example:
        >>> black = np.zeros((32, 32, 3), np.uint8)
        >>> align_pair(ExposurePair.from_images(black, black)).refused
        'few_matches'
    """
    moving, fixed = (pair.under, pair.over) if reference == "over" else (pair.over, pair.under)
    # a first homography from keypoints of the proxies
    cv2.setRNGSeed(0)
    moving_proxy, fixed_proxy = make_proxy(moving), make_proxy(fixed)
    coarse = match_keypoints(moving_proxy, fixed_proxy)
    if coarse is None:
        return _report(reference, refused="few_matches")
    # refined on patches, and judged
    fit = refine_homography(moving_proxy, fixed_proxy, coarse)
    if fit is None:
        return _report(reference, refused="few_inliers")
    inliers, ratio = int(fit.is_inlier.sum()), float(fit.is_inlier.mean())
    height, width = fixed_proxy.shape
    refused = check_gates(fit, width, height)
    if refused is not None:
        return _report(reference, inliers=inliers, ratio=ratio, refused=refused)
    # at full size: is the motion worth a warp?
    full = rescale_homography(fit.homography, (width, height), (pair.width, pair.height))
    corner_shift_px = shift_corners(full, pair.width, pair.height)
    matched_shift_px = fit.inlier_shift_px * max(pair.width / width, pair.height / height)
    is_negligible = min(corner_shift_px, matched_shift_px) < NEGLIGIBLE_SHIFT_PX
    return _report(
        reference,
        homography=None if is_negligible else full,
        inliers=inliers,
        ratio=ratio,
        shift_px=corner_shift_px,
    )


def make_proxy(image: Pixels) -> Grey:
    """Reduce an RGB image (H, W, 3) to an AGC-corrected grey proxy in 0..1, float32."""
    height, width = image.shape[:2]
    scale = min(1.0, (PROXY_MAX_PX / (height * width)) ** 0.5)
    if scale < 1.0:
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    else:
        reduced = image
    grey = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY)
    intensity: Grey = np.divide(grey, np.iinfo(image.dtype).max, dtype=np.float32)
    return apply_gamma(intensity, adaptive_gamma(intensity))


def match_keypoints(
    moving: Grey, fixed: Grey, *, estimator: int = cv2.USAC_MAGSAC
) -> Matrix | None:
    """Find a first homography (3, 3) from SIFT matches; None where there are too few.

    MAGSAC++ rather than RANSAC (`cv2.RANSAC`): `bench/alignment.py` runs both.
    """
    moving_points, moving_features = _detect(moving)
    fixed_points, fixed_features = _detect(fixed)
    rows, columns = match_features(moving_features, fixed_features)
    if len(rows) < GATES.min_matches:
        return None
    homography, _ = cv2.findHomography(
        moving_points[rows],
        fixed_points[columns],
        estimator,
        RANSAC_PX,
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
    # squared distances of all pairs of descriptors
    squares = (moving**2).sum(axis=1)[:, None] + (fixed**2).sum(axis=1)
    distances = squares - 2.0 * (moving @ fixed.T)
    # nearest neighbours in both directions, and the second nearest
    rows = np.arange(len(moving))
    nearest = distances.argmin(axis=1)
    backward = distances.argmin(axis=0)
    best = distances[rows, nearest]
    distances[rows, nearest] = np.inf
    second = distances.min(axis=1)
    is_match = (best < ratio**2 * second) & (backward[nearest] == rows)
    return rows[is_match], nearest[is_match]


def rescale_homography(
    homography: Matrix, size: tuple[int, int], target: tuple[int, int]
) -> Matrix:
    """Carry a homography between images of one size (width, height) to images of another.

    Pixel centres lie at integers, so pixel x of the one is (x + 0.5) * ratio - 0.5 of the other.

    Args:
        homography: Map between images of `size`. Shape (3, 3), float64.
        size: Width and height that it was found at.
        target: Width and height that it is needed at.

    Returns:
        The map between images of `target` size, `h[2, 2] = 1`. Shape (3, 3), float64.

    Example:
        >>> shift = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> rescale_homography(shift, (100, 50), (200, 100))[0].tolist()
        [1.0, 0.0, 6.0]
    """
    x, y = target[0] / size[0], target[1] / size[1]
    enlarge = np.array([[x, 0.0, (x - 1.0) / 2.0], [0.0, y, (y - 1.0) / 2.0], [0.0, 0.0, 1.0]])
    rescaled = enlarge @ homography @ np.linalg.inv(enlarge)
    result: Matrix = rescaled / rescaled[2, 2]
    return result


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
    # the frame stays on one side of the horizon, and convex
    depth = corners @ homography[2, :2] + homography[2, 2]
    if not np.isfinite(homography).all() or depth.min() <= 0.0:
        return False
    warped = map_points(homography, corners)
    if not cv2.isContourConvex(warped.astype(np.float32)):
        return False
    # the Jacobian at each corner: scale, shear and rotation
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


def _detect(proxy: Grey) -> tuple[Matrix, NDArray[np.float32]]:
    """SIFT keypoints (M, 2) and descriptors (M, 128) of a proxy."""
    sift = cv2.SIFT.create(
        nfeatures=SIFT_FEATURES, contrastThreshold=SIFT_CONTRAST, enable_precise_upscale=True
    )
    keypoints, features = sift.detectAndCompute(np.rint(proxy * 255.0).astype(np.uint8), None)
    if features is None:
        return np.empty((0, 2)), np.empty((0, 128), np.float32)
    return np.array([keypoint.pt for keypoint in keypoints], np.float64), features


def _report(
    reference: Reference,
    *,
    homography: Matrix | None = None,
    inliers: int = 0,
    ratio: float = 0.0,
    shift_px: float = 0.0,
    refused: RefusalReason | None = None,
) -> AlignmentReport:
    """Plain report of a homography to apply, or of the identity."""
    return AlignmentReport(
        model="identity" if homography is None else "homography",
        homography=IDENTITY if homography is None else tuple(homography.ravel().tolist()),
        inliers=inliers,
        inlier_ratio=ratio,
        max_corner_shift_px=shift_px,
        refused=refused,
        reference=reference,
    )
