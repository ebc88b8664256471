"""The homography between the exposures of a pair, or the reason why none is applied."""

from collections.abc import Callable, Sequence
from typing import Literal

import cv2
import numpy as np

from model.alignment.coarse import match_tiles
from model.alignment.features import match_keypoints
from model.alignment.gates import (
    GATES,
    NEAR_GATES,
    STRIP_GATES,
    Gates,
    RefusalReason,
    check_gates,
    shift_corners,
)
from model.alignment.near_rest import match_near_rest
from model.alignment.patches import (
    FINE_REACH_PX,
    SEARCH_RADII_PX,
    Motion,
    PatchFit,
    refine_homography,
)
from model.alignment.rest import TileMotion, measure_tiles
from model.alignment.view import FIRST_LOOK, ExposureView, Look
from model.exposure import IDENTITY, AlignmentReport, Pixels, Size
from model.geometry import Matrix, stretch

NEGLIGIBLE_SHIFT_PX = 0.5
"""Motion, at full size, below which warping would only blur."""

NEAR_REST_PX, NEAR_REST_PROXY_PX = 0.45, 0.225
"""The same of a pair some of whose tiles are at rest, at full size and, where that is more, on the
proxy. Few patches are off by less than a tenth, so that none is called still that moved."""

DOUBT_SHARE = 0.4
"""Share of tiles at rest from which patches are asked whether all is at rest: where noise or light
that runs over edges moves the peaks of tiles, they know better, and cost less than the search."""

STILL_SHARE = 0.5
"""Share of tiles at rest from which a pair whose homography is refused counts as lying still."""

SECOND_LOOKS: tuple[tuple[Look, Motion], ...] = tuple(
    (Look(level, "root"), motion) for level in (1, 2) for motion in ("homography", "similarity")
)
"""How the exposures are looked at, and what is sought, where the first search is refused."""

DIRECT_REACHES_PX = (4, 2)
"""How far patches are sought from where the tiles of the frame say."""

MIN_LOOK_PX = 80_000
"""Least pixels of a coarser proxy: on smaller ones a few wrong patches pass the gates."""

Looks = Literal["first", "both"]


def align_exposure(moving: Pixels, fixed: Pixels) -> AlignmentReport:
    """Find the homography that lays one exposure onto another.

    Where tiles of the two lie on each other already (`rest.measure_tiles`), that is the answer, and
    where only some do, patches are sought where they lie (`near_rest.match_near_rest`).
    Elsewhere the motion is sought on grey, AGC-corrected proxies (at most `PROXY_MAX_PX` pixels)
    from the whole frame to its tiles (`coarse.match_tiles`), and where that is refused, by SIFT
    keypoints, matched by ratio test and mutual check. A robust homography is refined on patches,
    checked by the gates, and rescaled to full size. Where a gate fails, the model is the identity;
    so it is where no corner, or the root mean square of the matched patches, moves by
    `NEGLIGIBLE_SHIFT_PX` (a corner alone is extrapolated), and where the homography would tear
    tiles off their place that are at rest: it followed a subject then and not the camera. Black,
    white, constant and tiny images have nothing to match and are refused like any other. The same
    pair gives the same report.

    Args:
        moving: The exposure that is to be moved. Shape (H, W, 3), uint8 or uint16.
        fixed: The one that stays where it is, of the same size.

    Returns:
        What was found and what is to be applied.

    Reference:
        Lowe, "Distinctive image features from scale-invariant keypoints", IJCV, 2004;
        Barath et al., "MAGSAC++, a fast, reliable and accurate robust estimator", CVPR, 2020.
        The alignment step of the paper names SIFT on AGC images and a homography; the search
        without keypoints, tiles, patches and gates are ours.

    Example:
        >>> black = np.zeros((32, 32, 3), np.uint8)
        >>> align_exposure(black, black).refused
        'few_matches'
    """
    return align_views(ExposureView(moving), ExposureView(fixed))


def align_views(
    moving: ExposureView, fixed: ExposureView, *, looks: Looks = "both"
) -> AlignmentReport:
    """Align two exposures whose views may be shared with other pairs.

    Args:
        moving: The exposure to move.
        fixed: The reference exposure, of the same size.
        looks: `first` seeks without keypoints and at the first look alone; `both`, where that is
            refused, at coarser levels, and then by keypoints.

    Returns:
        What was found and what is to be applied; see `align_exposure`.
    """
    tiles = measure_tiles(moving, fixed)
    if tiles.is_at_rest():
        return report_rest(tiles, fixed)
    found = _search_near_rest(moving, fixed) if tiles.is_at_rest(DOUBT_SHARE) else None
    if found is None or found.refused is not None:
        found = _search_directly(moving, fixed, looks)
    if found.refused is not None and tiles.is_at_rest(STILL_SHARE):
        return report_rest(tiles, fixed)
    if found.refused is not None and looks == "both":
        found = _search_keypoints(moving, fixed)
    return keep_rest(found, tiles, fixed)


def _search_near_rest(moving: ExposureView, fixed: ExposureView) -> AlignmentReport:
    """Ask few patches whether the exposures are at rest, and all of them for the motion if not."""
    fit = match_near_rest(moving, fixed)
    still_px = max(NEAR_REST_PX, NEAR_REST_PROXY_PX * fixed.proxy_factor)
    found = judge_fit(fit, fixed, gates=NEAR_GATES, negligible_px=still_px)
    if fit is None or found.refused is not None or found.model == "identity":
        return found
    return refine_views(moving, fixed, fit.homography, reaches_px=(FINE_REACH_PX,))


