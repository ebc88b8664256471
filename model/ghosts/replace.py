"""Replaces what moved in a window of an exposure by the prediction from the reference."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import UINT8_TO_UINT16, Pixels
from model.ghosts.ghost_map import CurveTable, GhostMap
from model.tiling import Rect

BLOCK_PX = 256
"""Pixels are replaced in blocks of this side: they stay in the cache, and most hold no ghost."""

Plane = NDArray[np.float32]
_EVERY_UINT16 = np.arange(2**16) / UINT8_TO_UINT16


def replace_ghosts(
    exposures: Sequence[Pixels],
    ghosts: Sequence[GhostMap | None],
    *,
    reference: int,
    window: Rect,
    height: int,
    width: int,
) -> list[Pixels]:
    """Free one window of all exposures of what moved, from the reference outwards.

    Args:
        exposures: The window's pixels of each exposure, aligned, dark to bright. Shape
            (window.height, window.width, 3) each, uint8 or uint16.
        ghosts: A map for each exposure, from `find_ghosts`.
        reference: Index of the reference that they were found with.
        window: The window.
        height: Height of the whole picture.
        width: Width of the whole picture.

    Returns:
        The exposures; those without a ghost are the arguments themselves.
    """
    result = list(exposures)
    for step in (-1, 1):
        index = reference + step
        while 0 <= index < len(exposures):
            ghost = ghosts[index]
            if ghost is not None:
                result[index] = replace_ghost(
                    exposures[index],
                    exposures[reference],
                    ghost,
                    window,
                    height,
                    width,
                    neighbour=result[index - step],
                )
            index += step
    return result


def replace_ghost(
    exposure: Pixels,
    reference: Pixels,
    ghost: GhostMap,
    window: Rect,
    height: int,
    width: int,
    *,
    neighbour: Pixels | None = None,
) -> Pixels:
    r"""Free one window of one exposure of what moved.

    With E the exposure, P the prediction that `GhostMap` states, and m the mask, bilinear between
    its pixels,

    .. math::
        E' = E + m (P - E)

    Every step is of single pixels at absolute places, so that a result does not depend on the
    window. Where m is 0 the exposure is kept to the bit.

    Args:
        exposure: The window's pixels. Shape (window.height, window.width, 3), uint8 or uint16.
        reference: Those of the reference.
        ghost: What moved.
        window: The window.
        height: Height of the whole picture.
        width: Width of the whole picture.
        neighbour: Those of the next exposure on the way to the reference, freed of its ghosts;
            used where `ghost` has a curve of it.

    Returns:
        The window, a new array; shape and dtype of the exposure.
    """
    result = exposure.copy()
    for block in _blocks(window):
        weight = _sample_mask(ghost.mask, block, height, width)
        inside = None if weight is None else _bound(weight)
        if weight is None or inside is None:
            continue
        weight = np.ascontiguousarray(weight[inside.slices])
        top, left = block.top - window.top + inside.top, block.left - window.left + inside.left
        part = Rect(top, left, inside.height, inside.width).slices
        prediction = _apply(reference[part], ghost.curve)
        if neighbour is not None and ghost.neighbour_curve is not None:
            other = _apply(neighbour[part], ghost.neighbour_curve)
            trust = _least_trust(reference[part], ghost.trust)
            prediction = _mix(other, prediction, trust)
        mixed = _mix(exposure[part], prediction, weight)
        result[part] = np.rint(mixed, out=mixed)
    return result


def _blocks(window: Rect) -> Iterator[Rect]:
    for top in range(window.top, window.bottom, BLOCK_PX):
        for left in range(window.left, window.right, BLOCK_PX):
            height = min(BLOCK_PX, window.bottom - top)
            yield Rect(top, left, height, min(BLOCK_PX, window.right - left))


def _sample_mask(mask: NDArray[np.uint8], place: Rect, height: int, width: int) -> Plane | None:
    """Weights, 0..1, of pixels of a picture from its mask; None where all are 0."""
    rows = (np.arange(place.top, place.bottom) + 0.5) * (mask.shape[0] / height) - 0.5
    columns = (np.arange(place.left, place.right) + 0.5) * (mask.shape[1] / width) - 0.5
    near = mask[
        max(int(rows[0]) - 1, 0) : int(rows[-1]) + 3,
        max(int(columns[0]) - 1, 0) : int(columns[-1]) + 3,
    ]
    if not near.any():
        return None
    x = np.tile(columns.astype(np.float32), (place.height, 1))
    y = np.repeat(rows.astype(np.float32)[:, None], place.width, axis=1)
    # In bytes OpenCV's interpolation is of integers: the same in every window.
    weight = cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.multiply(weight, np.float32(1 / 255), dtype=np.float32)


def _bound(weight: Plane) -> Rect | None:
    """The smallest rectangle outside of which weights are 0; None where all are."""
    rows, columns = np.flatnonzero(weight.any(axis=1)), np.flatnonzero(weight.any(axis=0))
    if len(rows) == 0:
        return None
    top, left = int(rows[0]), int(columns[0])
    return Rect(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)


def _mix(first: Pixels | Plane, second: Plane, weight: Plane) -> Plane:
    """First plus weight times the way to the second. Shape (h, w, 3), weight (h, w)."""
    start = first.astype(np.float32)
    way = second - start
    way *= cv2.merge([weight, weight, weight])
    way += start
    return np.asarray(way, np.float32)


def _apply(pixels: Pixels, curve: CurveTable) -> Plane:
    """Look levels up in a curve for each channel, in the levels of the pixels' type."""
    table = np.array(curve, np.float64)
    if pixels.dtype == np.uint8:
        interleaved = np.ascontiguousarray(table.T.astype(np.float32)).reshape(1, 256, 3)
        return np.asarray(cv2.LUT(np.ascontiguousarray(pixels), interleaved), np.float32)
    planes = [_to_uint16_table(table[c])[pixels[..., c]] for c in range(3)]
    return np.asarray(cv2.merge(planes)) * np.float32(UINT8_TO_UINT16)


def _least_trust(reference: Pixels, trust: tuple[float, ...]) -> Plane:
    """Trust in the least trusted channel of every pixel. Shape (h, w), 0..1."""
    table = np.array(trust, np.float64)
    red, green, blue = cv2.split(reference)
    extreme = cv2.min if trust[0] < trust[-1] else cv2.max
    worst = extreme(extreme(red, green), blue)
    if reference.dtype == np.uint8:
        return np.asarray(cv2.LUT(worst, table.astype(np.float32)), np.float32)
    return np.asarray(_to_uint16_table(table)[worst])


def _to_uint16_table(table: NDArray[np.float64]) -> Plane:
    """A table of 256 levels, linear in between, for every level of uint16."""
    return np.asarray(np.interp(_EVERY_UINT16, np.arange(256), table), np.float32)
