"""Describes a stack of exposures and how they lie on each other; needs NumPy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
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

GhostsMode = Literal["auto", "off"]
"""`auto` replaces what moved by what the reference shows, `off` leaves it."""

Useless = Literal["blank", "duplicate"]
"""`blank`: black or white nearly everywhere; `duplicate`: equal to another one but for noise."""

AlignmentOutcome = Literal["off", "identity", "homography", "refused"]
"""What became of the alignment of a whole stack."""

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


MIN_EXPOSURES, MAX_EXPOSURES = 2, 9
"""How many exposures of one scene are fused."""


@dataclass(frozen=True, slots=True, eq=False)
class ExposureStack:
    """RGB images of one scene, equal in size and type, dark to bright.

    Attributes:
        exposures: The exposures, two to nine. Shape (H, W, 3) each, uint8 or uint16.
        order: Of each exposure, which of the images given it is, from 0.
    """

    exposures: tuple[Pixels, ...]
    order: tuple[int, ...]

    @classmethod
    def from_images(cls, images: Sequence[Pixels]) -> "ExposureStack":
        """Check images and order them by what they show: by their mean intensity.

        Images of uint8 beside one of uint16 are brought to uint16. Images of equal mean keep the
        order in which they were given.

        Args:
            images: RGB images, two to nine, in any order. Shape (H, W, 3) each, uint8 or uint16.

        Returns:
            The stack; views of the images wherever no conversion is needed.

        Raises:
            ExposureError: Their number is out of range, one is not (H, W, 3) of uint8 or uint16,
                the sizes differ, or a side is shorter than `MIN_SIDE_PX`.

        Example:
            >>> dark = np.zeros((16, 16, 3), np.uint8)
            >>> stack = ExposureStack.from_images([dark + 200, dark, dark + 100])
            >>> stack.order, int(stack.exposures[-1].max())
            ((1, 2, 0), 200)
        """
        check_count(len(images))
        for number, image in enumerate(images, start=1):
            _check_image(number, image)
        sizes = [_size(image) for image in images]
        if len(set(sizes)) > 1:
            *firsts, last = sizes
            raise ExposureError(
                f"expected exposures of equal size, got {', '.join(firsts)} and {last} pixels"
            )
        if len({image.dtype for image in images}) > 1:
            images = [_to_uint16(image) for image in images]
        means = [float(image.mean(dtype=np.float64)) for image in images]
        order = tuple(sorted(range(len(images)), key=means.__getitem__))
        return cls(tuple(_contiguous(images[index]) for index in order), order)

    def __len__(self) -> int:
        """Number of exposures."""
        return len(self.exposures)

    @property
    def darkest(self) -> Pixels:
        """The under exposure."""
        return self.exposures[0]

    @property
    def brightest(self) -> Pixels:
        """The over exposure."""
        return self.exposures[-1]

    @property
    def is_reordered(self) -> bool:
        """The images were not given dark to bright."""
        return self.order != tuple(range(len(self.order)))

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
    """

    model: Literal["identity", "homography"]
    homography: tuple[float, ...]
    inliers: int
    inlier_ratio: float
    max_corner_shift_px: float
    refused: str | None

    def describe(self) -> str:
        """The outcome and its figures on one line."""
        if self.refused is not None:
            return f"refused; reason={self.refused}"
        return (
            f"{self.model}; inliers={self.inliers}; ratio={self.inlier_ratio:.3f}; "
            f"max-corner-shift-px={self.max_corner_shift_px:.2f}"
        )


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


def describe_order(order: tuple[int, ...]) -> str:
    """The exposures as numbers from 1, dark to bright; of a pair whether it was swapped.

    Example:
        >>> describe_order((1, 0)), describe_order((2, 0, 1))
        ('swapped', '3,1,2')
    """
    if len(order) == MIN_EXPOSURES:
        return "as-given" if order == (0, 1) else "swapped"
    return ",".join(str(index + 1) for index in order)


def summarise_alignment(alignment: StackAlignment | None) -> AlignmentOutcome:
    """The outcome of a whole stack: refused where any exposure was, else what was applied to any.

    Example:
        >>> summarise_alignment(None)
        'off'
    """
    if alignment is None:
        return "off"
    reports = [one for one in alignment.reports if one is not None]
    if any(one.refused is not None for one in reports):
        return "refused"
    return "homography" if any(one.model == "homography" for one in reports) else "identity"


def describe_alignment(alignment: StackAlignment | None, order: tuple[int, ...]) -> str:
    """What was done to each exposure, with its figures, on one line.

    Args:
        alignment: What was found.
        order: Of each exposure of the stack, which of those given it is.
    """
    if alignment is None:
        return "off"
    if len(order) == 1:
        return "identity; one exposure adds something"
    if len(order) == MIN_EXPOSURES:
        (report,) = (one for one in alignment.reports if one is not None)
        figures = report.describe()
        reference: Reference = "over" if alignment.reference else "under"
        return figures if report.refused else f"{figures}; reference={reference}"
    outcomes = [
        f"{number + 1}={report.model if report.refused is None else report.describe()}"
        for number, report in sorted(zip(order, alignment.reports, strict=True), key=itemgetter(0))
        if report is not None
    ]
    return "; ".join([summarise_alignment(alignment), *outcomes])


def describe_useless(useless: Mapping[int, Useless]) -> str:
    """Which exposures, numbered as given from 1, were not used, and why; `none` where all were.

    Example:
        >>> describe_useless({}), describe_useless({4: "blank", 1: "duplicate"})
        ('none', '2=duplicate 5=blank')
    """
    parts = [f"{index + 1}={reason}" for index, reason in sorted(useless.items())]
    return " ".join(parts) or "none"


def check_count(count: int) -> None:
    """Check how many exposures there are.

    Raises:
        ExposureError: Not two to nine.
    """
    if not MIN_EXPOSURES <= count <= MAX_EXPOSURES:
        raise ExposureError(f"expected {MIN_EXPOSURES} to {MAX_EXPOSURES} exposures, got {count}")


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


def _contiguous(image: Pixels) -> Pixels:
    return image if image.flags.c_contiguous else image.copy()
