"""Lays the exposures of a photographed stack onto one of them; crops to what all of them show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.alignment.frame import common_rectangle
from model.alignment.stack import align_stack
from model.exposure import AlignmentReport
from model.geometry import reference_to_moving
from model.tiling import Rect
from model.torch_warp import warp_window

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

    `model.alignment.stack.align_stack` finds it, the dark and bright ones through their neighbours.

    Args:
        images: The exposures, dark to bright, RGB. Shape (H, W, 3) each, uint8.
        reference: Index of the exposure that stays where it is.

    Returns:
        A placement for each exposure, in their order.
    """
    reports = align_stack(images, reference=reference)
    return [Placement() if report is None else _to_placement(report) for report in reports]


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


def _to_placement(report: AlignmentReport) -> Placement:
    if report.model == "identity":
        return Placement(refused=report.refused)
    homography = np.array(report.homography, np.float64).reshape(3, 3)
    return Placement(homography, report.max_corner_shift_px)
