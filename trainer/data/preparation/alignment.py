"""Lays the exposures of a photographed stack onto one of them; crops to what all of them show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.alignment.estimate import align_pair, is_plausible, shift_corners
from model.exposure import AlignmentReport, ExposurePair
from model.tiling import Rect
from model.warp import reference_to_moving, warp_window

CPU = torch.device("cpu")
Matrix = NDArray[np.float64]
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """How one exposure lies on the reference exposure.

    Attributes:
        homography: Exposure pixel -> reference pixel, None where nothing needs to move.
        shift_px: Largest motion of a corner.
        refused: Code of the gate that failed, None when none did.
    """

    homography: Matrix | None = None
    shift_px: float = 0.0
    refused: str | None = None


def place_exposures(images: Sequence[Picture], reference: int) -> list[Placement]:
    """Find how each exposure lies on the reference exposure.

    Every exposure is aligned onto the reference by `model.alignment.estimate.align_pair` and its
    gates. One that is too far from it in exposure to share enough with it is tried once more on
    its next neighbour on the way to the reference that has found its own place.

    Args:
        images: The exposures, dark to bright, RGB. Shape (H, W, 3) each, uint8.
        reference: Index of the exposure that stays where it is.

    Returns:
        A placement for each exposure, in their order.
    """
    placements = {reference: Placement()}
    for outwards in (range(reference - 1, -1, -1), range(reference + 1, len(images))):
        inner = reference
        for index in outwards:
            placement = _place(images[index], images[reference], Placement())
            if placement.refused is not None and inner != reference:
                placement = _place(images[index], images[inner], placements[inner])
            placements[index] = placement
            if placement.refused is None:
                inner = index
    return [placements[index] for index in range(len(images))]


def crop_to_common(
    images: Sequence[Picture], placements: Sequence[Placement]
) -> tuple[list[Picture], Rect]:
    """Warp the exposures that moved and crop all to the largest rectangle that each of them covers.

    An exposure that did not move keeps its pixels as they are.

    Args:
        images: The exposures, RGB. Shape (H, W, 3) each, uint8.
        placements: Their placements, none of them refused.

    Returns:
        The cropped exposures and the rectangle, in reference pixels; it is empty (height and width
        0) where the exposures have nothing in common.
    """
    height, width = images[0].shape[:2]
    inverses = [
        None
        if one.homography is None
        else reference_to_moving(tuple(one.homography.ravel().tolist()), height, width)
        for one in placements
    ]
    rect = common_rectangle([one for one in inverses if one is not None], height, width)
    if rect.height == 0:
        return [], rect
    cropped = []
    for image, inverse in zip(images, inverses, strict=True):
        if inverse is None:
            cropped.append(np.ascontiguousarray(image[rect.slices]))
        else:
            warped = warp_window(image, inverse, rect, device=CPU)[0].permute(1, 2, 0).numpy()
            cropped.append(np.rint(warped * 255).astype(np.uint8))
    return cropped, rect


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
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    is_covered = np.ones((height, width), bool)
    for inverse in to_moving:
        x, y, depth = (row[0] * columns + row[1] * rows + row[2] for row in inverse)
        x, y = x / depth, y / depth
        is_covered &= (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    first = np.where(is_covered.any(axis=1), is_covered.argmax(axis=1), width)
    last = np.where(is_covered.any(axis=1), width - 1 - is_covered[:, ::-1].argmax(axis=1), -1)
    left = np.maximum(first[:, None], first)
    widths = np.maximum(np.minimum(last[:, None], last) - left + 1, 0)
    top, bottom = np.indices((height, height))
    areas = np.where(bottom >= top, widths * (bottom - top + 1), 0)
    best_top, best_bottom = np.unravel_index(int(areas.argmax()), areas.shape)
    if areas.max() == 0:
        return Rect(0, 0, 0, 0)
    return Rect(
        top=int(best_top),
        left=int(left[best_top, best_bottom]),
        height=int(best_bottom - best_top + 1),
        width=int(widths[best_top, best_bottom]),
    )


def _place(moving: Picture, fixed: Picture, fixed_placement: Placement) -> Placement:
    """Place an exposure by way of another one whose own placement is known."""
    report = _align(moving, fixed)
    if report.refused is not None:
        return Placement(refused=report.refused)
    if report.model == "identity":
        return fixed_placement
    homography = np.array(report.homography, np.float64).reshape(3, 3)
    if fixed_placement.homography is not None:
        homography = fixed_placement.homography @ homography
        homography /= homography[2, 2]
    height, width = fixed.shape[:2]
    if not is_plausible(homography, width, height):
        return Placement(refused="implausible_motion")
    return Placement(homography, shift_corners(homography, width, height))


def _align(moving: Picture, fixed: Picture) -> AlignmentReport:
    pair = ExposurePair.from_images(moving, fixed)
    return align_pair(pair, reference="under" if pair.is_swapped else "over")
