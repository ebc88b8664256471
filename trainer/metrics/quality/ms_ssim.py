"""MS-SSIM between the fused picture and each exposure, averaged."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.metrics.grey import FULL_SCALE, Grey, as_compared_planes
from trainer.metrics.windows import Plane, gaussian_taps, halve, window_mean

WINDOW_PX = 11
WINDOW_SIGMA_PX = 1.5
LUMINANCE_CONSTANT = (0.01 * FULL_SCALE) ** 2
CONTRAST_CONSTANT = (0.03 * FULL_SCALE) ** 2

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first (Wang, Simoncelli and Bovik, 2003)."""

MIN_SIDE_PX = (WINDOW_PX - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""Smallest side whose coarsest scale still holds one window."""


def ms_ssim(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the mean over the exposures of MS-SSIM(exposure, fused); higher is better.

    .. math::
        \mathrm{MS} = \overline{l_5 c_5}^{\,w_5} \prod_{j=1}^{4} \overline{c_j}^{\,w_j}

    with the luminance term l and the contrast-structure term c of SSIM under a Gaussian window of
    11 pixels. A scale whose mean c is negative (pictures that are negatives of each other) has no
    real power; it counts as 0.

    Args:
        exposures: Two or more, grey, 0..255. Shape (H, W) each, sides of at least 161.
        fused: Fused picture, likewise.

    Returns:
        Score, 0..1.

    Reference:
        Wang, Simoncelli and Bovik, "Multiscale structural similarity", Asilomar 2003, with the
        down-sampling of the authors' programme. The mean over the sources is the habit of fusion
        papers; it favours fusions that resemble all exposures, that is, the plain average.

    Example:
        >>> import numpy as np
        >>> ramp = np.add.outer(np.arange(180.0), np.arange(180.0)) / 2
        >>> ms_ssim([ramp, ramp], ramp)
        1.0
    """
    sources, result = as_compared_planes(exposures, fused, min_side_px=MIN_SIDE_PX)
    return sum(_similarity(source, result) for source in sources) / len(sources)


def _similarity(source: Plane, fused: Plane) -> float:
    taps = gaussian_taps(WINDOW_PX, WINDOW_SIGMA_PX)
    score = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale > 0:
            source, fused = halve(source), halve(fused)
        contrast, luminance = _terms(source, fused, taps)
        is_coarsest = scale == len(SCALE_WEIGHTS) - 1
        mean = (contrast * luminance if is_coarsest else contrast).mean()
        score *= max(float(mean), 0.0) ** weight
    return score


def _terms(source: Plane, fused: Plane, taps: Plane) -> tuple[Plane, Plane]:
    """Give the contrast-structure and the luminance term of SSIM at every window position."""
    mean_s, mean_f = window_mean(source, taps), window_mean(fused, taps)
    variance_s = window_mean(source * source, taps) - mean_s**2
    variance_f = window_mean(fused * fused, taps) - mean_f**2
    covariance = window_mean(source * fused, taps) - mean_s * mean_f
    contrast = (2 * covariance + CONTRAST_CONSTANT) / (variance_s + variance_f + CONTRAST_CONSTANT)
    luminance = (2 * mean_s * mean_f + LUMINANCE_CONSTANT) / (
        mean_s**2 + mean_f**2 + LUMINANCE_CONSTANT
    )
    return contrast, luminance
