"""Samples a ghost's mask and its lift at the pixels of a window."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.ghosts.ghost_map import NO_LIFT
from model.ghosts.prediction import Field, Weight
from model.tiling import Rect

BLOCK_PX = 192
"""Pixels are taken in blocks of this side: they stay in the cache, and most hold no ghost."""

Mask = NDArray[np.uint8]


def sample_mask(
    mask: Mask, window: Rect, height: int, width: int
) -> Iterator[tuple[Rect, Weight | None]]:
    """Give the weights of the pixels of a window, bilinear between the cells of a mask.

    Each is computed at its absolute place, and so does not depend on the window.

    Args:
        mask: 0 to 255. Shape (h, w).
        window: The window.
        height: Height of the whole picture, which the mask covers.
        width: Width of the whole picture.

    Yields:
        A place in the picture, and the weights there, 0..1, None where all are 1. Weights are 0
        outside the places.
    """
    rows = _find_taps(window.top, window.bottom, height, mask.shape[0])
    columns = _find_taps(window.left, window.right, width, mask.shape[1])
    for top in range(0, window.height, BLOCK_PX):
        block_rows = rows.cut(top, top + BLOCK_PX)
        for left in range(0, window.width, BLOCK_PX):
            block_columns = columns.cut(left, left + BLOCK_PX)
            near = mask[block_rows.cells, block_columns.cells]
            if not near.any():
                continue
            first, last = block_rows.find_touched(near.max(axis=1))
            low, high = block_columns.find_touched(near.max(axis=0))
            place = Rect(
                window.top + top + first, window.left + left + low, last - first, high - low
            )
            if near.min() == 255:
                yield place, None
            else:
                across, down = block_columns.cut(low, high), block_rows.cut(first, last)
                cells = mask[down.cells, across.cells] * np.float32(1 / 255)
                yield place, _interpolate(cells, down, across)


def sample_lift(lift: Mask, place: Rect, height: int, width: int) -> Field | None:
    """Give the levels that a lift adds at the pixels of a place; None where none.

    Args:
        lift: See `GhostMap`. Shape (h, w, 3).
        place: Pixels of the picture.
        height: Height of the whole picture.
        width: Width of the whole picture.

    Returns:
        Shape (place.height, place.width, 3).
    """
    rows = _find_taps(place.top, place.bottom, height, lift.shape[0])
    columns = _find_taps(place.left, place.right, width, lift.shape[1])
    near = lift[rows.cells, columns.cells]
    if (near == NO_LIFT).all():
        return None
    return _interpolate(near.astype(np.float32) - NO_LIFT, rows, columns)


class _Taps(NamedTuple):
    """Along one axis, the cells of a mask that each pixel lies between.

    Attributes:
        before: The cell before a pixel.
        after: The cell after it.
        way: How far the pixel lies from the first to the second, 0..1.
    """

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    way: Weight

    @property
    def cells(self) -> slice:
        """All cells."""
        return slice(int(self.before[0]), int(self.after[-1]) + 1)

    def cut(self, start: int, stop: int) -> "_Taps":
        """Those of some of the pixels."""
        return _Taps(self.before[start:stop], self.after[start:stop], self.way[start:stop])

    def find_touched(self, cells: NDArray[np.uint8]) -> tuple[int, int]:
        """The first pixel beside a cell that is not 0, and the one after the last."""
        first = self.before[0]
        touched = np.flatnonzero(cells[self.before - first] | cells[self.after - first])
        return int(touched[0]), int(touched[-1]) + 1


def _find_taps(start: int, stop: int, pixels: int, cells: int) -> _Taps:
    place = (np.arange(start, stop) + 0.5) * (cells / pixels) - 0.5
    place = place.clip(0, cells - 1)
    before = place.astype(np.intp)
    return _Taps(before, np.minimum(before + 1, cells - 1), (place - before).astype(np.float32))


def _interpolate(cells: Field, rows: _Taps, columns: _Taps) -> Field:
    """Bilinear values at pixels, of the cells that they lie between."""
    across = _interpolate_axis(cells, columns, axis=1)
    return _interpolate_axis(across, rows, axis=0)


def _interpolate_axis(cells: Field, taps: _Taps, *, axis: int) -> Field:
    first = taps.before[0]
    result = cells.take(taps.before - first, axis=axis)
    step = cells.take(taps.after - first, axis=axis)
    step -= result
    step *= taps.way.reshape(-1, *(1,) * (cells.ndim - 1 - axis))
    result += step
    return np.asarray(result, np.float32)
