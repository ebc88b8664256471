"""Sub-pixel refinement of a homography: small patches are sought again and fitted at once."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from model.alignment.correlation import (
    Correlation,
    correlate_patches,
    cut_patches,
    locate_patches,
)
from model.geometry import stretch
from model.side_by_side import map_parts

GRID_CELLS = 1000
"""Patches tried over the image, at most about this many; bounds the time at any image size."""

WIDE_GRID_CELLS = 400
"""The same for a round that reaches further than `FINE_REACH_PX`: it only leads to the next."""

FINE_REACH_PX = 2

PATCH_RADIUS_PX = 12
SEARCH_RADII_PX = (8, 4, 2)
"""One round of search and fit each; the first must reach as far as sparse matches may be wrong."""

STRENGTH_PX = 250_000
"""Patches are chosen on at most about this many pixels."""

PARTS = 6
"""Parts of about one size that patches are sought in: two threads, or three, have as much to do."""

MIN_PATCHES = 12
MAX_SIDE_PX = 32_766
"""Longest side of an image that OpenCV can sample at given places."""

INLIER_PX = 1.0
SMOOTHING_SIGMA_PX = 0.6

TUKEY_CUTOFFS_PX = (8.0, 4.0, 2.0)
"""Residual at which a patch loses its vote, lowered from the first steps of a fit to the last."""

STEPS_PER_CUTOFF = 4
SETTLED_PX = 1e-3
"""A step that moves no patch further than about this is the last before the next cutoff."""

EPSILON = 1e-9

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]
Places = NDArray[np.int64]
Motion = Literal["homography", "similarity"]

FREEDOMS: dict[Motion, Matrix] = {
    "homography": np.eye(8),
    "similarity": np.array(
        [
            [1, 0, 0, 0, 1, 0, 0, 0],
            [0, -1, 0, 1, 0, 0, 0, 0],
            [0, 0, 1, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 1, 0, 0],
        ],
        np.float64,
    ).T,
}
"""The eight parameters of `_map_with_slopes` by the free ones of each motion."""


@dataclass(frozen=True, slots=True)
class PatchFit:
    """A refined homography and the patch matches that it was fitted to.

    Attributes:
        homography: Moving-exposure pixel to reference pixel. Shape (3, 3).
        moving_points: Patch centres in the moving exposure. Shape (M, 2).
        fixed_points: Where they were found in the reference exposure. Shape (M, 2).
        is_inlier: Which of them lie within `INLIER_PX` of the homography. Shape (M,).
        corner_sigma_px: Largest standard error of a corner's position, from the residuals.
    """

    homography: Matrix
    moving_points: Matrix
    fixed_points: Matrix
    is_inlier: NDArray[np.bool_]
    corner_sigma_px: float

    @property
    def inlier_shift_px(self) -> float:
        """Root mean square of the motion of the inliers under the homography."""
        points = self.moving_points[self.is_inlier]
        squares = (map_points(self.homography, points) - points) ** 2
        return float(np.sqrt(squares.sum(axis=1).mean())) if len(points) else 0.0


def map_points(homography: Matrix, points: Matrix) -> Matrix:
    """Map points (M, 2) by a homography (3, 3); returns (M, 2), not finite at the horizon."""
    mapped = points @ homography[:, :2].T + homography[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Matrix = mapped[:, :2] / mapped[:, 2:]
    return result


def invert(homography: Matrix) -> Matrix:
    """The inverse of a homography (3, 3)."""
    return np.linalg.inv(homography).astype(np.float64, copy=False)


def frame_corners(width: int, height: int) -> Matrix:
    """Centres of the four corner pixels, clockwise from the first pixel. Shape (4, 2)."""
    right, bottom = width - 1.0, height - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])


def refine_homography(
    moving: Grey,
    fixed: Grey,
    start: Matrix,
    *,
    motion: Motion = "homography",
    reaches_px: Sequence[int] = SEARCH_RADII_PX,
) -> PatchFit | None:
    """Refine a homography that is right within a few pixels.

    Each round warps the moving exposure by the homography so far, seeks patches of it in the
    reference exposure by normalised cross-correlation (blind to local gain and offset, hence to
    the exposure), takes the sub-pixel maximum of the correlation, and fits the homography that
    remains by robust least squares. Each patch counts by the curvature of its correlation peak,
    so that a patch on an edge constrains only the direction across it.

    Args:
        moving: Grey image, AGC-corrected, 0..1. Shape (H, W), float32.
        fixed: The reference exposure, alike.
        start: Homography to start from. Shape (3, 3), float64.
        motion: What is refined; a similarity (shift, turn and scale) is what patches in a strip of
            the picture can still say.
        reaches_px: How far patches are sought, round by round.

    Returns:
        The fit, or None where too few patches can be found again.

    Reference:
        Robust weights: Beaton and Tukey, "The fitting of power series, meaning polynomials,
        illustrated on band-spectroscopic data", Technometrics, 1974.
    """
    if max(moving.shape) > MAX_SIDE_PX:
        return None
    (moving, moving_strength), (fixed, fixed_strength) = map_parts(_prepare, (moving, fixed))
    strengths = moving_strength, fixed_strength
    homography, fit = start, None
    for search_px in reaches_px:
        if not _is_regular(homography):
            return None
        places = _choose_centres(strengths, fixed.shape, homography, search_px)
        if len(places) < MIN_PATCHES:
            return None
        cut = partial(_cut_both, moving, fixed, homography, search_px)
        fit = match_patches(cut, places, homography, fixed.shape, motion=motion)
        if fit is None:
            return None
        homography = fit.homography
    return fit


def match_patches(
    cut: Callable[[Places], tuple[Grey, Grey]],
    places: Places,
    homography: Matrix,
    shape: tuple[int, ...],
    *,
    motion: Motion = "homography",
) -> PatchFit | None:
    """Find patches in the windows around them, and fit the homography that remains.

    Args:
        cut: Gives, about places (x, y), patches of the moving exposure as a homography lays them,
            shape (M, S, S), float32, and windows of the reference exposure, alike but larger.
        places: All of them. Shape (M, 2).
        homography: The one by which the patches were laid. Shape (3, 3).
        shape: Height and width of the exposures.
        motion: See `refine_homography`.

    Returns:
        The fit, or None where too few patches can be found again.
    """
    parts = map_parts(lambda some: correlate_patches(*cut(some)), np.array_split(places, PARTS))
    correlation = Correlation(*(np.concatenate(one) for one in zip(*parts, strict=True)))
    is_found, offsets, information = locate_patches(correlation)
    if is_found.sum() < MIN_PATCHES:
        return None
    centres = places[is_found].astype(np.float64)
    found = centres + offsets
    moving_points = map_points(invert(homography), centres)
    rest, sigma_px = _fit_homography(centres, offsets, information, shape, FREEDOMS[motion])
    residuals_px = np.linalg.norm(map_points(rest, centres) - found, axis=1)
    whole = rest @ homography
    whole = whole / whole[2, 2]
    return PatchFit(whole, moving_points, found, residuals_px < INLIER_PX, sigma_px)


def choose_strongest(strength: Grey, cell: int) -> Places:
    """The place (x, y) of the largest value above 0 in each cell of a grid. Shape (M, 2)."""
    high, wide = strength.shape[0] // cell, strength.shape[1] // cell
    split = strength[: high * cell, : wide * cell].reshape(high, cell, wide, cell)
    cells = split.transpose(0, 2, 1, 3).reshape(high, wide, cell * cell)
    down, across = np.divmod(cells.argmax(axis=2), cell)
    row, column = np.nonzero(cells.max(axis=2) > 0.0)
    places = [column * cell + across[row, column], row * cell + down[row, column]]
    return np.stack(places, axis=1)


def _prepare(proxy: Grey) -> tuple[Grey, Grey]:
    smoothed = smooth(proxy)
    return smoothed, _corner_strength(smoothed)


def _cut_both(
    moving: Grey, fixed: Grey, homography: Matrix, search_px: int, places: Places
) -> tuple[Grey, Grey]:
    patches = cut_patches(moving, invert(homography), places, PATCH_RADIUS_PX)
    return patches, _cut_windows(fixed, places, PATCH_RADIUS_PX + search_px)


def _is_regular(homography: Matrix) -> bool:
    """Whether a homography is finite, invertible and keeps the image's orientation."""
    return bool(np.isfinite(homography).all()) and float(np.linalg.det(homography)) > EPSILON


