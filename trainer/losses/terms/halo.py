"""Loss term `halo`: rims beside strong edges."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.term import LossTerm
from trainer.metrics.guards.halo import GAIN, REACHES, SLACK, STRONG_EDGE

RIM_CELL_PX = 4


def rims(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""How far the fusion overshoots beside strong edges, in per cent of their contrast.

    The guard `trainer.metrics.guards.halo` on cells of 4 x 4 pixels, and with half of its slack:
    what is just beyond sight is to be mended too.

    Args:
        fused: Fused plane, 0..255, not clamped. Shape (N, 1, H, W), sides of at least 44.
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Overshoot in per cent; 0 where there is no strong edge. Shape (N,).

    Reference:
        Ours.
    """
    tones = functional.avg_pool2d(torch.cat([under, over, fused], dim=1), RIM_CELL_PX)
    overshoot = contrast = torch.zeros_like(fused[:, 0, 0, 0])
    for along in (tones, tones.transpose(2, 3)):
        for towards in (along, along.flip(3)):
            of_side, at_edges = _look_right(towards)
            overshoot, contrast = overshoot + of_side, contrast + at_edges
    return 100 * overshoot / contrast.clamp_min(STRONG_EDGE)


def _look_right(tones: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of overshoot and contrast over the edges whose right side is looked at."""
    count = tones.shape[3] - 2 - max(REACHES)
    foot = tones[..., 2 : 2 + count]
    with torch.no_grad():
        rise_u, rise_o = (foot - tones[..., :count])[:, :2].unbind(dim=1)
        contrast = torch.maximum(rise_u.abs(), rise_o.abs())
        contrast = contrast * ((rise_u * rise_o > 0) & (contrast > STRONG_EDGE))
    overshoot = torch.zeros_like(contrast)
    for reach in REACHES:
        beyond = tones[..., 2 + reach : 2 + reach + count]
        of_under, of_over, of_fused = (rise_u.sign()[:, None] * (foot - beyond)).unbind(dim=1)
        allowed = GAIN * torch.maximum(of_under, of_over).clamp_min(0) + SLACK / 2
        overshoot = torch.maximum(overshoot, of_fused - allowed)
    return (overshoot * (contrast > 0)).sum(dim=(1, 2)), contrast.sum(dim=(1, 2))


TERM = LossTerm(
    key="halo",
    name="rims",
    words="rims",
    explanation=(
        "Rims: overshoot of coarse tones beside strong edges, in per cent of their contrast."
    ),
    position=100,
    compute=lambda planes, options: rims(planes.fused, planes.under, planes.over),
)
