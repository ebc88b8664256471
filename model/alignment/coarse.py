"""Finds the motion between two exposures coarsely: first of the whole frame, then of its tiles."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from model.alignment.correlation import MIN_TEXTURE, measure_deviations
from model.alignment.features import fit_matches
from model.alignment.patches import (
    Motion,
    frame_corners,
    invert,
    map_points,
)
from model.alignment.phase import MIN_PEAK, correlate_tiles, cross_spectrum
from model.alignment.view import FIRST_LOOK, ExposureView, Look
from model.geometry import stretch
from model.side_by_side import map_parts

SKETCH_SIDE_PX = 160
"""Longer side of the sketch of the whole frame."""

SKETCH_SIGMA_PX = 6.0
SKETCH_FLOOR = 0.02
SKETCH_LIMIT = 3.0
"""A sketch is divided by its local deviation, which is at least the floor, and clipped."""

FADE_SHARE = 0.1
"""Share of the sides over which a sketch fades out at its border."""

ANGLES_DEG = tuple(range(-14, 15, 2))
MAX_SHIFT_SHARE = 0.25
"""Turns and shifts of the whole frame that are tried; the gates take hardly more."""

MIDDLE_PX = 250_000
"""Tiles are sought on at most this many pixels."""

AGREEMENT_PX = 0.5
"""How far a tile may lie off the motion that is fitted to them. A wider limit lets one homography
bend through two motions, and so does MAGSAC++ at any limit."""

TILE_PX = 64
TILE_COLUMNS, TILE_ROWS = 8, 6
OUTSIDE_PX = 8.0
"""How far a tile may reach over the border of the moving exposure."""

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TileMatches:
    """Tiles of a moving exposure that are found again in the reference exposure.

    Attributes:
        level: Of the look on whose proxies they lie.
        moving_points: Their middles in the moving exposure. Shape (M, 2).
        fixed_points: Where they are found. Shape (M, 2).
    """

    level: int
    moving_points: Matrix
    fixed_points: Matrix

    def fit(self, look: Look, motion: Motion) -> Matrix | None:
        """The motion that most of them agree on, between the proxies of a look; see `fit_matches`.

        It is right within a few pixels.
        """
        cv2.setRNGSeed(0)
        found = fit_matches(
            self.moving_points,
            self.fixed_points,
            estimator=cv2.USAC_ACCURATE,
            motion=motion,
            limit_px=AGREEMENT_PX,
        )
        if found is None:
            return None
        factor = 2.0 ** (self.level - look.level)
        grow = np.array([[factor, 0, factor / 2 - 0.5], [0, factor, factor / 2 - 0.5], [0, 0, 1]])
        return np.asarray(grow @ found @ np.linalg.inv(grow))


def match_tiles(moving: ExposureView, fixed: ExposureView) -> TileMatches:
    """Find the motion between two exposures of one size coarsely, wherever the frame shows it.

    Sketches of the whole frame, blind to local gain and offset, are turned by a few angles and
    correlated: the highest peak says turn and shift. The tiles of a larger picture, moved so, say
    what remains.

    Args:
        moving: The exposure to move.
        fixed: The reference exposure.

    Returns:
        The tiles that were found again, none where the frame is smaller than a tile.
    """
    _, look = map_parts(lambda view: view.shrink_look(FIRST_LOOK, MIDDLE_PX), (moving, fixed))
    small, reference = moving.proxy(look), fixed.proxy(look)
    if min(reference.shape) < TILE_PX:
        return TileMatches(look.level, np.empty((0, 2)), np.empty((0, 2)))
    turn = _correlate_frames(small, reference)
    centres, shifts = _find_tiles(small, reference, turn)
    return TileMatches(look.level, map_points(invert(turn), centres), centres + shifts)


def _correlate_frames(moving: Grey, fixed: Grey) -> Matrix:
    """Turn about the middle and shift of the whole frame, as a homography (3, 3)."""
    height, width = fixed.shape
    scale = min(1.0, SKETCH_SIDE_PX / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    sketch, reference = map_parts(lambda picture: _sketch(picture, size), (moving, fixed))
    reach_x, reach_y = (max(1, int(MAX_SHIFT_SHARE * side)) for side in size)
    padded = [
        2 * cv2.getOptimalDFTSize((side + reach + 1) // 2)
        for side, reach in zip(size, (reach_x, reach_y), strict=True)
    ]
    fade = _fade(size)
    spectrum = _transform(reference * fade, padded, (reach_x, reach_y))

    def correlate(angle: int) -> tuple[float, Matrix]:
        turn = cv2.getRotationMatrix2D(((size[0] - 1) / 2.0, (size[1] - 1) / 2.0), angle, 1.0)
        turned = cv2.warpAffine(sketch, turn, size) * fade
        surface = cv2.idft(
            cross_spectrum(spectrum, _transform(turned, padded)),
            flags=cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE,
        )
        _, height_of_peak, _, (column, row) = cv2.minMaxLoc(
            surface[: 2 * reach_y + 1, : 2 * reach_x + 1]
        )
        turn[:, 2] += column - reach_x, row - reach_y
        motion = np.vstack([turn, [0.0, 0.0, 1.0]])
        return height_of_peak / max(cv2.norm(surface), 1e-12), motion

    # Of equal peaks the first.
    _, found = max(map_parts(correlate, ANGLES_DEG), key=lambda one: one[0])
    grow = stretch(size, (width, height))
    return np.asarray(grow @ found @ np.linalg.inv(grow))


def _sketch(picture: Grey, size: tuple[int, int]) -> Grey:
    """A picture reduced to a size, without its local mean and divided by its local deviation."""
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    detail = small - cv2.GaussianBlur(small, (0, 0), SKETCH_SIGMA_PX)
    variance = cv2.GaussianBlur(detail * detail, (0, 0), SKETCH_SIGMA_PX)
    sketch = detail / np.sqrt(variance + np.float32(SKETCH_FLOOR**2))
    return np.asarray(sketch.clip(-SKETCH_LIMIT, SKETCH_LIMIT))


def _fade(size: tuple[int, int]) -> Grey:
    """Weights that fall to 0 at the border of a sketch of this size."""
    ramps = []
    for side in size[::-1]:
        distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
        ramps.append(np.minimum(distance / (FADE_SHARE * side), 1.0))
    return np.outer(*ramps).astype(np.float32)


def _transform(sketch: Grey, size: list[int], start: tuple[int, int] = (0, 0)) -> Grey:
    """Packed spectrum of a sketch in a larger frame of zeros, from a place (x, y) on."""
    padded = np.zeros((size[1], size[0]), np.float32)
    x, y = start
    padded[y : y + sketch.shape[0], x : x + sketch.shape[1]] = sketch
    return np.asarray(cv2.dft(padded), np.float32)


def _find_tiles(moving: Grey, fixed: Grey, start: Matrix) -> tuple[Matrix, Matrix]:
    """Middles (M, 2) of tiles of the moving exposure, moved by a homography, and what remains."""
    height, width = fixed.shape
    warped = cv2.warpPerspective(moving, start, (width, height), borderMode=cv2.BORDER_REPLICATE)
    columns, rows = (
        np.linspace(0, side - TILE_PX, max(2, min(most, 2 * side // TILE_PX - 1))).astype(int)
        for side, most in ((width, TILE_COLUMNS), (height, TILE_ROWS))
    )
    corners = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    square = (corners[:, None] + frame_corners(TILE_PX, TILE_PX)).reshape(-1, 2)
    sources = map_points(invert(start), square).reshape(-1, 4, 2)
    is_inside = (sources >= -OUTSIDE_PX) & (sources <= (width + OUTSIDE_PX, height + OUTSIDE_PX))
    corners = corners[is_inside.all(axis=(1, 2))]
    tiles, references = (
        sliding_window_view(picture, (TILE_PX, TILE_PX))[corners[:, 1], corners[:, 0]]
        for picture in (np.asarray(warped, np.float32), fixed)
    )
    contrast = np.minimum(measure_deviations(tiles), measure_deviations(references))
    is_seen = contrast > MIN_TEXTURE
    shifts, peaks = correlate_tiles(tiles[is_seen], references[is_seen])
    is_found = peaks > MIN_PEAK
    return corners[is_seen][is_found] + (TILE_PX - 1) / 2.0, shifts[is_found]
