"""Calls the compiled arithmetic of the search for ghosts, on the calling thread.

What it is given must be uint8, and lie in its array without gaps or is copied. A call does not hold
the interpreter's lock.
"""

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels, Size
from model.kernels.native import (
    CHANNELS,
    LIBRARY,
    Comparison,
    Tolerance,
    as_rows,
    of_type,
)

LEVELS = 256

Bytes = NDArray[np.uint8]
Counts = NDArray[np.uint32]
Figures = NDArray[np.float64]


class Looked(NamedTuple):
    """What tables say of every pixel of a picture. Shapes (3, h, w) and, of the last, (h, w)."""

    levels: Bytes
    least: Bytes
    most: Bytes
    spread: Bytes
    trust: Bytes


class Ranks(NamedTuple):
    """What rows of counts of levels say. Shape (rows,) each, float64.

    Attributes:
        total: The sum of a row.
        lower: Its lower quartile, between levels.
        median: Its median, between levels.
        upper: Its upper quartile, between levels.
        median_level: The level that its median lies in.
    """

    total: Figures
    lower: Figures
    median: Figures
    upper: Figures
    median_level: Figures


class TrustedSums(NamedTuple):
    """How many pixels are trusted, and sums of their lumas: x as seen, y as expected."""

    number: int
    x: int
    y: int
    xx: int
    yy: int
    xy: int


def reduce_area(pixels: Pixels, size: Size) -> Bytes:
    """Reduce a picture by the mean of areas, first to its half where it has twice as many pixels.

    The half is that of pixels two by two, and is left out where a side is odd.

    Args:
        pixels: Shape (H, W, 3), uint8 or uint16; a window of a picture need not be copied.
        size: Width and height of the result, none larger than the picture's.

    Returns:
        Shape (h, w, 3).
    """
    height, width = pixels.shape[:2]
    if not (0 < size[0] <= width and 0 < size[1] <= height):
        raise ValueError(f"expected a size within {width}x{height}, got {size[0]}x{size[1]}")
    given, row_pixels = as_rows(pixels)
    is_halved = (height | width) % 2 == 0 and 2 * size[0] <= width and 2 * size[1] <= height
    reduced = np.empty((size[1], size[0], CHANNELS), np.uint8)
    scratch = np.empty(LIBRARY.count_area_scratch(width, size[1], size[0], height), np.float32)
    of_type(LIBRARY, "area", given)(
        given.ctypes.data, row_pixels, height, width, is_halved, size[1], size[0],
        255 / np.iinfo(given.dtype).max, reduced.ctypes.data, scratch.ctypes.data,
    )  # fmt: skip
    return reduced


def look_up_source(
    source: Bytes, tables: Bytes, spreads: Bytes, trusts: Bytes, *, is_brighter: bool
) -> Looked:
    """Look the pixels of a source up in tables.

    Args:
        source: Shape (h, w, 3).
        tables: What is expected of every level, at least and at most. Shape (3, 3, 256): kind,
            channel, level.
        spreads: By luma. Shape (256,).
        trusts: By the lowest channel where `is_brighter`, else by the highest. Shape (256,).
        is_brighter: See there.
    """
    source = np.ascontiguousarray(source)
    packed = np.zeros((CHANNELS, LEVELS, 4), np.uint8)
    packed[..., :3] = tables.transpose(1, 2, 0)
    given = [
        source,
        packed.view("<u4"),
        np.ascontiguousarray(spreads),
        np.ascontiguousarray(trusts),
    ]
    height, width = source.shape[:2]
    planes = np.empty((3, CHANNELS, height, width), np.uint8)
    single = np.empty((2, height, width), np.uint8)
    found = Looked(*planes, *single)
    LIBRARY.expect_levels(
        given[0].ctypes.data,
        height * width,
        *(one.ctypes.data for one in given[1:]),
        is_brighter,
        *(one.ctypes.data for one in found),
    )
    return found


