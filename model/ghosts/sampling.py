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

Cells = NDArray[np.uint8]


class Grid:
    """Cells over a whole picture, read at the pixels of one window, bilinear in between.

    Each value is computed at its pixel's absolute place, and so does not depend on the window.

    Args:
        cells: Shape (h, w) or (h, w, 3).
        window: The window, in pixels.
        height: Height of the picture that the cells cover.
        width: Width of that picture.
    """

    def __init__(self, cells: Cells, window: Rect, height: int, width: int) -> None:
        self._cells = cells
        self._window = window
        self._rows = _find_taps(window.top, window.bottom, height, cells.shape[0])
        self._columns = _find_taps(window.left, window.right, width, cells.shape[1])

    def sample_weights(self) -> Iterator[tuple[Rect, Weight | None]]:
        """Give the places in which a mask, 0 to 255, is not 0, block by block.

        Yields:
            A place in the window, and the weights there, 0..1, None where all are 1.
        """
        for top in range(0, self._window.height, BLOCK_PX):
            rows = self._rows.cut(top, top + BLOCK_PX)
            for left in range(0, self._window.width, BLOCK_PX):
                columns = self._columns.cut(left, left + BLOCK_PX)
                near = self._cells[rows.cells, columns.cells]
                if not near.any():
                    continue
                place = _bound(near, rows, columns, top, left)
                if near.min() == 255:
                    yield place, None
                else:
                    yield place, self._interpolate(place) * np.float32(1 / 255)

    def sample_lift(self, place: Rect) -> tuple[Rect, Field] | None:
        """Give the levels that a lift adds in a place of the window; None where none.

        Returns:
            A part of the place, outside of which none are added, and the levels there, shape
            (part.height, part.width, 3).
        """
        rows = self._rows.cut(place.top, place.bottom)
        columns = self._columns.cut(place.left, place.right)
        is_lifted = (self._cells[rows.cells, columns.cells] != NO_LIFT).any(axis=2)
        if not is_lifted.any():
            return None
        part = _bound(is_lifted.astype(np.uint8), rows, columns, place.top, place.left)
        return part, self._interpolate(part) - np.float32(NO_LIFT)

    def _interpolate(self, place: Rect) -> Field:
        rows = self._rows.cut(place.top, place.bottom)
        columns = self._columns.cut(place.left, place.right)
        near = self._cells[rows.cells, columns.cells].astype(np.float32)
        return _interpolate_axis(_interpolate_axis(near, columns, axis=1), rows, axis=0)


class _Taps(NamedTuple):
    """Along one axis, the cells that each pixel lies between.

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

    def find_touched(self, cells: Cells) -> tuple[int, int]:
        """The first pixel beside a cell that is not 0, and the one after the last."""
        first = self.before[0]
        touched = np.flatnonzero(cells[self.before - first] | cells[self.after - first])
        return int(touched[0]), int(touched[-1]) + 1


def _find_taps(start: int, stop: int, pixels: int, cells: int) -> _Taps:
    place = (np.arange(start, stop) + 0.5) * (cells / pixels) - 0.5
    place = place.clip(0, cells - 1)
    before = place.astype(np.intp)
    return _Taps(before, np.minimum(before + 1, cells - 1), (place - before).astype(np.float32))


def _bound(near: Cells, rows: _Taps, columns: _Taps, top: int, left: int) -> Rect:
    """The smallest rectangle of pixels that touch cells that are not 0; there must be one."""
    first, last = rows.find_touched(near.max(axis=1))
    low, high = columns.find_touched(near.max(axis=0))
    return Rect(top + first, left + low, last - first, high - low)


def _interpolate_axis(cells: Field, taps: _Taps, *, axis: int) -> Field:
    first = taps.before[0]
    result = cells.take(taps.before - first, axis=axis)
    step = cells.take(taps.after - first, axis=axis)
    step -= result
    step *= taps.way.reshape(-1, *(1,) * (cells.ndim - 1 - axis))
    result += step
    return np.asarray(result, np.float32)
