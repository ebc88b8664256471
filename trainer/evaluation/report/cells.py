"""Lays labelled pictures out on white: under their labels, in rows, in columns, in grids."""

from collections.abc import Sequence

import cv2
import numpy as np

from trainer.evaluation.pictures import Picture

LABEL_HEIGHT_PX = 24
GAP_PX = 6
WHITE = 255


def draw_cell(picture: Picture, label: str) -> Picture:
    """A picture under its label."""
    strip = np.full((LABEL_HEIGHT_PX, picture.shape[1], 3), WHITE, np.uint8)
    origin = (2, LABEL_HEIGHT_PX - 8)
    cv2.putText(strip, label, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([strip, picture])


def join_cells(cells: Sequence[Picture]) -> Picture:
    """Put cells side by side, aligned at their tops."""
    height = max(cell.shape[0] for cell in cells)
    width = sum(cell.shape[1] + GAP_PX for cell in cells) - GAP_PX
    row = np.full((height, width, 3), WHITE, np.uint8)
    left = 0
    for cell in cells:
        row[: cell.shape[0], left : left + cell.shape[1]] = cell
        left += cell.shape[1] + GAP_PX
    return row


def stack_cells(cells: Sequence[Picture]) -> Picture:
    """Put cells below each other, aligned at their left."""
    turned = join_cells([cell.transpose(1, 0, 2) for cell in cells])
    return np.ascontiguousarray(turned.transpose(1, 0, 2))


def arrange_cells(cells: Sequence[Picture], columns: int) -> Picture:
    """Put cells into rows of at most so many."""
    starts = range(0, len(cells), columns)
    return stack_cells([join_cells(cells[start : start + columns]) for start in starts])


def fit_row(count: int, *, width_px: int, most_px: int) -> int:
    """Largest width of a cell, at most `most_px`, with which so many fit side by side.

    Example:
        >>> fit_row(2, width_px=1938, most_px=480), fit_row(9, width_px=1938, most_px=480)
        (480, 210)
    """
    return min(most_px, (width_px + GAP_PX) // count - GAP_PX)
