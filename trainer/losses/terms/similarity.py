"""Loss term `similarity`: 1 - the mean of MS-SSIM with two exposures."""

import torch
from torch import Tensor

from trainer.losses.local_moments import MomentPyramid
from trainer.losses.ms_ssim import (
    COARSEST,
    SCALE_WEIGHTS,
    compare_luminance,
    compare_structure,
    raise_to_weight,
)
from trainer.losses.term import LossTerm


def dissimilarity(pyramid: MomentPyramid) -> Tensor:
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
            term = compare_structure(covariance, variance, one.variance)
            if number == COARSEST:
                term = term * compare_luminance(mean, one.mean)
            terms.append(raise_to_weight(term.mean(dim=(1, 2, 3)), weight))
        under, over = under * terms[0], over * terms[1]
    return 1 - (under + over) / 2


TERM = LossTerm(
    key="similarity",
    name="unlikeness",
    words="(1 - MS-SSIM with two exposures)",
    explanation="",
    position=50,
    compute=lambda planes, options: dissimilarity(planes.pyramid),
    compares="drawn",
)
