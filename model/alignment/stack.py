"""Lays every exposure of a stack onto one of them, the dark ones through their neighbours."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model.alignment.estimate import (
    Looks,
    align_views,
    keep_rest,
    refine_views,
    report_homography,
    rescale_homography,
)
from model.alignment.gates import is_plausible, shift_corners
from model.alignment.rest import measure_tiles
from model.alignment.view import ExposureView
from model.exposure import AlignmentReport, Pixels
from model.side_by_side import map_parts

ALL_LOOKS: tuple[Looks, ...] = ("first", "both")
"""Every way through a neighbour is tried at full detail before anything is sought coarsely."""

Matrix = NDArray[np.float64]


def align_stack(
    exposures: Sequence[Pixels], *, reference: int
) -> tuple[AlignmentReport | None, ...]:
    """Find how each exposure of a stack lies on the reference exposure.

    Each is aligned to the reference directly, as `align_exposure` does it. One that is refused
    there, mostly because it is too far from the reference in exposure to show the same things, is
    aligned to a neighbour in exposure that has found its place, the nearest first; the product of
    the two homographies is then refined on patches against the reference itself, and kept as it is
    where too few patches can be found there. What finds its place helps those that have not, until
    none of them finds one any more. The same stack gives the same reports.

    Args:
        exposures: The exposures, dark to bright, of one size. Shape (H, W, 3) each, uint8 or
            uint16.
        reference: Index of the exposure that stays where it is.

    Returns:
        A report for each exposure, in their order; None for the reference.

    Raises:
        ValueError: There is no such reference, or the sizes differ.

    Example:
        >>> black = np.zeros((32, 32, 3), np.uint8)
        >>> before, own = align_stack([black, black], reference=1)
        >>> before.refused, own
        ('few_matches', None)
    """
    if not 0 <= reference < len(exposures):
        raise ValueError(f"expected a reference below {len(exposures)}, got {reference}")
    if len({exposure.shape for exposure in exposures}) > 1:
        raise ValueError("expected exposures of one size, got several")
    views = [ExposureView(exposure) for exposure in exposures]
    reports: dict[int, AlignmentReport] = {}
    placed: dict[int, Matrix] = {reference: np.eye(3)}
    for looks in ALL_LOOKS:
        missing = [index for index in _outwards(len(views), reference) if index not in placed]
        pairs = [(views[index], views[reference], looks) for index in missing]
        direct = dict(zip(missing, map_parts(_align_directly, pairs), strict=True))
        is_news = True
        while is_news:
            is_news = False
            for index in missing:
                if index in placed:
                    continue
                report = _place(index, views, placed, direct[index], reference, looks)
                reports.setdefault(index, report)
                if report.refused is None:
                    reports[index] = report
                    placed[index] = np.reshape(np.array(report.homography, np.float64), (3, 3))
                    is_news = True
    return tuple(reports.get(index) for index in range(len(views)))


def _outwards(count: int, middle: int) -> list[int]:
    """All indices but the middle one, the nearest first."""
    return sorted(set(range(count)) - {middle}, key=lambda index: (abs(index - middle), index))


def _align_directly(pair: tuple[ExposureView, ExposureView, Looks]) -> AlignmentReport:
    moving, fixed, looks = pair
    return align_views(moving, fixed, looks=looks)


def _place(
    index: int,
    views: Sequence[ExposureView],
    placed: Mapping[int, Matrix],
    direct: AlignmentReport,
    reference: int,
    looks: Looks,
) -> AlignmentReport:
    """Take what was found directly, or else align an exposure by way of one that is placed."""
    view, fixed = views[index], views[reference]
    if direct.refused is None:
        return direct
    for neighbour in sorted(set(placed) - {reference}, key=lambda one: (abs(one - index), one)):
        step = align_views(view, views[neighbour], looks=looks)
        if step.refused is not None:
            continue
        chain = placed[neighbour] @ np.reshape(step.homography, (3, 3))
        chain /= chain[2, 2]
        if is_plausible(chain, fixed.width, fixed.height):
            return _settle(view, fixed, chain, step)
    return direct


def _settle(
    view: ExposureView, fixed: ExposureView, chain: Matrix, step: AlignmentReport
) -> AlignmentReport:
    """Refine a chain of homographies directly where patches allow it; keep it where not."""
    size = (fixed.width, fixed.height)
    height, width = fixed.proxy().shape
    start = rescale_homography(chain, fixed.proxy_frame(), (width, height))
    found = refine_views(view, fixed, start)
    if found.refused is not None:
        found = report_homography(
            homography=None if (chain == np.eye(3)).all() else chain,
            inliers=step.inliers,
            ratio=step.inlier_ratio,
            shift_px=shift_corners(chain, *size),
        )
    return keep_rest(found, measure_tiles(view, fixed), fixed)
