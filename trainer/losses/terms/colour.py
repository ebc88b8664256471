"""Loss term `colour`: chroma of the more colourful exposure that the fusion lost."""

import torch
from torch import Tensor

from trainer.losses.planes import Planes
from trainer.losses.term import LossTerm, Options
from trainer.metrics.guards.hue import STEADY, subtract_luma


def lost_colour(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""How far the chroma of the fusion stays behind that of its more colourful exposure.

    .. math::
        \operatorname{mean} \max\left(0, \max_k |P_4(x_k - Y(x_k))| - |P_4(f - Y(f))|\right)

    with the luma Y and averages P over squares of 4 pixels, in which the noise of chroma cancels.
    A fusion as colourful as asked for, or more, costs nothing.

    Args:
        fused: Fused picture, sRGB-coded RGB, 0..255. Shape (N, 3, H, W).
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Mean shortfall in grey levels a cell. Shape (N,).

    Reference:
        Ours.
    """
    wanted = torch.maximum(_chroma(under), _chroma(over))
    return (wanted - _chroma(fused)).clamp_min(0).mean(dim=(1, 2))


def _chroma(rgb: Tensor) -> Tensor:
    return (subtract_luma(rgb).square().sum(dim=1) + STEADY).sqrt()


def _compute(planes: Planes, options: Options) -> Tensor:
    colours = planes.colours
    return lost_colour(colours.fused, colours.under, colours.over)


TERM = LossTerm(
    key="colour",
    name="lost_colour",
    words="lost colour",
    explanation=(
        "Lost colour: how far the chroma of 4 x 4 pixels stays behind the more colourful "
        "exposure's."
    ),
    position=110,
    compute=_compute,
    needs_rgb=True,
)
