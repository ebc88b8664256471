"""Scores how much an exposure contradicts what is expected of it."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.ghosts.curves import Curves, Levels, Proxy, bound_levels

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

Plane = NDArray[np.float32]
SQUARE = np.ones((3, 3), np.uint8)


class Expectation(NamedTuple):
    """What an exposure is expected to show; all uint8.

    Attributes:
        levels: Expected levels. Shape (h, w, 3).
        least: Levels that the exposure must not fall below. Same shape.
        most: Levels that it must not rise above; as far as there is trust, if it is darker.
        spread: Standard deviation of what is found, in sixteenths of a level. Shape (h, w).
        trust: How far the levels are more than a bound: 0 not at all .. 255. Shape (h, w).
        is_brighter: The exposure is brighter than what it is expected from.
    """

    levels: Proxy
    least: Proxy
    most: Proxy
    spread: Proxy
    trust: Proxy
    is_brighter: bool


def expect(source: Proxy, curves: Curves, trust: Levels, *, is_brighter: bool) -> Expectation:
    """Expect of an exposure what another one shows, by the curves between them.

    A pixel is trusted as far as its least trusted channel.
    """
    red, green, blue = cv2.split(source)
    extreme = cv2.min if is_brighter else cv2.max
    worst = extreme(extreme(red, green), blue)
    bound = bound_levels(curves.levels, is_brighter=is_brighter)
    return Expectation(
        look_up(curves.levels, source),
        look_up(curves.levels if is_brighter else bound, source),
        look_up(bound if is_brighter else curves.ceiling, source),
        look_up(16.0 * curves.spread, np.asarray(cv2.cvtColor(source, cv2.COLOR_RGB2GRAY))),
        look_up(255.0 * trust, np.asarray(worst)),
        is_brighter,
    )


def join_expectations(own: Expectation, other: Expectation) -> Expectation:
    """Where the first is not trusted, take the second, softly."""
    part = own.trust.astype(np.float32) / np.float32(255)
    rest = 1 - part
    reach = 255 - own.trust
    return Expectation(
        np.asarray(cv2.blendLinear(own.levels, other.levels, part, rest)),
        np.asarray(cv2.blendLinear(own.least, other.least, part, rest)),
        np.asarray(cv2.blendLinear(own.most, other.most, part, rest)),
        np.asarray(cv2.blendLinear(own.spread, other.spread, part, rest)),
        np.asarray(cv2.add(own.trust, cv2.multiply(reach, other.trust, scale=1 / 255))),
        own.is_brighter,
    )


def look_up(curves: Levels, plane: Proxy) -> Proxy:
    """Apply a curve for all channels, (256,), or one for each, (3, 256), to levels."""
    table = np.rint(np.atleast_2d(curves)).astype(np.uint8).T.reshape(1, 256, -1)
    return np.asarray(cv2.LUT(plane, np.ascontiguousarray(table)))


def score_contradiction(exposure: Proxy, expected: Expectation) -> Plane:
    r"""Score the residual in units of what is tolerated, the largest over luma, hue and scales.

    At each scale, with P the expectation, E the exposure, and t what is tolerated,

    .. math::
        d = \frac{1}{t} \min(|E - [P_{min}, P_{max}]|, |P - [E_{min}, E_{max}]|), \qquad
        t^2 = (3.5 s)^2 + 6^2

    where the ranges are those within `MISALIGNED_PX`, so that an edge displaced by less is no
    contradiction, and s is the spread that noise and all else gives the level. Saturated colours,
    which curves per channel miss, are tolerated more. d is averaged over 3 x 3 pixels.

    Args:
        exposure: The exposure. Shape (h, w, 3), uint8.
        expected: What is expected of it.

    Returns:
        About 1 where a difference is as large as tolerated. Shape (h, w), float32.
    """
    height, width = exposure.shape[:2]
    planes: tuple[Proxy, ...] = (exposure, *expected[:-1])
    score = np.zeros((height, width), np.float32)
    for scale in range(SCALES):
        if scale > 0:
            if min(planes[0].shape[:2]) < 2 * LEAST_SIDE_PX:
                break
            planes = tuple(halve(plane) for plane in planes)
        own, levels, least, most, spread, trust = planes
        there = Expectation(levels, least, most, spread, trust, expected.is_brighter)
        one = _score(own, there, reach_px=MISALIGNED_PX / 2**scale)
        if scale > 0:
            one = np.asarray(cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR))
        cv2.max(score, one, dst=score)
    return score


def halve(plane: Proxy) -> Proxy:
    """Mean of two by two pixels; an odd last row or column is left out."""
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    # At exactly one half OpenCV has a path that is ten times as fast.
    even = plane[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _score(exposure: Proxy, expected: Expectation, *, reach_px: float) -> Plane:
    above, below = _leave_range(exposure, expected, reach_px)
    trust = cv2.merge([expected.trust] * 3)
    if expected.is_brighter:
        below = np.asarray(cv2.multiply(below, trust, scale=1 / 255), np.uint8)
    else:
        above = np.asarray(cv2.multiply(above, trust, scale=1 / 255), np.uint8)
    difference = cv2.subtract(above, below, dtype=cv2.CV_32F)
    luma = cv2.cvtColor(difference, cv2.COLOR_RGB2GRAY)
    grey = cv2.cvtColor(expected.levels, cv2.COLOR_RGB2GRAY)
    colours = [cv2.absdiff(plane, grey) for plane in cv2.split(expected.levels)]
    colour = cv2.max(cv2.max(colours[0], colours[1]), colours[2]).astype(np.float32)
    spread = expected.spread.astype(np.float32) * np.float32(SPREADS_TOLERATED / 16)
    tolerance = cv2.sqrt(spread * spread + np.float32(FLOOR**2))
    score = np.abs(cv2.blur(luma / (tolerance + np.float32(LUMA_OF_COLOUR) * colour), (3, 3)))
    weight = expected.trust.astype(np.float32) * np.float32(HUE_WEIGHT / 255)
    weight /= tolerance + np.float32(HUE_OF_COLOUR) * colour
    for plane in cv2.split(difference):
        hue = np.abs(cv2.blur((plane - luma) * weight, (3, 3)))
        np.maximum(score, hue, out=score)
    return np.asarray(score, np.float32)


def _leave_range(
    exposure: Proxy, expected: Expectation, reach_px: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Levels by which the exposure lies above and below what is expected around a pixel."""
    least, most = expected.least, expected.most
    low, _ = _range_nearby(least, reach_px)
    _, high = _range_nearby(most, reach_px)
    own_low, own_high = _range_nearby(exposure, reach_px)
    above = cv2.min(cv2.subtract(exposure, high), cv2.subtract(own_low, most))
    below = cv2.min(cv2.subtract(low, exposure), cv2.subtract(least, own_high))
    return np.asarray(above, np.uint8), np.asarray(below, np.uint8)


def _range_nearby(planes: Proxy, reach_px: float) -> tuple[Proxy, Proxy]:
    """Least and largest value within a distance of at most one pixel, linear in the distance."""
    low, high = cv2.erode(planes, SQUARE), cv2.dilate(planes, SQUARE)
    if reach_px < 1.0:
        low = cv2.addWeighted(planes, 1 - reach_px, low, reach_px, 0)
        high = cv2.addWeighted(planes, 1 - reach_px, high, reach_px, 0)
    return np.asarray(low, np.uint8), np.asarray(high, np.uint8)
