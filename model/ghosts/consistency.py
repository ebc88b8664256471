"""Scores how much an exposure contradicts what is expected of it."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.ghosts.curves import Curves, Levels, find_bounds
from model.ghosts.planes import Plane, Planes, halve, look_up, mix

SCALES = 3
"""The test is made on the proxy and on two halvings of it: texture hides a change of level."""

LEAST_SIDE_PX = 8

MISALIGNED_PX = 1.0
"""Distance on the proxy over which an edge may be displaced."""

SPREADS_TOLERATED = 3.5
FLOOR = 6.0
"""Levels by which an exposure may always differ."""

HUE_WEIGHT = 0.7
LUMA_OF_COLOUR, HUE_OF_COLOUR = 0.15, 0.5
"""Shares of a colour's distance from grey by which curves may miss it."""

SPREAD_STEPS = 16
"""Steps of a level in which a spread is held."""

STRIP_ROWS, STRIP_MARGIN = 48, 2
"""Rows that are scored at once, and how far beyond them levels and differences are read."""

LUMA = (0.299, 0.587, 0.114)

Score = NDArray[np.float32]
SQUARE = np.ones((3, 3), np.uint8)
TOLERANCES = np.hypot(np.arange(256) * (SPREADS_TOLERATED / SPREAD_STEPS), FLOOR).astype(np.float32)
"""Levels tolerated at every spread."""


class Expectation(NamedTuple):
    """What an exposure is expected to show. Shape (h, w) each plane, uint8.

    Attributes:
        levels: Expected levels.
        least: Levels that the exposure must not fall below.
        most: Levels that it must not rise above; as far as there is trust, if it is darker.
        spread: Standard deviation of what is found, in sixteenths of a level.
        trust: How far the levels are more than a bound: 0 not at all .. 255.
        is_brighter: The exposure is brighter than what it is expected from.
    """

    levels: Planes
    least: Planes
    most: Planes
    spread: Plane
    trust: Plane
    is_brighter: bool

    def halved(self) -> "Expectation":
        """Of the mean of two by two pixels."""
        return Expectation(
            self.levels.halved(),
            self.least.halved(),
            self.most.halved(),
            halve(self.spread),
            halve(self.trust),
            self.is_brighter,
        )

    def rows(self, rows: slice) -> "Expectation":
        """Of some of the rows."""
        return Expectation(
            self.levels.rows(rows),
            self.least.rows(rows),
            self.most.rows(rows),
            self.spread[rows],
            self.trust[rows],
            self.is_brighter,
        )


def expect(source: Planes, curves: Curves, trust: Levels, *, is_brighter: bool) -> Expectation:
    """Expect of an exposure what another one shows, by the curves between them.

    A pixel is trusted as far as its least trusted channel.
    """
    levels = source.mapped(curves.levels)
    bounds = levels.bounded(find_bounds(curves.levels, is_brighter=is_brighter), is_brighter)
    return Expectation(
        levels,
        levels if is_brighter else bounds,
        bounds if is_brighter else source.mapped(curves.ceiling),
        look_up(SPREAD_STEPS * curves.spread, source.grey()),
        look_up(255.0 * trust, source.worst(is_brighter=is_brighter)),
        is_brighter,
    )


def join_expectations(own: Expectation, other: Expectation) -> Expectation:
    """Where the first is not trusted, take the second, softly."""
    doubt = 1 - own.trust.astype(np.float32) / np.float32(255)
    return Expectation(
        own.levels.mixed(other.levels, doubt),
        own.least.mixed(other.least, doubt),
        own.most.mixed(other.most, doubt),
        mix(own.spread, other.spread, doubt),
        np.asarray(cv2.add(own.trust, cv2.multiply(255 - own.trust, other.trust, scale=1 / 255))),
        own.is_brighter,
    )


def score_contradiction(exposure: Planes, expected: Expectation) -> Score:
    r"""Score the residual in units of what is tolerated, the largest over luma, hue and scales.

    At each scale, with P the expectation, E the exposure, and t what is tolerated,

    .. math::
        d = \frac{1}{t} \min(|E - [P_{min}, P_{max}]|, |P - [E_{min}, E_{max}]|), \qquad
        t^2 = (3.5 s)^2 + 6^2

    where the ranges are those within `MISALIGNED_PX`, so that an edge displaced by less is no
    contradiction, and s is the spread that noise and all else gives the level. Saturated colours,
    which curves per channel miss, are tolerated more. d is averaged over 3 x 3 pixels.

    Args:
        exposure: The exposure. Shape (h, w) each plane.
        expected: What is expected of it.

    Returns:
        About 1 where a difference is as large as tolerated. Shape (h, w), float32.
    """
    height, width = exposure.red.shape
    score = _score(exposure, expected, reach_px=MISALIGNED_PX)
    for scale in range(1, SCALES):
        if min(exposure.red.shape) < 2 * LEAST_SIDE_PX:
            break
        exposure, expected = exposure.halved(), expected.halved()
        coarse = _score(exposure, expected, reach_px=MISALIGNED_PX / 2**scale)
        fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.max(score, fine, dst=score)
    return score


