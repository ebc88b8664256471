"""Describes a stack of exposures and how they lie on each other; loads NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from model.errors import ExposureError

MIN_SIDE_PX = 16
"""Smallest image side that is fused: below it the network's own padding outweighs the picture."""

UINT8_TO_UINT16 = 257
"""65535 / 255: the factor that maps the full scale of uint8 onto the full scale of uint16."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Size = tuple[int, int]
"""Width and height in pixels."""

Reference = Literal["under", "over"]
AlignMode = Literal["auto", "off", "require"]
"""`auto` warps nothing where no homography passes the gates, `off` does not look for one, `require`
refuses the pair."""

GhostsMode = Literal["auto", "off"]
"""`auto` replaces what moved by what the reference shows, `off` leaves it."""

CropMode = Literal["none", "common"]
"""`none` leaves the reference's frame, `common` cuts the picture to what all exposures cover."""

Useless = Literal["blank", "duplicate"]
"""`blank`: black or white nearly everywhere; `duplicate`: equal to another one but for noise."""

AlignmentOutcome = Literal["off", "identity", "homography", "refused"]
"""What became of the alignment of a whole stack."""

ALIGNMENT_HELPS = "alignment brings exposures of one scene to one size"
TURNED = "one of them is turned by 90 degrees, as where its EXIF orientation was lost"

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


MIN_EXPOSURES, MAX_EXPOSURES = 2, 9
"""How many exposures of one scene are fused."""


@dataclass(frozen=True, slots=True, eq=False)
class ExposureSet:
    """RGB images of one scene and one type, dark to bright; their sizes may differ.

    Attributes:
        exposures: The exposures. Shape (H, W, 3) each, uint8 or uint16.
        order: Of each exposure, which of the images given it is, from 0.
    """

    exposures: tuple[Pixels, ...]
    order: tuple[int, ...]

    @classmethod
    def from_images(cls, images: Sequence[Pixels]) -> Self:
        """Check images and order them by what they show: by their mean intensity.

        Images of uint8 beside one of uint16 are brought to uint16. Images of equal mean keep the
        order in which they were given.

        Args:
            images: RGB images, two to nine, in any order. Shape (H, W, 3) each, uint8 or uint16.

        Returns:
            The exposures; views of the images wherever no conversion is needed.

        Raises:
            ExposureError: Their number is out of range, one is not (H, W, 3) of uint8 or uint16,
                or a side is shorter than `MIN_SIDE_PX`.

        Example:
            >>> dark = np.zeros((17, 17, 3), np.uint8)
            >>> found = ExposureSet.from_images([dark[:, 1:] + 200, dark, dark + 100])
            >>> found.order, found.sizes[-1], int(found.exposures[-1].max())
            ((1, 2, 0), (16, 17), 200)
        """
        check_count(len(images))
        for number, image in enumerate(images, start=1):
            _check_image(number, image)
        if len({image.dtype for image in images}) > 1:
            images = [_to_uint16(image) for image in images]
        means = [_mean(image) for image in images]
        order = tuple(sorted(range(len(images)), key=means.__getitem__))
        return cls(tuple(_contiguous(images[index]) for index in order), order)

    def __len__(self) -> int:
        """Number of exposures."""
        return len(self.exposures)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """Width and height of each exposure."""
        return tuple((image.shape[1], image.shape[0]) for image in self.exposures)

    @property
    def sizes_as_given(self) -> tuple[Size, ...]:
        """Their sizes in the order in which the images were given."""
        return tuple(size for _, size in sorted(zip(self.order, self.sizes, strict=True)))

    @property
    def is_reordered(self) -> bool:
        """The images were not given dark to bright."""
        return self.order != tuple(range(len(self.order)))


