"""Sub-pixel refinement of a homography: small patches are sought again and fitted at once."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

GRID_CELLS = 600
"""Patches tried over the image, at most about this many; bounds the time at any image size."""

PATCH_RADIUS_PX = 12
SEARCH_RADII_PX = (8, 4, 2)
"""One round of search and fit each; the first must reach as far as sparse matches may be wrong."""

MIN_CORRELATION = 0.6
"""A patch whose best place correlates less shows something else, or noise."""

MIN_TEXTURE = 0.008
"""Least standard deviation of a patch, intensities in 0..1: below it lies quantisation noise."""

MIN_CURVATURE = 1e-3
"""Least curvature of a correlation peak along its flattest direction."""

MAX_TRUSTED_CORRELATION = 0.99
"""Bounds the weight of one patch: above it the correlation says nothing more about its noise."""

MIN_PATCHES = 12
INLIER_PX = 1.0
SMOOTHING_SIGMA_PX = 0.8

TUKEY_CUTOFFS_PX = (8.0, 4.0, 2.0)
"""Residual at which a patch loses its vote, lowered from the first steps of a fit to the last."""

STEPS_PER_CUTOFF = 4
EPSILON = 1e-9

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]
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


def frame_corners(width: int, height: int) -> Matrix:
    """Centres of the four corner pixels, clockwise from the first pixel. Shape (4, 2)."""
    right, bottom = width - 1.0, height - 1.0
    return np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])


def refine_homography(
    moving: Grey, fixed: Grey, start: Matrix, *, motion: Motion = "homography"
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

    Returns:
        The fit, or None where too few patches can be found again.

    Reference:
        Robust weights: Beaton and Tukey, "The fitting of power series, meaning polynomials,
        illustrated on band-spectroscopic data", Technometrics, 1974.
    """
    moving, fixed = _smooth(moving), _smooth(fixed)
    homography, fit = start, None
    for search_px in SEARCH_RADII_PX:
        if not _is_regular(homography):
            return None
        centres, offsets, information = _seek_patches(moving, fixed, homography, search_px)
        if len(centres) < MIN_PATCHES:
            return None
        found = centres + offsets
        moving_points = map_points(np.linalg.inv(homography).astype(np.float64), centres)
        rest, sigma_px = _fit_homography(
            centres, offsets, information, fixed.shape, FREEDOMS[motion]
        )
        residuals_px = np.linalg.norm(map_points(rest, centres) - found, axis=1)
        homography = rest @ homography
        homography = homography / homography[2, 2]
        fit = PatchFit(homography, moving_points, found, residuals_px < INLIER_PX, sigma_px)
    return fit


def _is_regular(homography: Matrix) -> bool:
    """Whether a homography is finite, invertible and keeps the image's orientation."""
    return bool(np.isfinite(homography).all()) and float(np.linalg.det(homography)) > EPSILON


def _smooth(proxy: Grey) -> Grey:
    return cv2.GaussianBlur(proxy, (0, 0), SMOOTHING_SIGMA_PX).astype(np.float32, copy=False)


