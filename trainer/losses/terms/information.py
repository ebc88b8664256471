"""Loss term `information`: 1 - VIFF, visual information that does not reach the fusion."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.local_moments import DATA_RANGE, average_each
from trainer.losses.masks import gaussian_kernel
from trainer.losses.term import LossTerm
from trainer.metrics.quality.viff import NOISE_VARIANCE, SCALE_WEIGHTS, SCALE_WINDOWS_PX

FLAT = 0.05
"""A variance below it, on the scale 0..255, may be float32's rounding of none."""

TINY_NOISE = 1e-6
STEADY = 1.0
"""Added to both sums of information: exposures without structure give 1."""

MOST = 3.0
"""More than this, a scale cannot score: contrast raised out of nothing is no information."""


def lost_information(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""1 - VIFF, differentiable in the fusion; negative where contrast is raised.

    The fusion is modelled as a gain g on an exposure plus noise of variance s; with a visual noise
    of variance n

    .. math::
        d = \log_{10}\left(1 + \frac{g^2 v}{s + n}\right), \qquad
        d_0 = \log_{10}\left(1 + \frac{v}{n}\right)

    At each place the exposure with the smaller gain counts; a scale scores the sum of d over the
    sum of d_0, at most `MOST`.

    Args:
        fused: Fused plane, 0..255. Shape (N, 1, H, W), sides of at least 41.
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Loss. Shape (N,).

    Reference:
        Han, Cai, Cao and Xu, Inf. Fusion 14 (2013) 127-135. Ours: guards for float32, and the cap.
    """
    total = torch.zeros_like(fused[:, 0, 0, 0])
    # White areas become exact zeros: in float32 the variance of a constant 255 is not 0.
    over = over - DATA_RANGE
    for number, (size_px, weight) in enumerate(zip(SCALE_WINDOWS_PX, SCALE_WEIGHTS, strict=True)):
        window = gaussian_kernel(size_px / 5, (size_px - 1) / (size_px / 5)).to(fused)
        if number > 0:
            fused, under, over = (
                plane[..., ::2, ::2] for plane in average_each((fused, under, over), window)
            )
        if weight > 0:
            total = total + weight * _kept_share(fused, under, over, window)
    return 1 - total / sum(SCALE_WEIGHTS)


def _kept_share(fused: Tensor, under: Tensor, over: Tensor, window: Tensor) -> Tensor:
    mean_u, mean_o, square_u, square_o = average_each(
        (under, over, under * under, over * over), window
    )
    mean, square, product_u, product_o = average_each(
        (fused, fused * fused, under * fused, over * fused), window
    )
    variance = (square - mean * mean).clamp_min(0)
    variance_u = functional.threshold(square_u - mean_u * mean_u, FLAT, 0)
    variance_o = functional.threshold(square_o - mean_o * mean_o, FLAT, 0)
    gain_u = _gain(product_u - mean_u * mean, variance_u)
    gain_o = _gain(product_o - mean_o * mean, variance_o)
    # The exposure is chosen before its logarithms are taken: half of them.
    is_under = gain_u < gain_o
    gain = torch.minimum(gain_u, gain_o)
    source = torch.where(is_under, variance_u, variance_o)
    noise = (variance - gain * gain * source).clamp_min(TINY_NOISE)
    kept = torch.log1p(gain * gain * source / (noise + NOISE_VARIANCE))
    present = torch.log1p(source / NOISE_VARIANCE)
    share = (kept.sum(dim=(1, 2, 3)) + STEADY) / (present.sum(dim=(1, 2, 3)) + STEADY)
    return share.clamp_max(MOST)


def _gain(covariance: Tensor, variance: Tensor) -> Tensor:
    """Gain from an exposure to the fusion; none where the exposure is flat, or opposed."""
    gain = (covariance / variance.clamp_min(FLAT)).clamp_min(0)
    return torch.where(variance == 0, 0, gain)


TERM = LossTerm(
    key="information",
    name="lost_information",
    words="(1 - VIFF)",
    explanation="",
    position=70,
    compute=lambda planes, options: lost_information(planes.shown, planes.under, planes.over),
)
