"""Loss term `detail`: gradients of the stronger exposure that the fusion lost."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.gradient import STEADY, squared_gradient
from trainer.losses.planes import Planes
from trainer.losses.term import LossTerm, Options, TermOption


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
        strength_under, strength_over, strength = squared_gradient(planes).chunk(3)
        wanted = gain * (torch.maximum(strength_under, strength_over) + STEADY).sqrt()
        shortfall = (wanted - (strength + STEADY).sqrt()).clamp_min(0)
        total = total + shortfall.mean(dim=(1, 2, 3)) / scales
    return total


def _compute(planes: Planes, options: Options) -> Tensor:
    return lost_detail(
        planes.shown,
        planes.under,
        planes.over,
        gain=options["detail_gain"],
        scales=int(options["detail_scales"]),
    )


TERM = LossTerm(
    key="detail",
    name="lost_detail",
    words="lost gradients",
    explanation=(
        "Lost gradients: how far those of the output stay behind {detail_gain} times the stronger "
        "exposure's, on {detail_scales} scales; not in the paper."
    ),
    position=30,
    compute=_compute,
    options=(
        TermOption("detail_gain", 1.0, above=0),
        TermOption("detail_scales", 3, at_least=1, at_most=5),
    ),
)
