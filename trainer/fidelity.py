"""MEF-SSIM as a loss: how far a fused picture is from the structures of its own exposures."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from trainer.masks import average_windows, gaussian_kernel

WINDOW_PX = 11
WINDOW_SIGMA_PX = 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001)
MAX_EXPONENT = 10.0
CONTRAST_OFFSET = 0.001
DATA_RANGE = 255.0
"""The scale of all losses: on it the paper's alpha of 1000 balances square error and MS-SSIM."""

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
    gaussian = ssim_window().to(output)
    box = torch.full_like(gaussian, 1 / WINDOW_PX)
    # Black and white areas become exact zeros: in float32 the variance of a constant 255 is not 0.
    over = over - DATA_RANGE
    total = torch.zeros(len(output), dtype=output.dtype, device=output.device)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            output, under, over = (functional.avg_pool2d(x, 2) for x in (output, under, over))
        with torch.no_grad():
            under_share, over_share = _reference_shares(under, over, box)
        similarity = _compare(output, under, over, under_share, over_share, gaussian)
        total = total + weight * (1 - similarity.mean(dim=(1, 2, 3)))
    return total / sum(SCALE_WEIGHTS)


def ssim_window() -> Tensor:
    """The Gaussian that SSIM and its relatives weight a window with, along one axis."""
    return gaussian_kernel(WINDOW_SIGMA_PX, (WINDOW_PX - 1) / WINDOW_SIGMA_PX)


def _reference_shares(under: Tensor, over: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of the two centred exposures in the reference structure of each window."""
    area = WINDOW_PX**2
    mean_u, mean_o, square_u, square_o, product = _average(
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


def _compare(
    output: Tensor,
    under: Tensor,
    over: Tensor,
    under_share: Tensor,
    over_share: Tensor,
    gaussian: Tensor,
) -> Tensor:
    """Contrast-structure similarity of the output to the reference, window by window."""
    with torch.no_grad():
        mean_u, mean_o, square_u, square_o, product = _average(
            (under, over, under * under, over * over, under * over), gaussian
        )
        reference_variance = (
            under_share**2 * (square_u - mean_u * mean_u)
            + over_share**2 * (square_o - mean_o * mean_o)
            + 2 * under_share * over_share * (product - mean_u * mean_o)
        ).clamp_min(0)
    mean_f, square_f, product_u, product_o = _average(
        (output, output * output, under * output, over * output), gaussian
    )
    covariance = under_share * (product_u - mean_u * mean_f) + over_share * (
        product_o - mean_o * mean_f
    )
    variance = (square_f - mean_f * mean_f).clamp_min(0)
    similarity = (2 * covariance + STABILITY) / (reference_variance + variance + STABILITY)
    # Rounding alone leads beyond 1, and must not be rewarded.
    return similarity.clamp(-1, 1)


def _average(planes: tuple[Tensor, ...], kernel: Tensor) -> tuple[Tensor, ...]:
    """Valid separable average of several planes in one call."""
    averaged = average_windows(torch.cat(planes), kernel)
    return averaged.split(len(planes[0]))  # type: ignore[no-any-return, no-untyped-call]
