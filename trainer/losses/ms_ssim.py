"""MS-SSIM, differentiable: after Wang, and as the authors' programme computes it."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.local_moments import DATA_RANGE, average_each, ssim_window

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
        product = product * raise_to_weight(similarity if scale == COARSEST else structure, weight)
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


def _ssim_terms(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean contrast-structure and mean SSIM of each pair, valid windows."""
    mean_o, mean_t, square_o, square_t, product = average_each(
        (output, target, output * output, target * target, output * target),
        ssim_window().to(output),
    )
    variance_o, variance_t = square_o - mean_o * mean_o, square_t - mean_t * mean_t
    structure = compare_structure(product - mean_o * mean_t, variance_o, variance_t)
    similarity = structure * compare_luminance(mean_o, mean_t)
    return structure.mean(dim=(1, 2, 3)), similarity.mean(dim=(1, 2, 3))


def compare_structure(covariance: Tensor, one_variance: Tensor, other_variance: Tensor) -> Tensor:
    """The contrast-structure term of SSIM, window by window."""
    return (2 * covariance + SSIM_C2) / (one_variance + other_variance + SSIM_C2)


def compare_luminance(one_mean: Tensor, other_mean: Tensor) -> Tensor:
    """The luminance term of SSIM, window by window."""
    both = 2 * one_mean * other_mean
    return (both + SSIM_C1) / (one_mean * one_mean + other_mean * other_mean + SSIM_C1)


def raise_to_weight(value: Tensor, weight: float) -> Tensor:
    """A scale's value to the power of its weight; 0, without a slope, where it is not positive."""
    is_positive = value > 0
    return torch.where(is_positive, torch.where(is_positive, value, 1) ** weight, 0)
