"""Loss terms on coarse tones: haze in highlights, reversed order, rims beside strong edges."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.metrics.guards.halo import GAIN, REACHES, SLACK, STRONG_EDGE

ORDER_CELL_PX = 8
ORDER_OFFSETS = (
    *((0, 1), (1, 0), (1, 1), (1, -1), (0, 3), (3, 0), (2, 3), (3, -2)),
    *((0, 7), (7, 0), (5, 6), (6, -5), (0, 13), (13, 0), (9, 11), (11, -9)),
)
"""Rows and columns from a cell to the one that it is compared with, near and far."""

SAME_TONE = 1.0
"""Grey levels within which an exposure says nothing about the order of two cells."""

RIM_CELL_PX = 4

HAZE_CELL_PX = 16
BURNT = (0.85, 0.95)
"""Tone of the over exposure from which a cell begins to be burnt out, and at which it is."""

EXPOSED_SIGMA = 0.25
"""Of full scale; Mertens et al. have 0.2, which leaves a window that both exposures burn darker."""


def haze(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""How much brighter than well exposed the fusion is where one exposure is burnt out.

    Over cells of 16 x 16 pixels with tones u, o and f of 0..1:

    .. math::
        \operatorname{mean} \, 255^2 b \max(0, f - t)^2, \qquad
        t = \frac{w(u) u + w(o) o}{w(u) + w(o)}, \qquad
        w(x) = \exp\left( -\frac{(x - 1/2)^2}{2 \sigma^2} \right)

    and b rises from 0 to 1 while o rises from 0.85 to 0.95. The metrics leave the brightness of
    such places free; a sky or a window that half of a white cell was mixed into looks like fog.

    Args:
        fused: Fused plane, 0..255, not clamped. Shape (N, 1, H, W), sides of at least 16.
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Mean square in squared grey levels. Shape (N,).

    Reference:
        Ours; the weight w: Mertens, Kautz, Van Reeth, "Exposure fusion", Pacific Graphics 2007.
    """
    tones = functional.avg_pool2d(torch.cat([under, over, fused], dim=1) / 255, HAZE_CELL_PX)
    sources, tone = tones[:, :2], tones[:, 2]
    weights = torch.softmax(-(sources - 0.5).square() / (2 * EXPOSED_SIGMA**2), dim=1)
    wanted = (weights * sources).sum(dim=1)
    first, last = BURNT
    is_burnt = ((sources[:, 1] - first) / (last - first)).clamp(0, 1)
    return 255**2 * (is_burnt * (tone - wanted).clamp_min(0).square()).mean(dim=(1, 2))


def disorder(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""How far the fusion reverses the order of tones that both exposures agree on.

    Over pairs of cells (i, j) of 8 x 8 pixels, near and far:

    .. math::
        \operatorname{mean}_{ij} \; a_{ij} \max(0, -s_{ij} (f_i - f_j))

    with the sign s of the difference in both exposures, and a = 1 where they agree and each of
    them differs by more than a grey level; else 0. The pairs are the same in every step, so that
    a resumed run repeats an uninterrupted one; cells beyond the border are those of the other side.

    Args:
        fused: Fused plane, 0..255, not clamped. Shape (N, 1, H, W), sides of at least 8.
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Mean reversal in grey levels a pair. Shape (N,).

    Reference:
        Ours; the claim that a fusion should keep the order that its exposures share.
    """
    cells = functional.avg_pool2d(torch.cat([under, over, fused], dim=1), ORDER_CELL_PX)
    steps = torch.stack([cells - torch.roll(cells, offset, (2, 3)) for offset in ORDER_OFFSETS])
    step_u, step_o, step = steps.unbind(dim=2)
    is_shared = (step_u * step_o > 0) & (torch.minimum(step_u.abs(), step_o.abs()) > SAME_TONE)
    reversal = (-step * step_u.sign()).clamp_min(0)
    return (reversal * is_shared).mean(dim=(0, 2, 3))


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
