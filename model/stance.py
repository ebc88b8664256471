"""Tells how exposures were turned whose EXIF orientations differ."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels
from model.ghosts.proxies import reduce_exposure

Array = NDArray[Any]

SKETCH_PX = 64
"""Side of the small pictures that decide where two stances fit."""


def view_stored(pixels: Array, orientation: int) -> Array:
    """View upright pixels in the order in which a file stores them (EXIF 2.32, 4.6.4 A).

    Args:
        pixels: Shape (H, W, ...).
        orientation: 1 to 8.
    """
    match orientation:
        case 2:
            return pixels[:, ::-1]
        case 3:
            return pixels[::-1, ::-1]
        case 4:
            return pixels[::-1]
        case 5:
            return pixels.swapaxes(0, 1)
        case 6:
            return np.rot90(pixels, 1)
        case 7:
            return pixels[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return np.rot90(pixels, -1)
        case _:
            return pixels


def view_upright(pixels: Array, orientation: int) -> Array:
    """Undo `view_stored`.

    Example:
        >>> pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
        >>> all((view_upright(view_stored(pixels, k), k) == pixels).all() for k in range(1, 9))
        True
    """
    opposite = {6: 8, 8: 6}.get(orientation, orientation)
    return view_stored(pixels, opposite)


def find_stances(
    images: Sequence[Pixels], orientations: Sequence[int], *, reference: int
) -> list[int]:
    """How each exposure of a bracket was turned, where the camera mistook how it was held.

    A camera that points up or down cannot tell how it is held, and the tag changes between frames
    of one bracket. An exposure whose tag is not the reference's was stored as the reference where
    only so it has the reference's size, or where it then looks more like it.

    Args:
        images: Each turned upright by its own tag. Shape (H, W, 3).
        orientations: Their tags, 1 to 8.
        reference: Index of the image whose tag is believed.

    Returns:
        The orientation that turns each stored image upright.
    """
    stance, pattern = orientations[reference], images[reference]
    stances = []
    for image, orientation in zip(images, orientations, strict=True):
        turned = turn(image, orientation, stance)
        is_stored_alike = turned.shape == pattern.shape and (
            image.shape != pattern.shape or _likeness(turned, pattern) > _likeness(image, pattern)
        )
        stances.append(stance if orientation != stance and is_stored_alike else orientation)
    return stances


def turn(pixels: Array, orientation: int, stance: int) -> Array:
    """View pixels that were turned upright by one orientation as another one would have it."""
    return view_upright(view_stored(pixels, orientation), stance)


def _likeness(one: Pixels, other: Pixels) -> float:
    """Correlation of the ranks of two pictures' levels, which exposure does not change; -1..1."""
    first, second = (_sketch(image) for image in (one, other))
    return float((first * second).mean())


def _sketch(image: Pixels) -> NDArray[np.float64]:
    proxy = reduce_exposure(image if image.flags.c_contiguous else image.copy())
    small = cv2.resize(
        cv2.cvtColor(proxy, cv2.COLOR_RGB2GRAY),
        (SKETCH_PX, SKETCH_PX),
        interpolation=cv2.INTER_AREA,
    )
    ranks = cv2.equalizeHist(small).astype(np.float64)
    deviation = ranks.std()
    return np.asarray((ranks - ranks.mean()) / (deviation if deviation > 0 else 1.0))
