"""Finds how the levels of one exposure look in another: monotone curves of a joint histogram."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.ghosts.kernels import LEVELS, Counts, count_levels, read_ranks

CLIPPED_LEVEL = 250
"""From here on a level of a reduced exposure holds clipped pixels, and a curve has no data."""

SURE_LEVEL = 236
"""Up to here a level of the reference is trusted fully; in between trust falls."""

DARK_LEVEL, SURE_DARK_LEVEL = 4, 20
"""The same at the dark end, where noise and quantisation leave nothing to be predicted from."""

POOLING_COUNT = 400.0
"""Pixels of a level at which a channel's own curve counts as much as that of all channels."""

SMOOTHING_LEVELS = 2.0
LEAST_SPREAD = 1.0
LARGEST_SPREAD = 8.0
"""Bounds of the spread, in levels: rounding, and where curves explain nothing any more."""

DOUBTED_SPREAD = 8.0
"""Spread from which a level's median is doubted; at twice of it it is not used."""

SHAPE_DEGREE = 5
"""Degree of the polynomial that all levels of a curve together follow."""

SHAPE_SHARE = 1e-3
"""A level that holds this share of the pixels counts as much as the polynomial: what is rare may
be the level of a single object that has moved."""

_AWAY = np.subtract.outer(np.arange(LEVELS), np.arange(LEVELS))
OFFSET_KERNEL = np.exp(-0.5 * (_AWAY / 20.0) ** 2)

Levels = NDArray[np.float64]
Proxy = NDArray[np.uint8]


class Curves(NamedTuple):
    """Levels of one exposure as they look in another.

    Attributes:
        levels: Level expected for every level of R, G and B. Shape (3, 256), 0..255.
        ceiling: The same, but for levels that are clipped in the source: the level that most of
            them show. Shape (3, 256).
        spread: Standard deviation of what is found there, of all channels. Shape (256,).
    """

    levels: Levels
    ceiling: Levels
    spread: Levels


def fit_curves(source: Proxy, target: Proxy, keep: NDArray[np.uint8] | None = None) -> Curves:
    """Fit the curves from one exposure's levels to another's.

    For every level the median of what the other exposure shows there is taken over all channels,
    made monotone by weighted isotonic regression and smoothed; a channel may lie off it smoothly.
    Clipped levels hold everything above: the curve goes on with the slope it arrives with, but not
    above what the other exposure shows there. Medians do not mind what moved, as long as it is
    less than half of a level; what is rarer, as are levels that a single object has, is drawn to
    the polynomial that all levels follow.
    Exposures without a common unclipped level give a constant curve.

    Args:
        source: Exposure that is mapped. Shape (h, w, 3), uint8.
        target: Exposure it is mapped to, same shape.
        keep: 0 for pixels that do not count, all count when None. Shape (h, w).

    Returns:
        Curves and spreads of R, G and B.

    Reference:
        Grossberg and Nayar, "Determining the camera response from images: what is knowable?",
        IEEE TPAMI 2003: the intensity mapping function and its comparagram. Ours: medians, the
        pooled curve, and the way on beyond clipping.
    """
    joint = count_levels(source, target, keep)
    shared, ceiling, spread = _fit(joint.sum(axis=0, dtype=np.uint32))
    offsets = np.stack([_fit_offset(one, shared) for one in joint])
    return Curves(_tidy(shared + offsets), _tidy(ceiling + offsets), spread)


def _tidy(levels: Levels) -> Levels:
    """Keep curves, (3, 256), rising and within the levels."""
    return np.asarray(np.maximum.accumulate(np.clip(levels, 0.0, LEVELS - 1.0), axis=1))


def trust_levels(*, is_brighter: bool) -> Levels:
    """How far each level of the reference can predict a brighter, or a darker, exposure.

    A darker exposure shows what is clipped in the reference, a brighter one what is black in it;
    there trust is 0. Shape (256,), 0..1.
    """
    level = np.arange(LEVELS, dtype=np.float64)
    if is_brighter:
        return _ramp((level - DARK_LEVEL) / (SURE_DARK_LEVEL - DARK_LEVEL))
    return _ramp((CLIPPED_LEVEL - level) / (CLIPPED_LEVEL - SURE_LEVEL))


def find_bounds(levels: Levels, *, is_brighter: bool) -> Levels:
    """Levels that an exposure keeps even where the reference is clipped, or black. Shape (3,).

    What is clipped is at least as bright as the last level that is trusted; nothing more is known.
    """
    return levels[:, SURE_DARK_LEVEL if is_brighter else SURE_LEVEL]


def _ramp(x: Levels) -> Levels:
    clipped = np.clip(x, 0.0, 1.0)
    return np.asarray(clipped * clipped * (3.0 - 2.0 * clipped))