def _search_directly(moving: ExposureView, fixed: ExposureView, looks: Looks) -> AlignmentReport:
    """Seek a motion from the whole frame to its tiles and on to patches, without keypoints."""
    matches = match_tiles(moving, fixed)

    def search(look: Look, motion: Motion) -> AlignmentReport:
        start = matches.fit(look, motion)
        if start is None:
            return report_homography(refused="few_matches")
        return refine_views(
            moving, fixed, start, look=look, motion=motion, reaches_px=DIRECT_REACHES_PX
        )

    return _search_looks(search, fixed, looks)


def _search_keypoints(moving: ExposureView, fixed: ExposureView) -> AlignmentReport:
    """Seek a motion by keypoints and patches: slow, but it finds what is also scaled."""

    def search(look: Look, motion: Motion) -> AlignmentReport:
        cv2.setRNGSeed(0)
        start = match_keypoints(moving.keypoints(look), fixed.keypoints(look), motion=motion)
        if start is None:
            return report_homography(refused="few_matches")
        return refine_views(moving, fixed, start, look=look, motion=motion)

    return _search_looks(search, fixed, "both")


def _search_looks(
    search: Callable[[Look, Motion], AlignmentReport], fixed: ExposureView, looks: Looks
) -> AlignmentReport:
    """Search by the first look, and by the second looks where that is refused."""
    found = search(FIRST_LOOK, "homography")
    for look, motion in SECOND_LOOKS if looks == "both" else ():
        if found.refused is None or fixed.proxy(look).size < MIN_LOOK_PX:
            break
        again = search(look, motion)
        found = again if again.refused is None else found
    return found


def keep_rest(found: AlignmentReport, tiles: TileMotion, fixed: ExposureView) -> AlignmentReport:
    """Turn a homography down that tears tiles at rest off their place: the camera did not move."""
    if found.model == "homography" and tiles.is_torn_by(np.reshape(found.homography, (3, 3))):
        return report_rest(tiles, fixed)
    return found


def refine_views(
    moving: ExposureView,
    fixed: ExposureView,
    start: Matrix,
    *,
    look: Look = FIRST_LOOK,
    motion: Motion = "homography",
    reaches_px: Sequence[int] = SEARCH_RADII_PX,
) -> AlignmentReport:
    """Refine a homography between two proxies on patches and let the gates judge it.

    Args:
        moving: The exposure to move.
        fixed: The reference exposure, of the same size.
        start: Homography between the proxies, right within a few pixels. Shape (3, 3).
        look: How the exposures are looked at; the homography is one of its proxies.
        motion: What is refined.
        reaches_px: How far the patches are sought, round by round.

    Returns:
        The homography found, the identity where it is negligible, or the gate that failed.
    """
    fit = refine_homography(
        moving.proxy(look), fixed.proxy(look), start, motion=motion, reaches_px=reaches_px
    )
    gates = GATES if motion == "homography" else STRIP_GATES
    return judge_fit(fit, fixed, look=look, gates=gates)


def judge_fit(
    fit: PatchFit | None,
    fixed: ExposureView,
    *,
    look: Look = FIRST_LOOK,
    gates: Gates = GATES,
    negligible_px: float = NEGLIGIBLE_SHIFT_PX,
) -> AlignmentReport:
    """Let the gates judge a homography between two proxies, and carry it to full size.

    Args:
        fit: It, and the patches that it was fitted to; None where there were too few.
        fixed: The reference exposure.
        look: See `refine_views`.
        gates: Bounds that it must keep.
        negligible_px: Motion, at full size, below which the answer is the identity.

    Returns:
        See there.
    """
    if fit is None:
        return report_homography(refused="few_inliers")
    inliers, ratio = int(fit.is_inlier.sum()), float(fit.is_inlier.mean())
    width, height = fixed.proxy_size(look)
    refused = check_gates(fit, width, height, gates)
    if refused is not None:
        return report_homography(inliers=inliers, ratio=ratio, refused=refused)
    frame = fixed.proxy_frame(look)
    full = rescale_homography(fit.homography, (width, height), frame)
    corner_shift_px = shift_corners(full, fixed.width, fixed.height)
    matched_shift_px = fit.inlier_shift_px * frame[0] / width
    is_negligible = min(corner_shift_px, matched_shift_px) < negligible_px
    return report_homography(
        homography=None if is_negligible else full,
        inliers=inliers,
        ratio=ratio,
        shift_px=corner_shift_px,
    )


def rescale_homography(homography: Matrix, size: Size, target: Size) -> Matrix:
    """Carry a homography between images of one size (width, height) to images of another.

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
    enlarge = stretch(size, target)
    rescaled = enlarge @ homography @ np.linalg.inv(enlarge)
    result: Matrix = rescaled / rescaled[2, 2]
    return result


def report_rest(tiles: TileMotion, fixed: ExposureView) -> AlignmentReport:
    """Report of exposures that lie on each other already, as tiles at rest say."""
    return report_homography(
        inliers=tiles.rest_count,
        ratio=tiles.rest_share,
        shift_px=tiles.corner_shift_px(fixed.width, fixed.height),
    )


def report_homography(
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
    )
