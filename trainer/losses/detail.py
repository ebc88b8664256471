"""Loss terms beside the paper's: detail that a fusion lost, tones that it should not have."""

import torch
from torch import Tensor
from torch.nn import functional

TONE_CELL_PX = 8
"""Side of the squares over which a tone is averaged; half the receptive field of the network."""

STEADY = 1e-3
"""Added to a squared gradient: a root has no slope at zero."""


def lost_detail(fused: Tensor, under: Tensor, over: Tensor, *, gain: float, scales: int) -> Tensor:
    r"""How far gradients of the fusion stay behind the stronger one of its exposures.

    .. math::
        \frac{1}{S} \sum_{s=1}^{S} \operatorname{mean}
        \max\left(0, g \max_k |\nabla x_k| - |\nabla f|\right)

    with forward differences, on planes halved `S - 1` times by 2x2 averages. A gradient as strong
    as asked for, or stronger, costs nothing; so do flat areas, where every gradient vanishes.

    Args:
        fused: Fused plane, 0..255. Shape (N, 1, H, W).
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.
        gain: g, the share of the stronger exposure's gradient that is asked for; above 1 it asks
            for more than either exposure has, against what the other terms smooth away.
        scales: S, at least 1.

    Returns:
        Mean shortfall in grey levels a pixel. Shape (N,).

    Reference:
        Ours; the stronger exposure's gradient as the target goes back to Ma et al., "Robust
        multi-exposure image fusion", IEEE TIP 26 (2017), where it is a patch's contrast.
    """
    total = fused.new_zeros(len(fused))
    planes = torch.cat([under, over, fused])
    for scale in range(scales):
        if scale:
            planes = functional.avg_pool2d(planes, 2)
        strength_under, strength_over, strength = _squared_gradient(planes).chunk(3)
        wanted = gain * (torch.maximum(strength_under, strength_over) + STEADY).sqrt()
        shortfall = (wanted - (strength + STEADY).sqrt()).clamp_min(0)
        total = total + shortfall.mean(dim=(1, 2, 3)) / scales
    return total


def excursion(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""Mean square by which a fusion leaves the span of its exposures.

    .. math::
        \operatorname{mean} \left( \max(0, \min_k x_k - f)^2 + \max(0, f - \max_k x_k)^2 \right)

    A pixel darker than its darkest exposure is a crushed shadow, one brighter than its brightest a
    burnt highlight, and either beside a strong edge is a halo.

    Args:
        fused: Fused plane, 0..255, not clamped. Shape (N, 1, H, W).
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Mean square in squared grey levels. Shape (N,).
    """
    below = (torch.minimum(under, over) - fused).clamp_min(0)
    above = (fused - torch.maximum(under, over)).clamp_min(0)
    return (below.square() + above.square()).mean(dim=(1, 2, 3))


def tone_shift(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""Mean square between coarse tones of a fusion and those of the mean of its exposures.

    .. math::
        \operatorname{mean} \left( P_8 \left( f - \tfrac{1}{2} \sum_k x_k \right)^2 \right)

    with averages P over squares of 8 pixels: tone is held, and detail left free. The mean of the
    exposures keeps the order of tones, and is what both of them resemble most.

    Args:
        fused: Fused plane, 0..255, not clamped. Shape (N, 1, H, W).
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Mean square in squared grey levels. Shape (N,).
    """
    shift = functional.avg_pool2d(fused - (under + over) / 2, TONE_CELL_PX)
    return shift.square().mean(dim=(1, 2, 3))


def variation(fused: Tensor) -> Tensor:
    r"""Total variation, the mean length of the gradient.

    .. math::
        \operatorname{mean} |\nabla f|

    with forward differences. It prefers a fusion without detail; it is here to be compared with.

    Args:
        fused: Fused plane, 0..255. Shape (N, 1, H, W).

    Returns:
        Grey levels a pixel. Shape (N,).

    Reference:
        Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal algorithms",
        Physica D 60 (1992).
    """
    return (_squared_gradient(fused) + STEADY).sqrt().mean(dim=(1, 2, 3))


def _squared_gradient(planes: Tensor) -> Tensor:
    horizontal = planes[..., :-1, 1:] - planes[..., :-1, :-1]
    vertical = planes[..., 1:, :-1] - planes[..., :-1, :-1]
    return horizontal.square() + vertical.square()
