"""VIFF: the visual information of the exposures that reaches the fused picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.metrics.grey import FULL_SCALE, Grey, as_compared_planes
from trainer.metrics.windows import Plane, gaussian_taps, window_mean

NOISE_VARIANCE = 0.005 * FULL_SCALE**2
"""Variance of the visual noise, as in the authors' programme."""

SCALE_WINDOWS_PX = (17, 9, 5, 3)
SCALE_WEIGHTS = (1.0, 0.0, 0.15, 1.0)
"""Weight of each scale before division by their sum; the second scale does not count."""

STABILISER = 1e-7
FLAT = 1e-10
"""Variances below this are treated as none."""

MIN_SIDE_PX = 41
"""Smallest side with at least one window at the fourth scale."""


def viff(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the visual information fidelity of a fusion; higher is better.

    Per position and scale the fused picture is modelled as a gain g on a source plus noise of
    variance s; with a visual noise of variance n the information that survives is

    .. math::
        d = \log_{10}\left(1 + \frac{g^2 v}{s + n}\right), \qquad
        d_0 = \log_{10}\left(1 + \frac{v}{n}\right)

    where v is the source's variance under a Gaussian window. At each position the source with the
    smallest gain counts, of equal ones the brightest, which the programme is given last. A scale
    scores the sum of d over the sum of d_0, and the scales are averaged with fixed weights.
    Sources without any structure give 1.

    A flat source has no gain and no information, so that a place counts nothing where one of them
    is clipped: on fourteen brackets of three to nine exposures none to half of the places, with at
    most a quarter of the information.

    Args:
        exposures: Two or more, grey, 0..255. Shape (H, W) each, sides of at least 41.
        fused: Fused picture, likewise.

    Returns:
        Score, 0 or more; 1 when the information is kept, above 1 when contrast is raised.

    Reference:
        Han, Cai, Cao and Xu, Inf. Fusion 14 (2013) 127-135, with the constants of the authors'
        programme. Ours is computed on the grey picture instead of their 8-bit lightness.

    Example:
        >>> ramp = np.add.outer(np.arange(64.0), np.arange(64.0))
        >>> round(viff([ramp, ramp], ramp), 9)
        1.0
    """
    sources, result = as_compared_planes(exposures, fused, min_side_px=MIN_SIDE_PX)
    sources.sort(key=np.mean)
    score = 0.0
    for scale, (size_px, weight) in enumerate(zip(SCALE_WINDOWS_PX, SCALE_WEIGHTS, strict=True)):
        taps = gaussian_taps(size_px, size_px / 5)
        if scale > 0:
            *sources, result = (
                np.ascontiguousarray(window_mean(plane, taps)[::2, ::2])
                for plane in (*sources, result)
            )
        if weight > 0:
            score += weight * _scale_fidelity(sources, result, taps)
    return score / sum(SCALE_WEIGHTS)


def _scale_fidelity(sources: Sequence[Plane], fused: Plane, taps: Plane) -> float:
    fused_mean = window_mean(fused, taps)
    fused_variance = np.maximum(window_mean(fused * fused, taps) - fused_mean**2, 0)
    gain, kept, present = _information(sources[0], fused, fused_mean, fused_variance, taps)
    for source in sources[1:]:
        other_gain, other_kept, other_present = _information(
            source, fused, fused_mean, fused_variance, taps
        )
        is_smaller = gain < other_gain
        gain = np.where(is_smaller, gain, other_gain)
        kept = np.where(is_smaller, kept, other_kept)
        present = np.where(is_smaller, present, other_present)
    return float((kept + STABILISER).sum() / (present + STABILISER).sum())


def _information(
    source: Plane, fused: Plane, fused_mean: Plane, fused_variance: Plane, taps: Plane
) -> tuple[Plane, Plane, Plane]:
    """Give gain, kept and present information of one source at every window position."""
    mean = window_mean(source, taps)
    variance = np.maximum(window_mean(source * source, taps) - mean**2, 0)
    covariance = window_mean(source * fused, taps) - mean * fused_mean
    gain = covariance / (variance + FLAT)
    noise = fused_variance - gain * covariance

    # The order of these four corrections is part of the definition.
    is_flat = variance < FLAT
    gain = np.where(is_flat, 0, gain)
    noise = np.where(is_flat, fused_variance, noise)
    variance = np.where(is_flat, 0, variance)
    is_fused_flat = fused_variance < FLAT
    gain = np.where(is_fused_flat, 0, gain)
    noise = np.where(is_fused_flat, 0, noise)
    is_opposed = gain < 0
    noise = np.where(is_opposed, fused_variance, noise)
    gain = np.where(is_opposed, 0, gain)
    noise = np.maximum(noise, FLAT)

    kept = np.log10(1 + gain**2 * variance / (noise + NOISE_VARIANCE))
    present = np.log10(1 + variance / NOISE_VARIANCE)
    return gain, kept, present
