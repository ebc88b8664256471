"""Gives transparent places of an exposure what the others show there, in its own tone."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.errors import ExposureError
from model.exposure import UINT8_TO_UINT16, Pixels
from model.ghosts.curves import Proxy, fit_curves
from model.ghosts.kernels import LEVELS
from model.ghosts.proxies import reduce_exposure

Transparency = NDArray[np.bool_]
"""Where an exposure is transparent. Shape (H, W)."""

LEAST_SHARED_PX = 64
"""Pixels of a small picture that two exposures must share for the tone of one to be known from the
other's."""

STRIP_ROWS = 256
SQUARE = np.ones((3, 3), np.uint8)


def find_transparent(alpha: Pixels) -> Transparency | None:
    """Where an exposure shows nothing: where it is less than half opaque, and the edge of that.

    A frame that was remapped is black outside of itself, and its edge is mixed with that.

    Args:
        alpha: Opacity. Shape (H, W), uint8 or uint16.

    Returns:
        None where it is opaque everywhere.

    Example:
        >>> find_transparent(np.array([[0, 0, 200, 200, 255]], np.uint8)).astype(int).tolist()
        [[1, 1, 1, 0, 0]]
    """
    opaque = np.iinfo(alpha.dtype).max
    nothing = (alpha <= opaque // 2).astype(np.uint8)
    if not nothing.any():
        return None
    edge = np.asarray(cv2.dilate(nothing, SQUARE), np.uint8)
    return np.asarray((edge > 0) & (alpha < opaque))


def fill_transparent(images: Sequence[Pixels], transparent: Sequence[Transparency | None]) -> None:
    """Fill, in place, what is transparent in an exposure by what others of its size show there.

    The nearest in brightness of those that are opaque there comes first; its levels are brought to
    the tone of the exposure by the curves between the two. Places that no exposure shows become
    black in all of them. Frames with an alpha channel are taken to lie on each other: programs that
    remap frames write it.

    Args:
        images: RGB images, in any order. Shape (H, W, 3) each, uint8 or uint16; those with
            transparent places must be writeable.
        transparent: Of each image; None where it is opaque everywhere.

    Raises:
        ExposureError: An image is transparent everywhere.

    Reference:
        Grossberg and Nayar, see `model.ghosts.curves.fit_curves`.
    """
    if all(one is None for one in transparent):
        return
    for number, one in enumerate(transparent, start=1):
        if one is not None and one.all():
            raise ExposureError(
                f"expected exposures that show something, exposure {number} is transparent "
                "everywhere"
            )
    proxies = [reduce_exposure(image) for image in images]
    opaque = [_reduce(one, proxy) for one, proxy in zip(transparent, proxies, strict=True)]
    for index, here in enumerate(transparent):
        if here is None:
            continue
        missing = here.copy()
        for other, table in _rank_sources(index, images, proxies, opaque):
            there = transparent[other]
            for rows in _strips(missing):
                place = missing[rows] if there is None else missing[rows] & ~there[rows]
                if place.any():
                    _copy(images[index][rows], images[other][rows], table, place)
                    missing[rows] &= ~place
        for rows in _strips(missing):
            images[index][rows][missing[rows]] = 0


def _rank_sources(
    index: int,
    images: Sequence[Pixels],
    proxies: Sequence[Proxy],
    opaque: Sequence[NDArray[np.uint8]],
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Other exposures, the nearest in brightness first, and how their levels look in this one.

    Yields:
        The index of one, and for R, G and B a level, 0..65535, for each level of its type.
    """
    found = []
    for other, image in enumerate(images):
        if other == index or image.shape != images[index].shape:
            continue
        keep = opaque[index] & opaque[other]
        if cv2.countNonZero(keep) >= LEAST_SHARED_PX:
            means = [cv2.mean(proxies[one], keep)[:3] for one in (index, other)]
            found.append((abs(sum(means[0]) - sum(means[1])), other, keep))
    for _, other, keep in sorted(found, key=lambda one: one[:2]):
        curves = fit_curves(proxies[other], proxies[index], keep)
        levels = np.linspace(0, LEVELS - 1, np.iinfo(images[other].dtype).max + 1)
        tables = [np.interp(levels, np.arange(LEVELS), one) for one in curves.levels]
        yield other, UINT8_TO_UINT16 * np.stack(tables)


def _copy(target: Pixels, source: Pixels, table: NDArray[np.float64], place: Transparency) -> None:
    scale = 1 if target.dtype == np.uint16 else UINT8_TO_UINT16
    for channel in range(3):
        levels = table[channel][source[..., channel][place]] / scale
        target[..., channel][place] = np.rint(levels)


def _reduce(transparent: Transparency | None, proxy: Proxy) -> NDArray[np.uint8]:
    """1 where a pixel of the small picture holds nothing transparent, 0 elsewhere."""
    height, width = proxy.shape[:2]
    if transparent is None:
        return np.ones((height, width), np.uint8)
    share = cv2.resize(
        transparent.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
    )
    return np.asarray(share == 0, np.uint8)


def _strips(mask: Transparency) -> Iterator[slice]:
    """Strips of rows in which a mask has anything."""
    for top in range(0, len(mask), STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        if mask[rows].any():
            yield rows
