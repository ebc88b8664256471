"""FMI: the mutual information between local features of the sources and of the fused picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import numpy as np
import pywt
import scipy.fft

from trainer.metrics.grey import Grey, as_compared_planes
from trainer.metrics.windows import Plane

Feature = Literal["dct", "gradient", "wavelet", "none"]

WINDOW_PX = 3
WINDOW_PIXELS = WINDOW_PX**2

CHUNK_WINDOWS = 2048
"""About so many windows are worked on at once: their 9 x n tables then stay in the cache."""

SMALLEST = 1e-300
"""Added before a logarithm whose factor may be 0; far below the rounding of any probability."""


def fmi(exposures: Sequence[Grey], fused: Grey, *, feature: Feature = "dct") -> float:
    r"""Compute the feature mutual information of a fusion; higher is better.

    Every 3 x 3 window of a feature picture, read column by column and scaled to sum 1, is taken
    for the distribution of an index 1..9: p of a source, q of the fused picture. Their joint
    distribution is modelled as a mixture of independence and the strongest coupling D (the
    Frechet bound) that has the sign of the correlation c between p and q,

    .. math::
        J_{ij} = t D_{ij} + (1 - t) q_i p_j, \qquad t = c / r,

    with r the correlation of the index under D. A window scores

    .. math::
        \frac{2 (H_p + H_q - H_J)}{H_p + H_q}

    and the result is the mean over all windows and exposures. Windows that are equal score 1,
    a window without any uncertainty 0. A flat window is a uniform distribution; two flat windows
    of different levels count as correlated, as rounding makes them in the published programme
    when nine ninths are added in order.

    Args:
        exposures: Two or more, grey, 0..255. Shape (H, W) each, sides of at least 3.
        fused: Fused picture, likewise.
        feature: What the windows are cut from: "dct", the orthonormal DCT-II of the whole
            picture; "gradient", its horizontal central difference; "wavelet", one level of the
            discrete Meyer transform, its bands side by side; "none", the pixels.

    Returns:
        Score, about 0..1.

    Raises:
        ValueError: The feature is unknown, or the pictures do not fit.

    Reference:
        Haghighat, Aghagolzadeh and Seyedarabi, Comput. Electr. Eng. 37 (2011) 744-756; Haghighat
        and Razian, AICT 2014. The authors' default feature, an edge map, hardly tells fusions
        apart and is left out.

    Example:
        >>> ramp = np.add.outer(np.arange(8.0), np.arange(8.0) ** 2)
        >>> fmi([ramp, ramp], ramp, feature="none")
        1.0
    """
    if feature not in _EXTRACTORS:
        raise ValueError(f"expected a feature of {', '.join(_EXTRACTORS)}, got {feature!r}")
    planes, fused_plane = as_compared_planes(exposures, fused, min_side_px=WINDOW_PX)
    *sources, result = (_EXTRACTORS[feature](plane) for plane in (*planes, fused_plane))
    rows, columns = (side - WINDOW_PX + 1 for side in result.shape)
    step = max(1, CHUNK_WINDOWS // columns)
    total = 0.0
    for top in range(0, rows, step):
        cut = np.s_[top : top + step + WINDOW_PX - 1]
        windows = _windows(result[cut])
        distribution = _Distribution.of(windows)
        for source in sources:
            source_windows = _windows(source[cut])
            scores = _score(_Distribution.of(source_windows), distribution)
            is_equal = (source_windows == windows).all(axis=0)
            total += float(np.where(is_equal, 1.0, scores).sum())
    return float(total / (len(sources) * rows * columns))


def _gradient(plane: Plane) -> Plane:
    return np.asarray(np.gradient(plane, axis=1))


def _dct(plane: Plane) -> Plane:
    return np.asarray(scipy.fft.dctn(plane, norm="ortho"))


def _wavelet(plane: Plane) -> Plane:
    approximation, (horizontal, vertical, diagonal) = pywt.dwt2(plane, "dmey", "symmetric")
    tiled = np.block([[approximation, horizontal], [vertical, diagonal]])
    span = tiled.max() - tiled.min()
    return np.asarray((tiled - tiled.min()) / (span if span > 0 else 1.0))


_EXTRACTORS: MappingProxyType[str, Callable[[Plane], Plane]] = MappingProxyType(
    {"dct": _dct, "gradient": _gradient, "wavelet": _wavelet, "none": lambda plane: plane}
)


def _windows(rows: Plane) -> Plane:
    """Give all 3 x 3 windows, each read column by column. Shape (9, windows)."""
    views = np.lib.stride_tricks.sliding_window_view(rows, (WINDOW_PX, WINDOW_PX))
    return np.ascontiguousarray(views.transpose(3, 2, 0, 1)).reshape(WINDOW_PIXELS, -1)


@dataclass(frozen=True, slots=True)
class _Distribution:
    """Distributions of the index 1..9, one a window: shapes (9, n) and (n,)."""

    density: Plane
    centred: Plane
    spread: Plane
    entropy: Plane

    @classmethod
    def of(cls, windows: Plane) -> _Distribution:
        low = windows.min(axis=0)
        span = windows.max(axis=0) - low
        scaled = np.ones_like(windows)
        np.divide(windows - low, span, out=scaled, where=span > 0)
        density = scaled / _sum(scaled)
        index = np.arange(1.0, WINDOW_PIXELS + 1)[:, None]
        variance = _sum(index**2 * density) - _sum(index * density) ** 2
        return cls(
            density=density,
            centred=density - _sum(density) / WINDOW_PIXELS,
            spread=np.sqrt(np.maximum(variance, 0)),
            entropy=-_sum(density * np.log2(density + SMALLEST)),
        )


def _sums(table: Plane) -> Plane:
    """Give the cumulative sums over the first axis, strictly in order (see fmi)."""
    sums = table.copy()
    for before, row in pairwise(sums):
        row += before
    return sums


def _sum(table: Plane) -> Plane:
    """Sum over the first axis strictly in order; NumPy's own sum may add in pairs."""
    total: Plane = table[0].copy()
    for row in table[1:]:
        total += row
    return total


