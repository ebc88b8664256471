"""MS-SSIM, differentiable: of two pictures, of the authors' programme, and of a fusion's pair."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.local_moments import DATA_RANGE, Pyramid, average_each, ssim_window

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
COARSEST = len(SCALE_WEIGHTS) - 1
SSIM_C1 = (0.01 * DATA_RANGE) ** 2
SSIM_C2 = (0.03 * DATA_RANGE) ** 2


def ms_ssim(output: Tensor, target: Tensor) -> Tensor:
    r"""MS-SSIM after Wang.

    .. math::
        \overline{l_5 c_5}^{\,w_5} \prod_{j=1}^{4} \overline{c_j}^{\,w_j}

    with the luminance term l and the contrast-structure term c of SSIM under a Gaussian window of
    11 pixels. A scale whose mean is not positive has no real power; it counts as 0.

    Args:
        output: 0..255. Shape (N, 1, H, W), both sides at least 161.
        target: Same shape.

    Returns:
        Similarity of each pair, 0..1. Shape (N,).

    Reference:
        Wang, Simoncelli, Bovik, "Multiscale structural similarity", Asilomar 2003. Ours: a row or
        column beyond an even side is halved with a zero, as in the library pytorch-msssim.
    """
    product = torch.ones(len(output), dtype=output.dtype, device=output.device)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        structure, similarity = _ssim_terms(output, target)
        product = product * _power(similarity if scale == COARSEST else structure, weight)
        if scale < COARSEST:
            padding = (output.shape[-2] % 2, output.shape[-1] % 2)
            output, target = (
                functional.avg_pool2d(x, 2, padding=padding) for x in (output, target)
            )
    return product


def authors_ms_ssim(output: Tensor, target: Tensor) -> Tensor:
    r"""MS-SSIM as the authors' programme computes it.

    Five scales with a valid 11-tap window; each scale's mean value is mapped from -1..1 to 0..1,
    and the last scale's value enters once for each of the four scales before it:

    .. math::
        \prod_{i=1}^{4} c_i^{w_i} \, s_5^{w_5}, \qquad x \mapsto (x + 1) / 2

    Args:
        output: 0..255. Shape (N, 1, H, W), both sides at least 176.
        target: Same shape.

    Returns:
        Similarity of each pair, at most 1. Shape (N,).

    Reference:
        Wang, Simoncelli, Bovik, Asilomar 2003, with the departures of the programme published
        with Im et al. 2023.
    """
    product = torch.ones(len(output), dtype=output.dtype, device=output.device)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        structure, similarity = _ssim_terms(output, target)
        if scale == COARSEST:
            product = product * ((similarity + 1) / 2) ** (weight * COARSEST)
        else:
            product = product * ((structure + 1) / 2) ** weight
            output, target = (functional.avg_pool2d(image, 2) for image in (output, target))
    return product


def dissimilarity(pyramid: Pyramid) -> Tensor:
    r"""1 - the mean of MS-SSIM(fusion, under) and MS-SSIM(fusion, over).

    The metric `trainer.metrics.quality.ms_ssim` as a loss; its minimum resembles both exposures
    alike.

    Args:
        pyramid: The fusion and its exposures, both sides at least 176.

    Returns:
        Dissimilarity of each picture, 0..1. Shape (N,).

    Reference:
        As `ms_ssim`; the mean over two sources is the habit of papers on fusion.
    """
    fused = pyramid.scale(0).fused
    under, over = (torch.ones(len(fused), dtype=fused.dtype, device=fused.device) for _ in "uo")
    for number, weight in enumerate(SCALE_WEIGHTS):
        one = pyramid.scale(number).moments
        terms = []
        for mean, variance, covariance in (
            (one.under_mean, one.under_variance, one.under_covariance),
            (one.over_mean, one.over_variance, one.over_covariance),
        ):
            term = _structure(covariance, variance, one.variance)
            if number == COARSEST:
                term = term * _luminance(mean, one.mean)
            terms.append(_power(term.mean(dim=(1, 2, 3)), weight))
        under, over = under * terms[0], over * terms[1]
    return 1 - (under + over) / 2


def _ssim_terms(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean contrast-structure and mean SSIM of each pair, valid windows."""
    mean_o, mean_t, square_o, square_t, product = average_each(
        (output, target, output * output, target * target, output * target),
        ssim_window().to(output),
    )
    variance_o, variance_t = square_o - mean_o * mean_o, square_t - mean_t * mean_t
    structure = _structure(product - mean_o * mean_t, variance_o, variance_t)
    similarity = structure * _luminance(mean_o, mean_t)
    return structure.mean(dim=(1, 2, 3)), similarity.mean(dim=(1, 2, 3))


def _structure(covariance: Tensor, one_variance: Tensor, other_variance: Tensor) -> Tensor:
    return (2 * covariance + SSIM_C2) / (one_variance + other_variance + SSIM_C2)


def _luminance(one_mean: Tensor, other_mean: Tensor) -> Tensor:
    both = 2 * one_mean * other_mean
    return (both + SSIM_C1) / (one_mean * one_mean + other_mean * other_mean + SSIM_C1)


def _power(value: Tensor, weight: float) -> Tensor:
    """The power of a positive value, 0 and without a slope where it has none."""
    is_positive = value > 0
    return torch.where(is_positive, torch.where(is_positive, value, 1) ** weight, 0)
