"""Measures by phase correlation of tiles whether two exposures lie on each other already."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.correlation import measure_deviations
from model.alignment.patches import frame_corners, map_points
from model.alignment.phase import MIN_PEAK, correlate_tiles
from model.alignment.view import ExposureView
from model.side_by_side import map_parts

TILE_PX = 64
"""Side of a tile after reduction: motion of up to about a third of this is seen."""

TILE_COLUMNS, TILE_ROWS = 8, 6
"""At most one tile lies in each cell of this grid, so that the tiles spread over the frame; small
pictures have fewer cells, none smaller than half a tile."""

WORKING_PX = 3_000_000
"""Tiles are reduced by the least whole factor that brings the picture to this many pixels."""

MIN_CONTRAST = 0.008
"""Least standard deviation of a tile, intensities in 0..1: below it lies quantisation noise."""

REST_PX = 0.5
"""Motion at full size below which a tile is at rest; what `NEGLIGIBLE_SHIFT_PX` is to a pair."""

REST_WORKING_PX = 0.35
"""The same on the reduced tile where that is more: a peak is not found more exactly."""

MIN_TILES = 8
"""Tiles at rest without which nothing is said about a pair."""

REST_SHARE = 0.75
"""Share of the tiles found again that must be at rest for the search to be skipped."""

KEPT_SHARE = 0.15
"""Share of the tiles that a homography must not tear off their place: a camera that turned leaves
this many at rest only where its homography leaves them there too."""

TORN_PX = 0.75
"""Distance between where a homography moves a tile at rest and where it lies, at least; one and a
half limits of rest where that is more. Only tiles within half the limit can be torn: fixed patterns
of a camera or of JPEG pull the peaks of tiles that did move a little towards rest."""

EPSILON = 1e-9

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TileMotion:
    """Where tiles of the moving exposure are found again in the reference exposure.

    Attributes:
        centres: Middles of the tiles in full-size pixels. Shape (M, 2).
        shifts_px: Motion from the moving to the reference exposure, full-size. Shape (M, 2).
        limit_px: Motion below which a tile is at rest.
    """

    centres: Matrix
    shifts_px: Matrix
    limit_px: float

    @property
    def is_rest(self) -> NDArray[np.bool_]:
        """Which tiles are at rest. Shape (M,)."""
        return np.asarray(np.hypot(*self.shifts_px.T) < self.limit_px)

    @property
    def rest_count(self) -> int:
        """Number of tiles at rest."""
        return int(self.is_rest.sum())

    @property
    def rest_share(self) -> float:
        """Share of the tiles that are at rest; 0 where there is no tile."""
        return self.rest_count / max(len(self.centres), 1)

    def is_at_rest(self, share: float = REST_SHARE) -> bool:
        """Whether enough tiles, and this share of all, are at rest."""
        return self.rest_count >= MIN_TILES and self.rest_share >= share

    def is_torn_by(self, homography: Matrix) -> bool:
        """Whether a homography (3, 3) moves too many tiles that lie at rest off their place."""
        is_sharp = np.hypot(*self.shifts_px.T) < self.limit_px / 2.0
        points = self.centres[is_sharp]
        moved = map_points(homography, points) - points
        tear_px = np.linalg.norm(moved - self.shifts_px[is_sharp], axis=1)
        torn = int((tear_px > max(TORN_PX, 1.5 * self.limit_px)).sum())
        return torn >= MIN_TILES // 2 and torn >= KEPT_SHARE * len(self.centres)

    def corner_shift_px(self, width: int, height: int) -> float:
        """Largest motion of a corner under the similarity that fits the tiles at rest best."""
        middle = np.array([width - 1.0, height - 1.0]) / 2.0
        points = self.centres[self.is_rest] - middle
        turned = np.stack([-points[:, 1], points[:, 0]], axis=1)
        shifts = self.shifts_px[self.is_rest]
        mean = shifts.mean(axis=0)
        square = max(float((points**2).sum()), EPSILON)
        grow = float((points * (shifts - mean)).sum()) / square
        turn = float((turned * (shifts - mean)).sum()) / square
        corners = frame_corners(width, height) - middle
        motion = mean + grow * corners + turn * np.stack([-corners[:, 1], corners[:, 0]], axis=1)
        return float(np.linalg.norm(motion, axis=1).max())


def measure_tiles(moving: ExposureView, fixed: ExposureView) -> TileMotion:
    """Find the motion of at most 48 tiles between two exposures of one size.

    In each cell of a grid the place where both exposures have most structure is taken, at full
    size or reduced by a whole factor, and sought by phase correlation (`correlate_tiles`). Tiles
    without contrast, and those whose peak hardly stands out, are dropped; black and constant
    exposures have none.

    Args:
        moving: One exposure.
        fixed: The reference exposure, of the same size.

    Returns:
        The tiles that were found again.
    """
    width, height = fixed.width, fixed.height
    factor = max(1, math.ceil((width * height / WORKING_PX) ** 0.5))
    corners = _choose_corners(moving, fixed, TILE_PX * factor)
    tiles, references = map_parts(lambda view: _cut_tiles(view, corners, factor), (moving, fixed))
    contrast = np.minimum(measure_deviations(tiles), measure_deviations(references))
    is_seen = contrast > MIN_CONTRAST
    shifts, peaks = correlate_tiles(tiles[is_seen], references[is_seen])
    is_found = peaks > MIN_PEAK
    centres = corners[is_seen][is_found] + (TILE_PX * factor - 1) / 2.0
    return TileMotion(centres, shifts[is_found] * factor, max(REST_PX, REST_WORKING_PX * factor))


def _choose_corners(moving: ExposureView, fixed: ExposureView, side: int) -> NDArray[np.int64]:
    """First pixels (x, y) of the tiles. Shape (M, 2)."""
    step = fixed.look_step
    block, margin = max(3, side // step), math.ceil(side / 2 / step)
    strengths = map_parts(lambda view: view.measure_structure(block), (moving, fixed))
    strength = np.minimum(*(one / max(float(one.mean()), 1e-12) for one in strengths))
    inner = strength[margin:-margin, margin:-margin]
    rows, columns = (
        min(most, max(1, length // (side // 2) - 1))
        for most, length in ((TILE_ROWS, fixed.height), (TILE_COLUMNS, fixed.width))
    )
    corners = []
    for top, bottom in pairwise(np.linspace(0, inner.shape[0], rows + 1).astype(int)):
        for left, right in pairwise(np.linspace(0, inner.shape[1], columns + 1).astype(int)):
            cell = inner[top:bottom, left:right]
            if cell.size == 0 or cell.max() <= 0.0:
                continue
            down, across = divmod(int(cell.argmax()), cell.shape[1])
            x, y = ((start + margin) * step for start in (left + across, top + down))
            corners.append((x - side // 2, y - side // 2))
    found = np.array(corners, np.int64).reshape(-1, 2)
    return found.clip(0, np.maximum((fixed.width - side, fixed.height - side), 0))


def _cut_tiles(view: ExposureView, corners: NDArray[np.int64], factor: int) -> Grey:
    """AGC-corrected grey tiles, reduced by a whole factor. Shape (M, TILE_PX, TILE_PX)."""
    side = TILE_PX * factor
    shape = (len(corners), TILE_PX, TILE_PX)
    tiles = np.empty((*shape, 3), view.image.dtype)
    for tile, (x, y) in zip(tiles, corners.tolist(), strict=True):
        cut: NDArray[Any] = view.image[y : y + side, x : x + side]
        if factor > 1:
            cv2.resize(cut, (TILE_PX, TILE_PX), tile, interpolation=cv2.INTER_AREA)
        else:
            tile[:] = cut
    if len(corners) == 0:
        return np.empty(shape, np.float32)
    return view.to_tone(cv2.cvtColor(tiles.reshape(-1, TILE_PX, 3), cv2.COLOR_RGB2GRAY)).reshape(
        shape
    )
