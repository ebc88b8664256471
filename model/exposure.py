"""Describes an exposure pair and how its two images lie on each other; needs NumPy only."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.errors import ExposureError

MIN_SIDE_PX = 16
"""Smallest image side that is fused: below it the network's own padding outweighs the picture."""

UINT8_TO_UINT16 = 257
"""65535 / 255: the factor that maps the full scale of uint8 onto the full scale of uint16."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Reference = Literal["under", "over"]
AlignMode = Literal["auto", "off", "require"]
"""`auto` warps nothing where no homography passes the gates, `off` does not look for one, `require`
refuses the pair."""

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class ExposurePair:
    """Two RGB images of one scene, equal in size and type, the darker one first.

    Attributes:
        under: The darker exposure, RGB. Shape (H, W, 3), uint8 or uint16.
        over: The brighter exposure, same shape and dtype.
        is_swapped: The caller gave the brighter exposure first.
    """

    under: Pixels
    over: Pixels
    is_swapped: bool = False

    @classmethod
    def from_images(cls, first: Pixels, second: Pixels) -> "ExposurePair":
        """Check two images and order them by their mean intensity.

        A uint8 image next to a uint16 one is brought to uint16. Images of equal mean keep the
        order in which they were given.

        Args:
            first: RGB image meant as the under exposure. Shape (H, W, 3), uint8 or uint16.
            second: RGB image meant as the over exposure. Same shape.

        Returns:
            The pair, darker exposure first; views of the inputs wherever no conversion is needed.

        Raises:
            ExposureError: An image is not (H, W, 3) of uint8 or uint16, the sizes differ, or a
                side is shorter than `MIN_SIDE_PX`.

        Example:
            >>> dark = np.zeros((16, 16, 3), np.uint8)
            >>> pair = ExposurePair.from_images(dark + 200, dark)
            >>> pair.is_swapped, int(pair.over.max())
            (True, 200)
        """
        for name, image in (("first", first), ("second", second)):
            _check_image(name, image)
        if first.shape != second.shape:
            raise ExposureError(
                f"expected two images of equal size, got {_size(first)} and {_size(second)} pixels"
            )
        if first.dtype != second.dtype:
            first, second = _to_uint16(first), _to_uint16(second)
        is_swapped = bool(first.mean(dtype=np.float64) > second.mean(dtype=np.float64))
        if is_swapped:
            first, second = second, first
        return cls(_contiguous(first), _contiguous(second), is_swapped)

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.under.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.under.shape[1])


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """What alignment found and what is applied; plain data, so that it crosses processes.

    Attributes:
        model: What is applied: nothing, or a homography.
        homography: The map from a pixel of the moving exposure to the reference exposure, row by
            row, `h[2, 2] = 1`, pixel centres at integers; the identity when nothing is applied.
        inliers: Matched patches that agree with the homography found; 0 when refused early.
        inlier_ratio: Their share of all matched patches, 0..1.
        max_corner_shift_px: Largest motion of an image corner under the homography found, also
            where it is too small to be applied; 0 when refused.
        refused: Code of the gate that failed, None when none did.
        reference: The exposure that stays where it is.
    """

    model: Literal["identity", "homography"]
    homography: tuple[float, ...]
    inliers: int
    inlier_ratio: float
    max_corner_shift_px: float
    refused: str | None
    reference: Reference

    def describe(self) -> str:
        """The outcome and its figures on one line, as the service's header says it."""
        if self.refused is not None:
            return f"refused; reason={self.refused}"
        return (
            f"{self.model}; inliers={self.inliers}; ratio={self.inlier_ratio:.3f}; "
            f"max-corner-shift-px={self.max_corner_shift_px:.2f}; reference={self.reference}"
        )


def _check_image(name: str, image: Pixels) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype not in (np.uint8, np.uint16):
        raise ExposureError(
            f"expected the {name} image as (H, W, 3) of uint8 or uint16, "
            f"got {image.shape} of {image.dtype}"
        )
    if min(image.shape[:2]) < MIN_SIDE_PX:
        raise ExposureError(
            f"expected sides of at least {MIN_SIDE_PX} pixels, got {_size(image)} pixels"
        )


def _size(image: Pixels) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _to_uint16(image: Pixels) -> NDArray[np.uint16]:
    if image.dtype == np.uint16:
        return image.astype(np.uint16, copy=False)
    return image.astype(np.uint16) * np.uint16(UINT8_TO_UINT16)


def _contiguous(image: Pixels) -> Pixels:
    return image if image.flags.c_contiguous else image.copy()
