"""Tells pictures that have nothing to do with each other from exposures of one scene."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.estimate import align_views
from model.alignment.view import ExposureView
from model.exposure import AlignmentReport, Pixels

SKETCH_PX = 96
"""Side of the square that an exposure is reduced to: coarser than what a hand's motion changes."""

SKETCH_MARGIN_PX = 16
"""Motion of the sketch that is tried in every direction."""

LOCAL_SIGMA_PX = 8.0
RANK_CELLS = 12
LOG_FLOOR = 0.01
LOCAL_FLOOR = 1e-3
MIN_SKETCH_CONTRAST = 0.004
"""About one grey level: a black, white or constant exposure disagrees with nothing."""

AGREEMENT_LIMIT = 0.5
"""Two exposures of one scene agreed by 0.64 or more in all 947 pairs of 132 photographed stacks; of
2,000 pairs of pictures of different scenes 94 % agreed by less than 0.5 (`bench/alignment.py`)."""

Grey = NDArray[np.float32]


def are_unrelated(first: Pixels, second: Pixels) -> bool:
    """Whether nothing of two pictures matches and their contents disagree.

    Args:
        first: RGB image (H, W, 3), uint8 or uint16.
        second: Another one; a different size is stretched to that of the first.

    Returns:
        False where either shows nothing, and where any of it can be aligned.

    Example:
        >>> black = np.zeros((32, 32, 3), np.uint8)
        >>> are_unrelated(black, black + np.uint8(200))
        False
    """
    if not measure_agreement(first, second) < AGREEMENT_LIMIT:
        return False
    size = (first.shape[1], first.shape[0])
    if first.shape != second.shape:
        resized: NDArray[Any] = cv2.resize(second, size, interpolation=cv2.INTER_AREA)
        second = resized
    report = align_views(ExposureView(second), ExposureView(first))
    return report.refused is not None


def find_unrelated(
    exposures: Sequence[Pixels], reports: Sequence[AlignmentReport | None]
) -> tuple[int, ...]:
    """Find the exposures of a stack that were refused and disagree with all that show anything.

    Args:
        exposures: The stack. Shape (H, W, 3) each.
        reports: Of `align_stack` for it.

    Returns:
        Their indices.
    """
    strangers = []
    for index, report in enumerate(reports):
        if report is None or report.refused is None:
            continue
        others = [other for position, other in enumerate(exposures) if position != index]
        agreements = np.array([measure_agreement(exposures[index], other) for other in others])
        known = agreements[~np.isnan(agreements)]
        if len(known) and known.max() < AGREEMENT_LIMIT:
            strangers.append(index)
    return tuple(strangers)


def measure_agreement(first: Pixels, second: Pixels) -> float:
    r"""How far two pictures show the same in rough outline, whatever their exposure.

    .. math::
        s = \max_{t} \mathrm{ncc}(\hat a, \hat b_t) + \rho(a, b) / 2

    with the log intensities normalised locally (hats), shifts t of a sixth of the sides, and the
    rank correlation of 12 by 12 cells. 1.5 for equal pictures, about 0.4 for unrelated ones; nan
    where one shows nothing.

    Args:
        first: RGB image (H, W, 3), uint8 or uint16.
        second: Another one, of any size.

    Returns:
        The agreement.
    """
    sketches = [_sketch(image) for image in (first, second)]
    if min(float(sketch.std()) for sketch in sketches) < MIN_SKETCH_CONTRAST:
        return float("nan")
    outlines = [_normalise(sketch) for sketch in sketches]
    inner = slice(SKETCH_MARGIN_PX, -SKETCH_MARGIN_PX)
    scores = cv2.matchTemplate(outlines[0], outlines[1][inner, inner], cv2.TM_CCOEFF_NORMED)
    cells = [
        cv2.resize(sketch, (RANK_CELLS, RANK_CELLS), interpolation=cv2.INTER_AREA).ravel()
        for sketch in sketches
    ]
    ranks = np.corrcoef([_rank(values) for values in cells])[0, 1]
    return float(scores.max()) + float(np.nan_to_num(ranks)) / 2.0


def _sketch(image: Pixels) -> Grey:
    """Grey square in 0..1, whatever the picture's size. Shape (SKETCH_PX, SKETCH_PX)."""
    small = cv2.resize(image, (SKETCH_PX, SKETCH_PX), interpolation=cv2.INTER_AREA)
    share = np.divide(small, np.iinfo(image.dtype).max, dtype=np.float32)
    return np.asarray(cv2.cvtColor(share, cv2.COLOR_RGB2GRAY))


def _normalise(sketch: Grey) -> Grey:
    """Log intensity without its local mean, by its local deviation."""
    log = np.log(sketch + np.float32(LOG_FLOOR))
    detail = log - cv2.GaussianBlur(log, (0, 0), LOCAL_SIGMA_PX)
    spread = cv2.GaussianBlur(detail * detail, (0, 0), LOCAL_SIGMA_PX)
    return np.asarray(detail / np.sqrt(spread + np.float32(LOCAL_FLOOR)))


def _rank(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks of the values; equal ones, as clipped cells are, share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[inverse], np.float64)