def smooth(proxy: Grey) -> Grey:
    """Take from a picture what lies between pixels. Shape (H, W), float32."""
    return cv2.GaussianBlur(proxy, (0, 0), SMOOTHING_SIGMA_PX).astype(np.float32, copy=False)


def _corner_strength(proxy: Grey) -> Grey:
    """Smaller eigenvalue of the structure tensor over half a patch, every few pixels.

    Taken on the picture reduced by a whole factor: a patch is chosen by it and not located.
    """
    factor = _strength_factor(proxy.shape)
    height, width = (side // factor for side in proxy.shape)
    small = proxy[: height * factor, : width * factor]
    if factor > 1:
        small = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA))
    block = max(3, PATCH_RADIUS_PX // factor)
    return cv2.cornerMinEigenVal(small, block, ksize=3).astype(np.float32, copy=False)


def _strength_factor(shape: tuple[int, ...]) -> int:
    return max(1, math.ceil(math.sqrt(shape[0] * shape[1] / STRENGTH_PX)))


def _choose_centres(
    strengths: tuple[Grey, Grey], shape: tuple[int, ...], homography: Matrix, search_px: int
) -> Places:
    """The place (x, y) in each cell of a grid where both exposures have most structure. (M, 2)."""
    factor = _strength_factor(shape)
    shrink = stretch((factor, factor), (1, 1))
    rows, columns = strengths[1].shape
    warped = cv2.warpPerspective(
        strengths[0], shrink @ homography @ np.linalg.inv(shrink), (columns, rows)
    )
    strength = np.minimum(warped, strengths[1])
    most = GRID_CELLS if search_px <= FINE_REACH_PX else WIDE_GRID_CELLS
    cell = max(PATCH_RADIUS_PX, math.ceil((shape[0] * shape[1] / most) ** 0.5)) // factor
    centres = choose_strongest(strength, cell) * factor + factor // 2
    reach = PATCH_RADIUS_PX + search_px
    square = np.array([[-reach, -reach], [reach, -reach], [reach, reach], [-reach, reach]])
    corners = (centres[:, None] + square).astype(np.float64)
    sources = map_points(invert(homography), corners.reshape(-1, 2))
    is_inside = [
        ((points >= 0.0) & (points <= (shape[1] - 1.0, shape[0] - 1.0))).all(axis=-1).all(axis=-1)
        for points in (corners, sources.reshape(-1, 4, 2))
    ]
    return np.asarray(centres[is_inside[0] & is_inside[1]])


def _cut_windows(fixed: Grey, centres: Places, reach: int) -> Grey:
    """Windows of the reference exposure about the centres. (M, 2 reach + 1, 2 reach + 1)."""
    side = 2 * reach + 1
    return sliding_window_view(fixed, (side, side))[centres[:, 1] - reach, centres[:, 0] - reach]


def _fit_homography(
    centres: Matrix,
    offsets: Matrix,
    information: Matrix,
    shape: tuple[int, ...],
    freedom: Matrix,
) -> tuple[Matrix, float]:
    """Homography near the identity (3, 3) and the largest standard error of a corner in pixels.

    Gauss-Newton steps on the whitened residuals of the free parameters, in coordinates that span
    about -1..1; the eight of a homography are `freedom` (8, F) times these. Each patch is weighted
    by Tukey's biweight of its distance in pixels.
    """
    middle = centres.mean(axis=0)
    scale = max(float(np.abs(centres - middle).max()), 1.0)
    points, targets = (centres - middle) / scale, (centres + offsets - middle) / scale
    typical = np.median(np.trace(information, axis1=1, axis2=2)) / 2.0
    whiten = np.linalg.cholesky(information / typical).transpose(0, 2, 1)
    free = freedom.shape[1]
    ridge = EPSILON * len(points) * np.eye(free)
    parameters = np.zeros(8)
    for cutoff_px in TUKEY_CUTOFFS_PX:
        for _ in range(STEPS_PER_CUTOFF):
            mapped, slopes = _map_with_slopes(parameters, points)
            residuals = targets - mapped
            distances_px = np.linalg.norm(residuals, axis=1) * scale
            weights = (1.0 - np.minimum(distances_px / cutoff_px, 1.0) ** 2) ** 2
            roots = np.sqrt(weights)[:, None, None] * whiten
            design = np.einsum("mij,mjk->kmi", roots, slopes).reshape(8, -1)
            if free < 8:
                design = freedom.T @ design
            white = np.einsum("mij,mj->mi", roots, residuals).ravel()
            normal = np.einsum("jm,km->jk", design, design) + ridge
            slope = np.einsum("jm,m->j", design, white)
            change = freedom @ np.linalg.solve(normal, slope)
            parameters += change
            if scale * np.abs(change).max() < SETTLED_PX:
                break
    to_unit = np.array([[1.0, 0.0, -middle[0]], [0.0, 1.0, -middle[1]], [0.0, 0.0, scale]])
    unit = np.append(parameters, 0.0).reshape(3, 3) + np.eye(3)
    homography: Matrix = np.linalg.inv(to_unit) @ unit @ to_unit
    degrees = max(2.0 * float(weights.sum()) - free, 1.0)
    variance = float((white**2).sum()) / degrees
    corners = (frame_corners(shape[1], shape[0]) - middle) / scale
    spread = _map_with_slopes(parameters, corners)[1] @ freedom
    covariance = spread @ np.linalg.inv(normal) @ spread.transpose(0, 2, 1) * variance
    sigma_px = scale * float(np.sqrt(np.trace(covariance, axis1=1, axis2=2).max()))
    return homography, sigma_px


def _map_with_slopes(parameters: Matrix, points: Matrix) -> tuple[Matrix, Matrix]:
    """Points mapped by identity plus parameters (M, 2), and derivatives (M, 2, 8)."""
    a, b, c, d, e, f, g, h = parameters
    x, y = points.T
    depth = 1.0 + g * x + h * y
    u, v = ((1.0 + a) * x + b * y + c) / depth, (d * x + (1.0 + e) * y + f) / depth
    slopes = np.zeros((len(points), 2, 8))
    slopes[:, 0, 0] = slopes[:, 1, 3] = x / depth
    slopes[:, 0, 1] = slopes[:, 1, 4] = y / depth
    slopes[:, 0, 2] = slopes[:, 1, 5] = 1.0 / depth
    mapped = np.stack([u, v], axis=1)
    slopes[:, :, 6:] = -mapped[:, :, None] * (points / depth[:, None])[:, None, :]
    return mapped, slopes
