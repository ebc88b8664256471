"""Loss term `fidelity`: 1 - MEF-SSIM, the distance from the structures of the exposures."""

import math

import torch
from torch import Tensor

from trainer.losses.local_moments import (
    DATA_RANGE,
    WINDOW_PX,
    LocalMoments,
    MomentPyramid,
    Scale,
    average_each,
    ssim_window,
)
from trainer.losses.term import LossTerm

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001)
MAX_EXPONENT = 10.0
CONTRAST_OFFSET = 0.001
STABILITY = (0.03 * DATA_RANGE) ** 2
MAX_STRETCH = 10.0
"""Where the exposures' structures cancel, the metric stretches the rest without a bound."""
TINY = 1e-6
"""Keeps float32 ratios and roots away from zero; the metric's own guard is 2.2e-16."""


def mef_dissimilarity(output: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""1 - MEF-SSIM, differentiable in the output.

    Each window of the exposures votes for a reference structure with the contrast of its stronger
    member; the output is compared with it by the contrast-structure term of SSIM, at three
    scales. The scales are joined by a weighted mean, not by the metric's weighted product: near 1
    the two agree, and the mean's gradient does not vanish with one bad scale.

    Args:
        output: Fused lightness, 0..255. Shape (N, 1, H, W), both sides at least 44.
        under: Under exposure, same shape and scale.
        over: Over exposure, same shape and scale.

    Returns:
        Dissimilarity of each picture, 0 for the best. Shape (N,).

    Reference:
        Ma, Zeng, Wang, "Perceptual quality assessment for multi-exposure image fusion", IEEE TIP
        24(11), 2015. Ours: the mean over scales, and lightness instead of grey.
    """
    return infidelity(MomentPyramid(output, under, over))


def infidelity(pyramid: MomentPyramid) -> Tensor:
    """`mef_dissimilarity` of planes whose moments other losses use as well. Shape (N,)."""
    total = torch.zeros_like(pyramid.scale(0).fused[:, 0, 0, 0])
    for number, weight in enumerate(SCALE_WEIGHTS):
        scale = pyramid.scale(number)
        with torch.no_grad():
            shares = _reference_shares(scale)
        similarity = _compare(scale.moments, *shares)
        total = total + weight * (1 - similarity.mean(dim=(1, 2, 3)))
    return total / sum(SCALE_WEIGHTS)


def _reference_shares(scale: Scale) -> tuple[Tensor, Tensor]:
    """Factors of the two centred exposures in the reference structure of each window."""
    area = WINDOW_PX**2
    under, over = scale.under, scale.over_less_white
    box = torch.full_like(ssim_window().to(under), 1 / WINDOW_PX)
    mean_u, mean_o, square_u, square_o, product = average_each(
        (under, over, under * under, over * over, under * over), box
    )
    variance_u = (square_u - mean_u * mean_u).clamp_min(0)
    variance_o = (square_o - mean_o * mean_o).clamp_min(0)
    bound = (variance_u * variance_o).sqrt()
    covariance = torch.minimum(torch.maximum(product - mean_u * mean_o, -bound), bound)
    norm_u, norm_o = (area * variance_u).sqrt(), (area * variance_o).sqrt()
    norm_sum = (area * (variance_u + variance_o + 2 * covariance)).clamp_min(0).sqrt()
    consistency = ((norm_sum + TINY) / (norm_u + norm_o + TINY)).clamp(TINY, 1 - TINY)
    exponent = torch.tan(math.pi / 2 * consistency).clamp_max(MAX_EXPONENT)
    contrast_u, contrast_o = norm_u + CONTRAST_OFFSET, norm_o + CONTRAST_OFFSET
    # w_u / (w_u + w_o) of w = contrast ** exponent, without the power's overflow
    weight_u = torch.sigmoid(exponent * (contrast_u.log() - contrast_o.log()))
    share_u, share_o = weight_u / contrast_u, (1 - weight_u) / contrast_o
    square = area * (
        share_u**2 * variance_u + share_o**2 * variance_o + 2 * share_u * share_o * covariance
    )
    strongest = torch.maximum(contrast_u, contrast_o)
    stretch = (strongest / square.clamp_min(TINY).sqrt()).clamp_max(MAX_STRETCH * strongest)
    return share_u * stretch, share_o * stretch


def _compare(moments: LocalMoments, under_share: Tensor, over_share: Tensor) -> Tensor:
    """Contrast-structure similarity of the output to the reference, window by window."""
    with torch.no_grad():
        reference_variance = (
            under_share**2 * moments.under_variance
            + over_share**2 * moments.over_variance
            + 2 * under_share * over_share * moments.exposures_covariance
        ).clamp_min(0)
    covariance = under_share * moments.under_covariance + over_share * moments.over_covariance
    similarity = (2 * covariance + STABILITY) / (reference_variance + moments.variance + STABILITY)
    # Rounding alone leads beyond 1, and must not be rewarded.
    return similarity.clamp(-1, 1)


TERM = LossTerm(
    key="fidelity",
    name="infidelity",
    words="(1 - MEF-SSIM)",
    explanation=(
        "The MEF-SSIM of the output against the two exposures counts from step "
        "{fidelity_from_step} on; not in the paper."
    ),
    position=20,
    compute=lambda planes, options: infidelity(planes.pyramid),
    may_start_late=True,
)
