"""Loss term `order`: coarse tones whose order is reversed."""

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.term import LossTerm

ORDER_CELL_PX = 8
ORDER_OFFSETS = (
    *((0, 1), (1, 0), (1, 1), (1, -1), (0, 3), (3, 0), (2, 3), (3, -2)),
    *((0, 7), (7, 0), (5, 6), (6, -5), (0, 13), (13, 0), (9, 11), (11, -9)),
)
"""Rows and columns from a cell to the one that it is compared with, near and far."""

SAME_TONE = 1.0
"""Grey levels within which an exposure says nothing about the order of two cells."""


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


TERM = LossTerm(
    key="order",
    name="disorder",
    words="disorder",
    explanation="Disorder: how far coarse tones reverse an order that both exposures agree on.",
    position=90,
    compute=lambda planes, options: disorder(planes.fused, planes.under, planes.over),
)