def _fit(joint: Counts) -> tuple[Levels, Levels, Levels]:
    """Curve, ceiling and spread of one joint histogram (source, target)."""
    seen, median, counts, spread = _read_levels(joint)
    every = np.arange(LEVELS, dtype=np.float64)
    rising = np.interp(every, seen, _make_monotone(median, np.minimum(counts, 1e4)))
    last = int(seen[-1])
    span = min(24, last)
    slope = (rising[last] - rising[last - span]) / span if span else 0.0
    beyond = joint[CLIPPED_LEVEL + 3 :].sum(axis=0, keepdims=True, dtype=np.uint32)
    seen_beyond = float(_find_medians(beyond)[0][0]) if beyond.sum() >= 8 else rising[last]
    top = max(seen_beyond, rising[last])
    straight = rising[last] + slope * (every[last:] - last)
    ceiling = rising.copy()
    ceiling[last:] = np.linspace(rising[last], top, LEVELS - last)
    rising[last:] = np.minimum(straight, top)
    spreads = np.clip(_smooth(np.interp(every, seen, spread)), LEAST_SPREAD, LARGEST_SPREAD)
    return _smooth(rising), _smooth(ceiling), spreads


def _read_levels(joint: Counts) -> tuple[NDArray[np.intp], Levels, Levels, Levels]:
    """Levels of the source that are seen, at least one, and of each median, weight and spread."""
    median, spread, counts = _find_medians(joint)
    is_seen = counts >= np.clip(counts.sum() / 4096.0, 1.0, 8.0)
    is_seen[CLIPPED_LEVEL:] = False
    seen = np.flatnonzero(is_seen)
    if len(seen) < 2:
        row = joint.sum(axis=0, keepdims=True, dtype=np.uint32)
        median, spread, total = _find_medians(row)
        if total[0] == 0.0:
            median, spread = np.zeros(1), np.zeros(1)
        return np.zeros(1, np.intp), median, np.ones(1), spread
    median, spread = median[seen], spread[seen]
    # A level whose pixels disagree has moved, or is noise; ranks do not mind motion.
    doubt = _ramp((spread - DOUBTED_SPREAD) / DOUBTED_SPREAD)
    targets = joint.sum(axis=0, dtype=np.float64)
    median = median + doubt * (_match_ranks(counts, targets)[seen] - median)
    weights = counts[seen] / (1.0 + (spread / DOUBTED_SPREAD) ** 2)
    return seen, _lean_on_shape(seen, median, weights, counts.sum()), weights, spread


def _lean_on_shape(seen: NDArray[np.intp], median: Levels, counts: Levels, pixels: float) -> Levels:
    """Draw the medians of rare levels to the curve that all levels have in common."""
    if len(seen) <= 2 * SHAPE_DEGREE:
        return median
    weight = np.sqrt(np.minimum(counts, 0.01 * pixels))
    shape = np.polynomial.Polynomial.fit(seen, median, SHAPE_DEGREE, w=weight)(seen)
    lean = SHAPE_SHARE * pixels
    return np.asarray((counts * median + lean * shape) / (counts + lean))


def _fit_offset(joint: Counts, shared: Levels) -> Levels:
    """How far one channel's levels lie off the curve of all, smooth over the levels.

    White balance makes channels differ, slowly over the levels. What differs fast is colour that
    the curves cannot explain, and a prediction must not turn hues around.
    """
    ranks = read_ranks(joint)
    weight = np.minimum(ranks.total, 2000.0)
    weight[CLIPPED_LEVEL:] = 0.0
    offsets = OFFSET_KERNEL @ (weight * (ranks.median_level - shared))
    return np.asarray(offsets / (OFFSET_KERNEL @ weight + POOLING_COUNT))


def _match_ranks(counts: Levels, targets: Levels) -> Levels:
    """The level of equal rank in the target's histogram for every level of the source's."""
    ranks = (np.cumsum(counts) - 0.5 * counts) / counts.sum()
    matched = np.interp(ranks, np.cumsum(targets) / targets.sum(), np.arange(LEVELS) + 0.5)
    return np.asarray(matched)


def _find_medians(joint: Counts) -> tuple[Levels, Levels, Levels]:
    """Of every row the median, the deviation that its quartiles stand for, and its sum."""
    ranks = read_ranks(joint)
    return ranks.median, (ranks.upper - ranks.lower) / 1.349, ranks.total


def _make_monotone(values: Levels, weights: Levels) -> Levels:
    """Weighted isotonic regression by pooling adjacent violators."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        block = (value, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, other, count = blocks.pop()
            joined = other + block[1]
            block = ((mean * other + block[0] * block[1]) / joined, joined, count + block[2])
        blocks.append(block)
    return np.repeat([block[0] for block in blocks], [block[2] for block in blocks])


def _smooth(values: Levels) -> Levels:
    """Gaussian over the levels; the ends go on straight, so that a slope stays a slope."""
    reach = int(3 * SMOOTHING_LEVELS)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / SMOOTHING_LEVELS) ** 2)
    padded = np.pad(values, reach, mode="reflect", reflect_type="odd")
    return np.asarray(np.convolve(padded, kernel / kernel.sum(), mode="valid"))
