"""A loss term on colour: chroma of the exposures that the fusion lost."""

import torch
from torch import Tensor
from torch.nn import functional

from model.blend_network import to_luma

CELL_PX = 4
STEADY = 1e-2
"""Added to a squared chroma: a root has no slope at zero."""


def rgb_to_luma(rgb: Tensor) -> Tensor:
    """The grey that the metrics look at, of any scale. Shape (N, 3, H, W) to (N, 1, H, W)."""
    return to_luma(rgb).unsqueeze(1)


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
    cells = functional.avg_pool2d(rgb, CELL_PX)
    difference = cells - rgb_to_luma(cells)
    return (difference.square().sum(dim=1) + STEADY).sqrt()