def score_planes(
    exposure: Bytes, expected: Looked, tolerance: Tolerance, *, is_brighter: bool
) -> NDArray[np.float32]:
    """Score how far an exposure contradicts, see `consistency.score_contradiction`.

    Args:
        exposure: Shape (3, h, w).
        expected: What is expected of it.
        tolerance: The numbers of the score.
        is_brighter: The exposure is brighter than what it is expected from.

    Returns:
        Shape (h, w).
    """
    given = _compare(exposure, expected, is_brighter=is_brighter)
    height, width = exposure.shape[1:]
    score = np.empty((height, width), np.float32)
    scratch_bytes = LIBRARY.count_contradiction_scratch(height, width)
    scratch = np.empty(-(-scratch_bytes // 4), np.float32)
    LIBRARY.score_contradiction(
        ctypes.byref(given.comparison),
        ctypes.byref(tolerance),
        score.ctypes.data,
        scratch.ctypes.data,
    )
    return score


def sum_trusted(exposure: Bytes, expected: Looked) -> TrustedSums:
    """Add up every second pixel of every second row that is trusted more than not.

    Args:
        exposure: Shape (3, h, w).
        expected: What is expected of it.
    """
    given = _compare(exposure, expected, is_brighter=False)
    sums = (ctypes.c_int64 * len(TrustedSums._fields))()
    LIBRARY.sum_trusted(ctypes.byref(given.comparison), sums)
    return TrustedSums(*sums)


def count_levels(source: Bytes, target: Bytes, keep: Bytes | None) -> Counts:
    """Count the pixels of each level of a source and of a target, the joint histogram.

    Args:
        source: Shape (h, w, 3).
        target: Of the same shape.
        keep: 0 for pixels that do not count; all count when None. Shape (h, w).

    Returns:
        Of R, G and B. Shape (3, 256, 256): channel, source, target.
    """
    if source.shape != target.shape or (keep is not None and keep.shape != source.shape[:2]):
        raise ValueError(f"expected pictures of one size, got {source.shape} and {target.shape}")
    counts = np.zeros((CHANNELS, LEVELS, LEVELS), np.uint32)
    given = [None if one is None else np.ascontiguousarray(one) for one in (source, target, keep)]
    LIBRARY.count_levels(
        *(None if one is None else one.ctypes.data for one in given),
        source.shape[0] * source.shape[1],
        counts.ctypes.data,
    )
    return counts


def read_ranks(counts: Counts) -> Ranks:
    """Read quartiles off rows of counts; those of an empty row say nothing.

    Args:
        counts: Shape (rows, 256).
    """
    counts = np.ascontiguousarray(counts)
    figures = np.empty((len(counts), len(Ranks._fields)), np.float64)
    LIBRARY.read_ranks(counts.ctypes.data, len(counts), figures.ctypes.data)
    return Ranks(*figures.T)


def count_brightest(proxy: Bytes, lowest: int, highest: int) -> int:
    """Count the pixels (h, w, 3) whose brightest channel lies within two levels, or on them."""
    pixels = np.ascontiguousarray(proxy)
    return int(
        LIBRARY.count_brightest(pixels.ctypes.data, pixels.size // CHANNELS, lowest, highest)
    )


def count_shown(proxy: Bytes, lowest: int, highest: int) -> int:
    """Count the pixels (h, w, 3) any of whose channels lies within two levels, or on them."""
    pixels = np.ascontiguousarray(proxy)
    return int(LIBRARY.count_shown(pixels.ctypes.data, pixels.size // CHANNELS, lowest, highest))


class _Compared(NamedTuple):
    """A comparison, and the arrays that it points into."""

    comparison: Comparison
    arrays: list[Bytes]


def _compare(exposure: Bytes, expected: Looked, *, is_brighter: bool) -> _Compared:
    if any(one.shape[-2:] != exposure.shape[1:] for one in expected):
        raise ValueError(f"expected planes of {exposure.shape}, got {expected.levels.shape}")
    arrays = [np.ascontiguousarray(one) for one in (exposure, *expected)]
    height, width = exposure.shape[1:]
    return _Compared(
        Comparison(height, width, is_brighter, *(one.ctypes.data for one in arrays)), arrays
    )