def _score(exposure: Planes, expected: Expectation, *, reach_px: float) -> Score:
    """The score at one scale, strip by strip: what a strip needs stays in the cache."""
    height, width = exposure.red.shape
    score = np.empty((height, width), np.float32)
    for top in range(0, height, STRIP_ROWS):
        first, last = max(0, top - STRIP_MARGIN), min(height, top + STRIP_ROWS + STRIP_MARGIN)
        rows = slice(first, last)
        strip = _score_strip(exposure.rows(rows), expected.rows(rows), reach_px=reach_px)
        kept = score[top : top + STRIP_ROWS]
        kept[:] = strip[top - first : top - first + len(kept)]
    return score


def _score_strip(exposure: Planes, expected: Expectation, *, reach_px: float) -> Score:
    differences = [
        _leave_range(
            plane, least, most, expected.trust, reach_px=reach_px, is_brighter=expected.is_brighter
        )
        for plane, least, most in zip(exposure, expected.least, expected.most, strict=True)
    ]
    luma = differences[0] * np.float32(LUMA[0])
    for difference, share in zip(differences[1:], LUMA[1:], strict=True):
        cv2.scaleAdd(difference, share, luma, dst=luma)
    tolerance = cv2.LUT(expected.spread, TOLERANCES)
    colour = _measure_colour(expected.levels)
    score = _blur_size(luma / cv2.scaleAdd(colour, LUMA_OF_COLOUR, tolerance))
    weight = expected.trust * np.float32(HUE_WEIGHT / 255)
    weight /= cv2.scaleAdd(colour, HUE_OF_COLOUR, tolerance)
    for difference in differences:
        difference -= luma
        difference *= weight
        cv2.max(score, _blur_size(difference), dst=score)
    return score


def _leave_range(
    exposure: Plane, least: Plane, most: Plane, trust: Plane, *, reach_px: float, is_brighter: bool
) -> Score:
    """Levels by which a channel lies above, or below, what is expected around a pixel."""
    high, low = _highest_nearby(most, reach_px), _lowest_nearby(least, reach_px)
    own_low, own_high = _lowest_nearby(exposure, reach_px), _highest_nearby(exposure, reach_px)
    above = cv2.min(cv2.subtract(exposure, high), cv2.subtract(own_low, most))
    below = cv2.min(cv2.subtract(low, exposure), cv2.subtract(least, own_high))
    # Without trust one side is free: what is clipped may be as bright as it likes.
    free = below if is_brighter else above
    cv2.multiply(free, trust, dst=free, scale=1 / 255)
    return np.asarray(cv2.subtract(above, below, dtype=cv2.CV_32F), np.float32)


def _lowest_nearby(plane: Plane, reach_px: float) -> Plane:
    """Least value within a distance of at most one pixel, linear in the distance."""
    return _approach(plane, np.asarray(cv2.erode(plane, SQUARE), np.uint8), reach_px)


def _highest_nearby(plane: Plane, reach_px: float) -> Plane:
    return _approach(plane, np.asarray(cv2.dilate(plane, SQUARE), np.uint8), reach_px)


def _approach(plane: Plane, extreme: Plane, reach_px: float) -> Plane:
    if reach_px == 1.0:
        return extreme
    return np.asarray(cv2.addWeighted(plane, 1 - reach_px, extreme, reach_px, 0), np.uint8)


def _measure_colour(levels: Planes) -> Score:
    """Distance of the farthest channel from grey."""
    grey = levels.grey()
    red, green, blue = (cv2.absdiff(plane, grey) for plane in levels)
    return cv2.max(cv2.max(red, green), blue).astype(np.float32)


def _blur_size(plane: Score) -> Score:
    """Size of the mean of 3 x 3 pixels."""
    blurred = np.asarray(cv2.blur(plane, (3, 3)), np.float32)
    return np.abs(blurred, out=blurred)