def _seek_patches(
    moving: Grey, fixed: Grey, homography: Matrix, search_px: int
) -> tuple[Matrix, Matrix, Matrix]:
    """Centres in the warped moving exposure (M, 2), offsets (M, 2), information (M, 2, 2)."""
    height, width = fixed.shape
    size = (width, height)
    warped = cv2.warpPerspective(
        moving, homography, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32, copy=False)
    reach = PATCH_RADIUS_PX + search_px
    covered = cv2.warpPerspective(np.ones(moving.shape, np.uint8), homography, size)
    window_shape = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    inside = cv2.erode(covered, window_shape, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    centres, offsets, information = [], [], []
    for x, y in _choose_centres(warped, fixed, inside):
        window = np.s_[y - reach : y + reach + 1, x - reach : x + reach + 1]
        found = _locate_patch(warped[window], fixed[window], search_px)
        if found is not None:
            centres.append((x, y))
            offsets.append(found[0])
            information.append(found[1])
    return (
        np.array(centres, np.float64).reshape(-1, 2),
        np.array(offsets, np.float64).reshape(-1, 2),
        np.array(information, np.float64).reshape(-1, 2, 2),
    )


def _choose_centres(warped: Grey, fixed: Grey, inside: NDArray[Any]) -> list[tuple[int, int]]:
    """The place in each cell of a grid where both exposures have most structure."""
    strength = np.minimum(_corner_strength(warped), _corner_strength(fixed))
    strength[inside == 0] = 0.0
    height, width = fixed.shape
    cell = max(PATCH_RADIUS_PX, math.ceil((width * height / GRID_CELLS) ** 0.5))
    rows, columns = height // cell, width // cell
    split = strength[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    cells = split.transpose(0, 2, 1, 3).reshape(rows, columns, cell * cell)
    best = cells.argmax(axis=2)
    centres = []
    for row, column in np.argwhere(cells.max(axis=2) > 0.0):
        down, right = divmod(int(best[row, column]), cell)
        centres.append((int(column) * cell + right, int(row) * cell + down))
    return centres


def _corner_strength(proxy: Grey) -> Grey:
    """Smaller eigenvalue of the structure tensor over half a patch."""
    strength = cv2.cornerMinEigenVal(proxy, PATCH_RADIUS_PX, ksize=3)
    return strength.astype(np.float32, copy=False)


def _locate_patch(warped: Grey, fixed: Grey, search_px: int) -> tuple[Matrix, Matrix] | None:
    """Offset of the window's middle patch in the reference window, and its information.

    The correlation around its maximum is taken as a quadratic (least squares over 3x3 places).
    """
    patch = warped[search_px:-search_px, search_px:-search_px]
    if patch.std() < MIN_TEXTURE or fixed.std() < MIN_TEXTURE:
        return None
    scores = cv2.matchTemplate(fixed, patch, cv2.TM_CCOEFF_NORMED)
    _, best, _, (col, row) = cv2.minMaxLoc(scores)
    is_inside = 0 < col < 2 * search_px and 0 < row < 2 * search_px
    if best < MIN_CORRELATION or not is_inside:
        return None
    near = scores[row - 1 : row + 2, col - 1 : col + 2].astype(np.float64)
    slope = np.array([(near[:, 2] - near[:, 0]).sum(), (near[2] - near[0]).sum()]) / 6.0
    bend_x = (near[:, 0] + near[:, 2] - 2.0 * near[:, 1]).sum() / 3.0
    bend_y = (near[0] + near[2] - 2.0 * near[1]).sum() / 3.0
    bend_xy = (near[0, 0] + near[2, 2] - near[0, 2] - near[2, 0]) / 4.0
    curvature = -np.array([[bend_x, bend_xy], [bend_xy, bend_y]])
    if np.linalg.eigvalsh(curvature)[0] < MIN_CURVATURE:
        return None
    shift = np.linalg.solve(curvature, slope)
    if np.abs(shift).max() > 1.0:
        return None
    offset = np.array([col - search_px, row - search_px]) + shift
    return offset, curvature / (1.0 - min(best, MAX_TRUSTED_CORRELATION))


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
            design = whiten @ slopes @ freedom
            white = np.einsum("mij,mj->mi", whiten, residuals)
            normal = np.einsum("mij,m,mik->jk", design, weights, design) + ridge
            slope = np.einsum("mij,m,mi->j", design, weights, white)
            parameters += freedom @ np.linalg.solve(normal, slope)
    to_unit = np.array([[1.0, 0.0, -middle[0]], [0.0, 1.0, -middle[1]], [0.0, 0.0, scale]])
    unit = np.append(parameters, 0.0).reshape(3, 3) + np.eye(3)
    homography: Matrix = np.linalg.inv(to_unit) @ unit @ to_unit
    degrees = max(2.0 * float(weights.sum()) - free, 1.0)
    variance = float((weights * (white**2).sum(axis=1)).sum()) / degrees
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
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows_u = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=1)
    rows_v = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=1)
    slopes = np.stack([rows_u, rows_v], axis=1) / depth[:, None, None]
    return np.stack([u, v], axis=1), slopes
