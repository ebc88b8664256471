"""The frame that all exposures of a stack cover once they lie on the reference exposure."""

from collections.abc import Sequence

import numpy as np

from model.exposure import AlignmentReport, Size
from model.geometry import Matrix, reference_to_moving, stretch
from model.tiling import Rect

NOTHING = Rect(0, 0, 0, 0)

COVER_TOLERANCE_PX = 1e-6
"""How far outside an exposure a pixel may lie and still count as covered: rounding of the map."""


def common_frame(reports: Sequence[AlignmentReport | None], height: int, width: int) -> Rect:
    """The largest rectangle of reference pixels that every exposure covers.

    Args:
        reports: Of `align_stack` or `lay_exposures`; None and what is not moved covers the whole
            frame.
        height: Height of the reference exposure.
        width: Width of the reference exposure.

    Returns:
        The rectangle; height and width 0 where no pixel is covered by all.

    Raises:
        ValueError: A homography cannot warp a picture of this size.
    """
    to_moving = [
        reference_to_moving(
            tuple(map_frame(report, (width, height)).ravel().tolist()), height, width
        )
        for report in reports
        if report is not None and report.model == "homography"
    ]
    return common_rectangle(to_moving, height, width)


def map_frame(report: AlignmentReport, size: Size) -> Matrix:
    """Map of an exposure's frame onto the reference's, as if both had the reference's size.

    An exposure of another size is stretched to that first, edge onto edge: what it covers does
    not depend on how many pixels it has.

    Args:
        report: Of the exposure.
        size: Width and height of the reference exposure.

    Returns:
        The homography. Shape (3, 3), float64.
    """
    homography = np.array(report.homography, np.float64).reshape(3, 3)
    if report.own_size is None:
        return homography
    in_frame: Matrix = homography @ np.linalg.inv(stretch(report.own_size, size))
    return in_frame


def common_rectangle(to_moving: Sequence[Matrix], height: int, width: int) -> Rect:
    """The largest rectangle of reference pixels that lies inside every exposure.

    The pixels that all exposures cover form a convex region, so a rectangle lies in it when its
    first and its last row do, and the best of all pairs of rows is the best of all rectangles.

    Args:
        to_moving: Reference pixel -> exposure pixel, of every exposure that moved. Shape (3, 3).
        height: Height of the exposures.
        width: Width of the exposures.

    Returns:
        The rectangle; height and width 0 where no pixel is covered by all.

    Example:
        >>> shift = np.array([[1.0, 0.0, 3.0], [0.0, 1.0, -2.0], [0.0, 0.0, 1.0]])
        >>> common_rectangle([shift], 10, 20)
        Rect(top=2, left=0, height=8, width=17)
    """
    first, last = np.zeros(height), np.full(height, width - 1.0)
    for inverse in to_moving:
        begin, end = cover_rows(inverse, height, width)
        first, last = np.maximum(first, begin), np.minimum(last, end)
    best, best_area = NOTHING, 0
    rows = np.arange(height)
    for top in np.flatnonzero(first <= last).tolist():
        if (last[top] - first[top] + 1.0) * (height - top) <= best_area:
            continue
        left, right = np.maximum(first[top:], first[top]), np.minimum(last[top:], last[top])
        areas = np.maximum(right - left + 1.0, 0.0) * (rows[top:] - top + 1)
        bottom = int(areas.argmax())
        if areas[bottom] > best_area:
            best_area = int(areas[bottom])
            best = Rect(top, int(left[bottom]), bottom + 1, int(right[bottom] - left[bottom]) + 1)
    return best


def cover_rows(inverse: Matrix, height: int, width: int) -> tuple[Matrix, Matrix]:
    """First and last column of each row that an exposure covers; first > last where it has none.

    Args:
        inverse: Reference pixel -> exposure pixel. Shape (3, 3).
        height: Height of both.
        width: Width of both.

    Returns:
        Whole numbers, shape (height,) each.

    Each side of the exposure is a half-plane of the reference: with the depth d = h_3 p of a pixel
    p, which is positive, x >= 0 reads h_1 p >= 0, and x <= right reads right d - h_1 p >= 0.
    """
    rows = np.arange(height, dtype=np.float64)
    first, last = np.zeros(height), np.full(height, width - 1.0)
    slack = COVER_TOLERANCE_PX * inverse[2]
    for side in (
        inverse[0] + slack,
        inverse[1] + slack,
        (width - 1.0) * inverse[2] - inverse[0] + slack,
        (height - 1.0) * inverse[2] - inverse[1] + slack,
    ):
        slope, rest = side[0], side[1] * rows + side[2]
        with np.errstate(divide="ignore", invalid="ignore"):
            border = -rest / slope
        if slope > 0.0:
            first = np.maximum(first, np.ceil(border))
        elif slope < 0.0:
            last = np.minimum(last, np.floor(border))
        else:
            last = np.where(rest >= 0.0, last, -1.0)
    return first, last