@dataclass(frozen=True, slots=True, eq=False)
class ExposureStack(ExposureSet):
    """Exposures of one size, dark to bright, two to nine, as they are fused.

    Raises:
        ExposureError: The sizes differ.

    Example:
        >>> dark = np.zeros((16, 16, 3), np.uint8)
        >>> stack = ExposureStack.from_images([dark + 200, dark, dark + 100])
        >>> stack.order, int(stack.brightest.max())
        ((1, 2, 0), 200)
    """

    def __post_init__(self) -> None:
        check_one_size(self.sizes_as_given)

    @property
    def darkest(self) -> Pixels:
        """The under exposure."""
        return self.exposures[0]

    @property
    def brightest(self) -> Pixels:
        """The over exposure."""
        return self.exposures[-1]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.darkest.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.darkest.shape[1])


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """What alignment found of one exposure; plain data, so that it crosses processes.

    Attributes:
        model: What is applied: nothing, or a homography.
        homography: The map from a pixel of the moving exposure to the reference exposure, row by
            row, `h[2, 2] = 1`, pixel centres at integers; the identity when nothing is applied.
        inliers: Matched patches that agree with the homography found; 0 when refused early.
        inlier_ratio: Their share of all matched patches, 0..1.
        max_corner_shift_px: Largest motion of an image corner under the homography found, also
            where it is too small to be applied; 0 when refused.
        refused: Code of the gate that failed, None when none did.
        own_size: Width and height of an exposure that had not the size of the reference. It has
            been resampled by the homography, which holds its scale; the shift is what it moved
            beside that. None for all others.
    """

    model: Literal["identity", "homography"]
    homography: tuple[float, ...]
    inliers: int
    inlier_ratio: float
    max_corner_shift_px: float
    refused: str | None
    own_size: Size | None = None

    @property
    def needs_warp(self) -> bool:
        """The exposure must still be warped by the homography."""
        return self.model == "homography" and self.own_size is None

    def describe(self) -> str:
        """The outcome and its figures on one line."""
        if self.refused is not None:
            return f"refused; reason={self.refused}"
        return (
            f"{self.describe_model()}; inliers={self.inliers}; ratio={self.inlier_ratio:.3f}; "
            f"max-corner-shift-px={self.max_corner_shift_px:.2f}"
        )

    def describe_model(self) -> str:
        """What was applied, and the size that the exposure had if it was another one."""
        if self.own_size is None:
            return self.model
        return f"{self.model}; resized-from={self.own_size[0]}x{self.own_size[1]}"


@dataclass(frozen=True, slots=True)
class StackAlignment:
    """How the exposures of a stack lie on one of them.

    Attributes:
        reference: Which exposure of the stack stays where it is, from 0, dark to bright.
        reports: What was found of each exposure; None for the reference.
    """

    reference: int
    reports: tuple[AlignmentReport | None, ...]

    @property
    def refused(self) -> tuple[str, ...]:
        """The gates that failed, of every exposure that was refused."""
        return tuple(one.refused for one in self.reports if one and one.refused is not None)


def check_count(count: int) -> None:
    """Check how many exposures there are.

    Raises:
        ExposureError: Not two to nine.
    """
    if not MIN_EXPOSURES <= count <= MAX_EXPOSURES:
        raise ExposureError(f"expected {MIN_EXPOSURES} to {MAX_EXPOSURES} exposures, got {count}")


def check_one_size(sizes: Sequence[Size], *, advice: str = "") -> None:
    """Check that all exposures have one size.

    Args:
        sizes: Of each exposure, as given.
        advice: What the message adds; where they differ only in which side is the longer, it
            says that instead.

    Raises:
        ExposureError: They differ.
    """
    if len(set(sizes)) <= 1:
        return
    *firsts, last = (f"{width}x{height}" for width, height in sizes)
    if len({tuple(sorted(size)) for size in sizes}) == 1:
        advice = TURNED
    got = f"expected exposures of equal size, got {', '.join(firsts)} and {last} pixels"
    raise ExposureError(f"{got}; {advice}" if advice else got)


def _check_image(number: int, image: Pixels) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype not in (np.uint8, np.uint16):
        raise ExposureError(
            f"expected exposure {number} as (H, W, 3) of uint8 or uint16, "
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


def _mean(image: Pixels) -> float:
    """The mean of all samples, from their exact sum."""
    # OpenCV sums in a quarter of NumPy's time; who only reads the types here does not load it.
    import cv2

    return float(sum(cv2.sumElems(image))) / image.size


def _contiguous(image: Pixels) -> Pixels:
    return image if image.flags.c_contiguous else image.copy()
