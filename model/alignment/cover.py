"""Lays the small pictures of exposures on the reference's, and says what they do not cover."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.estimate import rescale_homography
from model.alignment.frame import cover_rows, map_frame
from model.alignment.patches import invert
from model.exposure import AlignmentReport, Pixels, Size, StackAlignment
from model.ghosts.curves import Proxy
from model.ghosts.find import Absence
from model.side_by_side import map_parts

ENTIRE = 255

STRIP = 128
"""Rows that are laid at a time."""


def lay_proxies(
    given: Sequence[Pixels], alignment: StackAlignment | None, size: Size
) -> tuple[list[Proxy], list[Absence | None]]:
    """Lay small pictures of the exposures of a stack as the exposures lie on the reference.

    Args:
        given: One for each exposure, of one size. Shape (h, w, 3), uint8.
        alignment: How the exposures lie; None leaves all in their place.
        size: Width and height of the exposures.

    Returns:
        The pictures, and of each the pixels that the exposure does not cover: 255 there and 0
        elsewhere, shape (h, w), uint8; None where it covers all.
    """
    height, width = given[0].shape[:2]
    reports = (None,) * len(given) if alignment is None else alignment.reports

    def lay(one: tuple[Pixels, AlignmentReport | None]) -> tuple[Proxy, Absence | None]:
        proxy, report = np.asarray(one[0], np.uint8), one[1]
        if report is None or report.model == "identity":
            return proxy, None
        small = rescale_homography(map_frame(report, size), size, (width, height))
        if report.needs_warp:
            proxy = _warp(proxy, small)
        return proxy, _find_uncovered(invert(small), height, width)

    proxies, absent = zip(*map(lay, zip(given, reports, strict=True)), strict=True)
    return list(proxies), list(absent)


def _warp(proxy: Proxy, homography: NDArray[np.float64]) -> Proxy:
    """A picture where a homography takes it, its edge going on; in strips, one beside the other."""
    height, width = proxy.shape[:2]
    laid = np.empty_like(proxy)

    def warp(top: int) -> None:
        rows = min(STRIP, height - top)
        up = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
        strip = laid[top : top + rows]
        border = cv2.BORDER_REPLICATE
        cv2.warpPerspective(proxy, up @ homography, (width, rows), strip, borderMode=border)

    map_parts(warp, range(0, height, STRIP))
    return laid


def _find_uncovered(inverse: NDArray[np.float64], height: int, width: int) -> Absence | None:
    """The pixels that an exposure does not cover, and one more on their edge."""
    first, last = cover_rows(inverse, height, width)
    if not first.any() and (last == width - 1).all():
        return None
    columns = np.arange(width)
    uncovered = (columns < first[:, None]) | (columns > last[:, None])
    # A pixel more: the mask is magnified, and its soft edge must lie on what is covered.
    grown = cv2.dilate(uncovered.astype(np.uint8) * np.uint8(ENTIRE), np.ones((3, 3), np.uint8))
    return np.asarray(grown, np.uint8)