def _score(source: _Distribution, fused: _Distribution) -> Plane:
    shared = _sum(source.centred * fused.centred)
    norms = np.sqrt(_sum(source.centred**2) * _sum(fused.centred**2))
    strength = np.divide(np.abs(shared), norms, out=np.zeros_like(norms), where=shared != 0)

    # The lower bound for a negative correlation is the upper bound with one index reversed.
    p = np.where(shared < 0, source.density[::-1], source.density)
    q = fused.density
    p_sums, q_sums = _sums(p), _sums(q)
    covariance = -_sum(p_sums) * _sum(q_sums)
    for q_sum in q_sums:
        covariance += _sum(np.minimum(p_sums, q_sum))
    spreads = source.spread * fused.spread
    coupling = np.zeros_like(strength)
    is_coupled = (spreads > 0) & (covariance > 0)
    np.divide(strength * spreads, covariance, out=coupling, where=is_coupled)

    total = source.entropy + fused.entropy
    joint = _joint_entropy((1 - coupling) * p, coupling * p_sums, q, coupling * q_sums)
    score = np.zeros_like(total)
    np.divide(2 * (total - joint), total, out=score, where=total > 0)
    return score


def _joint_entropy(p: Plane, p_sums: Plane, q: Plane, q_sums: Plane) -> Plane:
    """Give the entropy of the mixture in bits; a coupling above 1 makes some terms negative.

    Args:
        p: Density of the source times the share of independence. Shape (9, n).
        p_sums: Cumulative sums of the source times the share of the coupling, likewise.
        q: Density of the fused picture, likewise.
        q_sums: Cumulative sums of the fused picture times the share of the coupling, likewise.

    Returns:
        Entropies. Shape (n,).
    """
    p_before = np.vstack([np.zeros_like(p_sums[:1]), p_sums[:-1]])
    q_before = np.vstack([np.zeros_like(q_sums[:1]), q_sums[:-1]])
    entropy: Plane = np.zeros_like(p[0])
    joint, other = np.empty_like(p), np.empty_like(p)
    for i in range(WINDOW_PIXELS):
        # The coupling's mass in a cell is the overlap of the two steps of the cumulative sums.
        np.minimum(p_sums, q_sums[i], out=joint)
        np.maximum(p_before, q_before[i], out=other)
        joint -= other
        np.maximum(joint, 0, out=joint)
        np.multiply(p, q[i], out=other)
        joint += other
        np.abs(joint, out=other)
        other += SMALLEST
        np.log2(other, out=other)
        joint *= other
        entropy -= _sum(joint)
    return entropy
