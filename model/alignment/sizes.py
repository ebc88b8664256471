"""Brings an exposure of another size onto the size of the reference exposure."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.estimate import align_views
from model.alignment.view import ExposureView
from model.errors import ExposureError
from model.exposure import AlignmentReport, Pixels

MAX_DIRECT_REDUCTION = 1.25
"""Reduction up to which the cubic kernel alone resamples; beyond it areas are averaged first."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ResizedExposure:
    """An exposure that has been brought onto the reference exposure's frame.

    Attributes:
        pixels: The exposure as it lies on the reference exposure, its edge repeated outside. Shape
            (H, W, 3) of the reference, dtype of the exposure.
        report: Its homography maps a pixel of the exposure as it was sent to the reference, scale
            included; the shift is what remains beside the scale.
    """

    pixels: Pixels
    report: AlignmentReport


def bring_to_size(exposure: Pixels, reference: Pixels) -> ResizedExposure:
    """Find an exposure of another size in the reference exposure and resample it onto that.

    The exposure is stretched to the size of the reference and aligned as a hand's motion is: a few
    pixels that a RAW converter cut off, a fixed scale, and a motion beside it come to one
    homography, by which the exposure is then resampled once.

    Args:
        exposure: RGB image (h, w, 3), uint8 or uint16.
        reference: RGB image (H, W, 3) that stays as it is.

    Returns:
        The exposure on the reference's frame.

    Raises:
        ExposureError: Nothing of the two matches.
    """
    height, width = reference.shape[:2]
    own_height, own_width = exposure.shape[:2]
    ratio = min(own_width / width, own_height / height)
    kernel = cv2.INTER_AREA if ratio > 1.0 else cv2.INTER_CUBIC
    stretched: NDArray[Any] = cv2.resize(exposure, (width, height), interpolation=kernel)
    report = align_views(ExposureView(stretched), ExposureView(reference))
    if report.refused is not None:
        raise ExposureError(
            f"expected exposures of one scene, got sizes of {own_width}x{own_height} and "
            f"{width}x{height} pixels in which nothing matches ({report.refused})"
        )
    found = np.reshape(np.array(report.homography, np.float64), (3, 3))
    whole = found @ stretch(exposure, reference)
    whole /= whole[2, 2]
    if report.model == "identity":
        pixels = stretched
    elif ratio > MAX_DIRECT_REDUCTION:
        pixels = _resample(stretched, found, width, height)
    else:
        pixels = _resample(exposure, whole, width, height)
    return ResizedExposure(
        pixels,
        replace(report, model="homography", homography=tuple(whole.ravel().tolist())),
    )


def stretch(exposure: Pixels, reference: Pixels) -> Matrix:
    """Map of the pixels of one frame onto another of any size, corner onto corner. Shape (3, 3)."""
    x, y = (reference.shape[axis] / exposure.shape[axis] for axis in (1, 0))
    return np.array([[x, 0.0, (x - 1.0) / 2.0], [0.0, y, (y - 1.0) / 2.0], [0.0, 0.0, 1.0]])


def _resample(image: Pixels, homography: Matrix, width: int, height: int) -> Pixels:
    warped: NDArray[Any] = cv2.warpPerspective(
        image,
        homography,
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return warped
