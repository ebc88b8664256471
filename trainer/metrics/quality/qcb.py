"""Qcb: how well the contrasts that an eye sees in the sources are kept in the fused picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import scipy.fft

from trainer.metrics.grey import FULL_SCALE, Grey, as_compared_planes
from trainer.metrics.windows import Plane

PIXELS_A_DEGREE = 30.0
WIDE_FREQUENCY = 15.3870
NARROW_FREQUENCY = 1.3456
NARROW_GAIN = 0.7622
"""The contrast sensitivity is a difference of two Gaussians of the spatial frequency."""

WINDOW_PX = 31
CENTRE_SIGMA_PX = 2.0
SURROUND_SIGMA_PX = 4.0
MASKING_CONSTANT = 1e-4


def qcb(exposures: Sequence[Grey], fused: Grey) -> float:
    r"""Compute the perceptual quality of Chen and Blum; higher is better.

    Every picture is stretched to 0..255, filtered by the eye's contrast sensitivity, and turned
    into local contrast C, the ratio of a narrow to a wide Gaussian mean less 1, which masking
    compresses to

    .. math::
        C' = \frac{C^3}{C^2 + 10^{-4}}.

    A source is kept as far as the smaller of C' of source and fusion is of the larger; the
    sources are weighted by their squared C' and the result is the mean over all pixels. Where
    contrasts vanish alike they count as kept.

    Args:
        exposures: Two or more, grey, 0..255. Shape (H, W) each, sides of at least 2.
        fused: Fused picture, likewise.

    Returns:
        Score, 0..1.

    Reference:
        Chen and Blum, Image Vis. Comput. 27 (2009) 1421-1432, as computed in the MEFB benchmark.
        It is stated for two sources, whose weights sum to 1; those of all sources do here.

    Example:
        >>> ramp = np.add.outer(np.arange(40.0), np.arange(40.0) ** 2)
        >>> round(qcb([ramp, ramp], ramp), 9)
        1.0
    """
    sources, result = as_compared_planes(exposures, fused)
    sensitivity = _sensitivity(result.shape)
    contrasts = [_masked_contrast(source, sensitivity) for source in sources]
    of_result = _masked_contrast(result, sensitivity)
    total = sum((contrast**2 for contrast in contrasts), np.zeros_like(result))
    quality = np.zeros_like(result)
    for contrast in contrasts:
        even = np.full_like(total, 1 / len(contrasts))
        share = np.divide(contrast**2, total, out=even, where=total > 0)
        quality += share * _kept(contrast, of_result)
    return float(quality.mean())


def _kept(source: Plane, fused: Plane) -> Plane:
    larger = np.maximum(source, fused)
    return np.divide(np.minimum(source, fused), larger, out=np.ones_like(larger), where=larger > 0)


def _sensitivity(shape: tuple[int, ...]) -> Plane:
    """Give the contrast sensitivity of every frequency, the zero frequency first."""
    axes = [
        np.fft.ifftshift((np.arange(side) - side // 2) * 2 / side) * side / PIXELS_A_DEGREE
        for side in shape
    ]
    squared = axes[0][:, None] ** 2 + axes[1][None, :] ** 2
    wide, narrow = (
        np.exp(-squared / frequency**2) for frequency in (WIDE_FREQUENCY, NARROW_FREQUENCY)
    )
    return np.asarray(wide - NARROW_GAIN * narrow)


def _masked_contrast(plane: Plane, sensitivity: Plane) -> Plane:
    low, span = plane.min(), plane.max() - plane.min()
    stretched = np.floor(FULL_SCALE * (plane - low) / span + 0.5) if span > 0 else plane
    seen = scipy.fft.ifft2(scipy.fft.fft2(stretched) * sensitivity).real
    centre, surround = (_blur(seen, sigma) for sigma in (CENTRE_SIGMA_PX, SURROUND_SIGMA_PX))
    ratio = np.divide(centre, surround, out=np.ones_like(centre), where=surround != 0)
    contrast = np.abs(ratio - 1)
    return np.asarray(contrast**3 / (contrast**2 + MASKING_CONSTANT))


def _blur(plane: Plane, sigma_px: float) -> Plane:
    """Filter with a Gaussian that is scaled by its integral, not by the sum of its taps."""
    offset = np.arange(WINDOW_PX) - WINDOW_PX // 2
    taps = np.exp(-(offset**2) / (2 * sigma_px**2)) / (np.sqrt(2 * np.pi) * sigma_px)
    blurred = cv2.sepFilter2D(plane, cv2.CV_64F, taps, taps, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, dtype=np.float64)
