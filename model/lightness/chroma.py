"""Fuses a* and b* of the exposures by a rule, on arrays, beside the lightness of the network."""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from model.colour import Planes, lab_to_linear, linear_to_srgb
from model.lightness.definition import (
    BLACK_SOFT,
    CLIPPED_WEIGHT,
    GAMUT_STEPS,
    GAMUT_TOLERANCE,
    PARTLY_CLIPPED,
    WHITE_SOFT,
    ChromaRule,
)

_ONE = np.float32(1)


def fuse_chroma(
    chroma: Sequence[Planes], *, rule: ChromaRule, linear: Sequence[Planes], lightness: Planes
) -> Planes:
    """Fuse a* and b* over the exposures; `model.lightness.torch_chroma` has the formulas.

    Args:
        chroma: a*, b* of each exposure, neutral at 0. Shape (2, H, W) each.
        rule: Which weights they have.
        linear: Each exposure in linear sRGB. Shape (3, H, W) each.
        lightness: Fused L*. Shape (H, W).

    Returns:
        Fused a*, b*. Shape (2, H, W).

    Example:
        >>> neutral, red = (np.full((2, 1, 1), value, np.float32) for value in (0, 20))
        >>> white, grey = (np.full((3, 1, 1), value, np.float32) for value in (1, 0.2))
        >>> planes = {"linear": [white, grey], "lightness": np.full((1, 1), 50, np.float32)}
        >>> rules = ("mean", "weighted", "unclipped")
        >>> fused = [fuse_chroma([neutral, red], rule=rule, **planes) for rule in rules]
        >>> [round(float(one[0, 0, 0]), 1) for one in fused]
        [10.0, 20.0, 20.0]
    """
    if rule == "mean":
        return _sum(chroma) * np.float32(1 / len(chroma))
    if rule == "weighted":
        return _average(chroma, [np.abs(one) for one in chroma])
    fused = _average(chroma, [_weigh_unclipped(one) for one in linear])
    return _reduce_to_gamut(fused, lightness)


def _sum(planes: Sequence[Planes]) -> Planes:
    return reduce(np.add, planes)


def _average(chroma: Sequence[Planes], weights: Sequence[Planes]) -> Planes:
    total = _sum(weights)
    weighted = _sum([weight * one for weight, one in zip(weights, chroma, strict=True)])
    return np.divide(weighted, total, out=np.zeros_like(weighted), where=total > 0)


def _weigh_unclipped(linear: Planes) -> Planes:
    smallest, largest = linear_to_srgb(linear.min(axis=0)), linear_to_srgb(linear.max(axis=0))
    from_largest = ((_ONE - largest) * np.float32(1 / WHITE_SOFT)).clip(0, 1)
    from_smallest = (_ONE - smallest).clip(0, 1)
    below_white = from_largest + np.float32(PARTLY_CLIPPED) * (from_smallest - from_largest)
    above_black = (largest * np.float32(1 / BLACK_SOFT)).clip(0, 1)
    weight: Planes = below_white * above_black + np.float32(CLIPPED_WEIGHT)
    return weight


def _reduce_to_gamut(chroma: Planes, lightness: Planes) -> Planes:
    """Reduce chroma at constant lightness and hue to the share that sRGB holds.

    Only pixels whose colour sRGB cannot show take part: there are few.
    """
    outside = _excess(chroma, lightness, np.float32(1)) > 0
    if not outside.any():
        return chroma
    reduced = chroma.copy()
    reduced[:, outside] = chroma[:, outside] * _find_share(chroma[:, outside], lightness[outside])
    return reduced


def _find_share(chroma: Planes, lightness: Planes) -> Planes:
    """The share follows from bisection and, between the last two, linear interpolation."""
    low: Planes = np.zeros_like(lightness)
    high: Planes = np.ones_like(lightness)
    low_excess = _excess(chroma, lightness, low)
    high_excess = _excess(chroma, lightness, high)
    for _ in range(GAMUT_STEPS):
        middle = (low + high) * np.float32(0.5)
        excess = _excess(chroma, lightness, middle)
        is_inside = excess <= 0
        low, high = np.where(is_inside, middle, low), np.where(is_inside, high, middle)
        low_excess = np.where(is_inside, excess, low_excess)
        high_excess = np.where(is_inside, high_excess, excess)
    # a lightness outside 0..100 exceeds the gamut by itself, and low is still 0
    room: Planes = np.minimum(low_excess, 0).astype(np.float32, copy=False)
    return low + (high - low) * room / (room - high_excess)


def _excess(chroma: Planes, lightness: Planes, share: Planes | np.float32) -> Planes:
    """How far a colour with so much of its chroma lies outside the gamut, in linear sRGB."""
    linear = lab_to_linear(lightness, share * chroma[0], share * chroma[1])
    over, under = linear.max(axis=0) - _ONE, -linear.min(axis=0)
    excess: Planes = np.maximum(under, over) - np.float32(GAMUT_TOLERANCE)
    return excess
