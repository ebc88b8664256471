"""MEF-SSIM: structural similarity between a fused picture and the best patch of its exposures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from trainer.metrics.grey import FULL_SCALE, Grey, as_compared_planes
from trainer.metrics.windows import Plane, gaussian_taps, halve, window_mean, window_sum

PATCH_PX = 11
WINDOW_SIGMA_PX = 1.5
STRUCTURE_CONSTANT = (0.03 * FULL_SCALE) ** 2
EPSILON = 2.22e-16
NORM_FLOOR = 0.001
MAX_EXPONENT = 10.0

SCALE_WEIGHTS = tuple(weight / 0.6305 for weight in (0.0448, 0.2856, 0.3001))
"""Exponents of the three scales, finest first: the first three of MS-SSIM, summing to 1."""

MIN_SIDE_PX = (PATCH_PX - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""Smallest side whose coarsest scale still holds one patch."""


def mef_ssim(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute MEF-SSIM over three scales; higher is better.

    For every patch a reference is built from the exposures' patches freed of their means: their
    structures, weighted by a power of their strength that grows with their agreement, at the
    strength of the strongest. The fused patch is then scored by

    .. math::
        q = \frac{2 \sigma_{rF} + C}{\sigma_r^2 + \sigma_F^2 + C}

    which holds no luminance term. The result is the product of the scales' mean q, each to the
    power of its weight. Where every exposure is flat, q measures only the flatness of the fusion.

    All patch norms are box covariances and all moments of q Gaussian covariances of exposures and
    fusion, so that no loop over patches is needed.

    Args:
        exposures: Two or more, grey, 0..255. Shape (H, W) each, sides of at least 41.
        fused: Fused picture, likewise.

    Returns:
        Score, at most 1. A scale whose mean q is negative counts as 0.

    Reference:
        Ma, Zeng and Wang, IEEE TIP 24 (2015) 3345-3356, with the constants and the
        down-sampling of the authors' programme. Both are for any number of exposures.

    Example:
        >>> ramp = np.add.outer(np.arange(48.0), np.arange(48.0))
        >>> round(mef_ssim([ramp, ramp], ramp), 6)
        1.0
    """
    sources, result = as_compared_planes(exposures, fused, min_side_px=MIN_SIDE_PX)
    score = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale > 0:
            *sources, result = (halve(plane) for plane in (*sources, result))
        score *= max(_scale_quality(sources, result), 0.0) ** weight
    return score


def _scale_quality(exposures: Sequence[Plane], fused: Plane) -> float:
    """Give the mean of q over all patches of one scale."""
    factors = _reference_factors(exposures)
    taps = gaussian_taps(PATCH_PX, WINDOW_SIGMA_PX)
    means = [window_mean(exposure, taps) for exposure in exposures]
    fused_mean = window_mean(fused, taps)
    fused_variance = window_mean(fused * fused, taps) - fused_mean**2

    # The reference is a sum of exposures with one factor each in the patch, so its moments are
    # sums of the exposures' moments.
    shared = np.zeros_like(fused_mean)
    reference_variance = np.zeros_like(fused_mean)
    for k, exposure in enumerate(exposures):
        shared += factors[k] * (window_mean(exposure * fused, taps) - means[k] * fused_mean)
        for j in range(k, len(exposures)):
            covariance = window_mean(exposure * exposures[j], taps) - means[k] * means[j]
            times = 1 if j == k else 2
            reference_variance += times * factors[k] * factors[j] * covariance
    quality = (2 * shared + STRUCTURE_CONSTANT) / (
        reference_variance + fused_variance + STRUCTURE_CONSTANT
    )
    return float(quality.mean())


def _reference_factors(exposures: Sequence[Plane]) -> list[Plane]:
    """Give the factor of each exposure's mean-free patch in the reference patch."""
    count = range(len(exposures))
    pixels = PATCH_PX**2
    sums = [window_sum(exposure, PATCH_PX) for exposure in exposures]
    products = {
        (k, j): window_sum(exposures[k] * exposures[j], PATCH_PX) - sums[k] * sums[j] / pixels
        for k in count
        for j in count
        if k <= j
    }
    inner = {(k, j): products[min(k, j), max(k, j)] for k, j in product(count, count)}
    norms = [np.sqrt(np.maximum(inner[k, k], 0)) for k in count]
    floored = [norm + NORM_FLOOR for norm in norms]

    norm_of_sum = np.sqrt(np.maximum(sum(inner.values(), np.zeros_like(norms[0])), 0))
    consistency = (norm_of_sum + EPSILON) / (sum(norms, np.zeros_like(norms[0])) + EPSILON)
    consistency = np.clip(consistency, EPSILON, 1 - EPSILON)
    exponent = np.minimum(np.tan(np.pi / 2 * consistency), MAX_EXPONENT)

    weights = [(norm / PATCH_PX) ** exponent + EPSILON for norm in floored]
    total = sum(weights, np.zeros_like(norms[0]))
    factors = [weight / total / norm for weight, norm in zip(weights, floored, strict=True)]

    strength = np.max(floored, axis=0)
    norm_squared = sum(
        (factors[k] * factors[j] * inner[k, j] for k, j in product(count, count)),
        np.zeros_like(norms[0]),
    )
    norm = np.sqrt(np.maximum(norm_squared, 0))
    # Where the reference vanishes so must its factors, or they magnify the rounding of the moments.
    rescale = np.divide(strength, norm, out=np.zeros_like(norm), where=norm > 0)
    return [factor * rescale for factor in factors]
