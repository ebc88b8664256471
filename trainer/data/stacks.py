"""Photographed stacks on disk: their exposures, and the triples that these form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.data.camera import rgb_to_lightness
from trainer.errors import DataError

MID_TONE_LIGHTNESS = (35.0, 68.0)
"""Mean L* between which a photographed exposure passes as the correct one."""

EXPOSURE_SUFFIXES = (".jpg", ".png")

Triple = tuple[int, int, int]
"""Under, correct and over exposure as indices into a stack."""


@dataclass(frozen=True, slots=True)
class PhotographedStack:
    """The exposures of one scene, of equal size.

    Attributes:
        paths: Files of the exposures.
        height: Their height.
        width: Their width.
        triples: Every triple that they form.
        images: Their decoded pixels, empty where the stack is read again at each draw.
    """

    paths: tuple[Path, ...]
    height: int
    width: int
    triples: tuple[Triple, ...]
    images: tuple[NDArray[np.uint8], ...] = ()

    def read(self, index: int) -> NDArray[np.uint8]:
        """One exposure, RGB. Shape (height, width, 3), uint8."""
        return self.images[index] if self.images else read_exposure(self.paths[index])


def list_exposures(directory: Path) -> list[Path]:
    """Files of a stack's exposures (`00.jpg`, `01.png`, ...) in the order of their names."""
    return sorted(path for path in directory.glob("*") if path.suffix in EXPOSURE_SUFFIXES)


def read_exposure(path: Path) -> NDArray[np.uint8]:
    """Read one exposure of a stack.

    Returns:
        RGB picture. Shape (H, W, 3), uint8.

    Raises:
        DataError: The file is missing or no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"expected a readable exposure, '{path.parent.name}/{path.name}' is none")
    return np.ascontiguousarray(image[..., ::-1]).astype(np.uint8, copy=False)


def read_stack(directory: Path, *, keep: bool = True) -> PhotographedStack:
    """Read a stack and find its triples.

    Args:
        directory: Folder of the exposures.
        keep: Hold the decoded pixels; else they are read again whenever they are asked for.

    Raises:
        DataError: There is no exposure, one cannot be read, or they differ in size.
    """
    paths = tuple(list_exposures(directory))
    images, sizes, lightness = [], set(), []
    for path in paths:
        image = read_exposure(path)
        sizes.add(image.shape[:2])
        lightness.append(mean_lightness(image))
        images += [image] if keep else []
    if len(sizes) != 1:
        raise DataError(
            f"expected exposures of one size in the stack '{directory.name}', "
            f"found {len(paths)} of {len(sizes)} sizes"
        )
    height, width = sizes.pop()
    return PhotographedStack(paths, height, width, find_triples(lightness), tuple(images))


def mean_lightness(image: NDArray[np.uint8]) -> float:
    """Mean L*, 0..100, of an RGB picture (H, W, 3), uint8."""
    return float(rgb_to_lightness(image).mean())


def find_triples(lightness: Sequence[float]) -> tuple[Triple, ...]:
    """Every (under, correct, over) whose middle passes as correctly exposed.

    Args:
        lightness: Mean L* of each exposure of a stack, in any order.

    Returns:
        Indices into `lightness`; empty where no exposure passes, or none lies on one side of it.

    Example:
        >>> find_triples([90.0, 50.0, 20.0])
        ((2, 1, 0),)
        >>> find_triples([50.0, 80.0, 90.0])
        ()
    """
    order = sorted(range(len(lightness)), key=lightness.__getitem__)
    low, high = MID_TONE_LIGHTNESS
    return tuple(
        (under, correct, over)
        for middle, correct in enumerate(order)
        if low <= lightness[correct] <= high
        for under in order[:middle]
        for over in order[middle + 1 :]
    )
