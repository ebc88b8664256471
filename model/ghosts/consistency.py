"""Scores how much an exposure contradicts what is expected of it."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.ghosts.curves import Curves, Levels, Proxy, find_bounds
from model.ghosts.kernels import Looked, look_up_source, score_planes
from model.ghosts.planes import Planes, mix, mix_planes, to_bytes
from model.kernels.native import Tolerance

SCALES = 3
"""The test is made on the proxy and on two halvings of it: texture hides a change of level. An edge
may be displaced by a pixel of the proxy."""

LEAST_SIDE_PX = 8
SPREADS_TOLERATED = 3.5
FLOOR = 6.0
"""Levels by which an exposure may always differ."""

HUE_WEIGHT = 0.7
LUMA_OF_COLOUR, HUE_OF_COLOUR = 0.15, 0.5
"""Shares of a colour's distance from grey by which curves may miss it."""

SPREAD_STEPS = 16
"""Steps of a level in which a spread is held."""

LUMA = (0.299, 0.587, 0.114)

Score = NDArray[np.float32]


class Expectation(NamedTuple):
    """What an exposure is expected to show.

    Attributes:
        planes: Expected levels; levels that the exposure must not fall below; levels that it must
            not rise above, as far as there is trust if it is darker; the standard deviation of what
            is found, in sixteenths of a level; and how far the levels are more than a bound: 0 not
            at all .. 255. Shape (3, h, w), uint8, and (h, w) of the last two.
        is_brighter: The exposure is brighter than what it is expected from.
    """

    planes: Looked
    is_brighter: bool


def expect(source: Proxy, curves: Curves, trust: Levels, *, is_brighter: bool) -> Expectation:
    """Expect of an exposure what another one shows, by the curves between them.

    A pixel is trusted as far as its least trusted channel.
    """
    levels = to_bytes(curves.levels)
    bounds = to_bytes(find_bounds(curves.levels, is_brighter=is_brighter))[:, None]
    least = levels if is_brighter else np.minimum(levels, bounds)
    most = np.maximum(levels, bounds) if is_brighter else to_bytes(curves.ceiling)
    planes = look_up_source(
        source,
        np.stack([levels, least, most]),
        to_bytes(SPREAD_STEPS * curves.spread),
        to_bytes(255.0 * trust),
        is_brighter=is_brighter,
    )
    return Expectation(planes, is_brighter)


def join_expectations(own: Expectation, other: Expectation) -> Expectation:
    """Where the first is not trusted, take the second, softly."""
    first, second = own.planes, other.planes
    doubt = 1 - first.trust.astype(np.float32) / np.float32(255)
    further = cv2.multiply(255 - first.trust, second.trust, scale=1 / 255)
    joined = Looked(
        mix_planes(first.levels, second.levels, doubt),
        mix_planes(first.least, second.least, doubt),
        mix_planes(first.most, second.most, doubt),
        mix(first.spread, second.spread, doubt),
        np.asarray(cv2.add(first.trust, further), np.uint8),
    )
    return Expectation(joined, own.is_brighter)


def score_contradiction(exposure: Planes, expected: Expectation) -> Score:
    r"""Score the residual in units of what is tolerated, the largest over luma, hue and scales.

    At each scale, with P the expectation, E the exposure, and t what is tolerated,

    .. math::
        d = \frac{1}{t} \min(|E - [P_{min}, P_{max}]|, |P - [E_{min}, E_{max}]|), \qquad
        t^2 = (3.5 s)^2 + 6^2

    where the ranges are those within a pixel of the proxy, so that an edge displaced by less is no
    contradiction, and s is the spread that noise and all else gives the level. Saturated colours,
    which curves per channel miss, are tolerated more. d is averaged over 3 x 3 pixels.

    Args:
        exposure: The exposure. Shape (3, h, w).
        expected: What is expected of it.

    Returns:
        About 1 where a difference is as large as tolerated. Shape (h, w), float32.
    """
    tolerance = Tolerance(
        SCALES, LEAST_SIDE_PX, LUMA, SPREADS_TOLERATED / SPREAD_STEPS, FLOOR,
        LUMA_OF_COLOUR, HUE_OF_COLOUR, HUE_WEIGHT / 255,
    )  # fmt: skip
    return score_planes(exposure, expected.planes, tolerance, is_brighter=expected.is_brighter)
