"""The numbers by which colour is mixed pixel by pixel, apart from luma."""

from typing import NamedTuple

LUMA = (0.298936, 0.587043, 0.114021)
"""Weights of R, G and B in the grey plane of the metrics."""

HIGH, LOW = 0.85, 0.10
"""Channel values from which one comes near to clipping, and below which one sinks into noise."""

GAMUT_MARGIN = 1 / 255
"""Mixed channels stop so far within 0..1, unless one of an exposure goes on: none is clipped."""

NEUTRAL = 1e-6


class ColourRule(NamedTuple):
    """The numbers of a mix.

    Attributes:
        slope: What a brighter luma adds to the logit of a weight, s.
        high: What nearness to clipping takes from it, h.
        low: What nearness to the noise takes from it, l.
        offset: Luma by which the ratio of lumas is damped, a.
        gain: What the spread of the lumas adds to the strength of colour, g.
        turn: How far blue is turned towards green as it is lifted, t.
    """

    slope: float
    high: float
    low: float
    offset: float
    gain: float
    turn: float


RULE = ColourRule(slope=4.0, high=4.0, low=3.0, offset=1.1, gain=0.2, turn=0.4)
"""Chosen by guards and by eye (`docs/results/pyramid-blend-2.1.0.md`)."""
