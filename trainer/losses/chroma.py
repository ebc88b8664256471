"""Loss terms on colour: chroma that the fusion lost, and hue that neither exposure has."""

import torch
from torch import Tensor
from torch.nn import functional

from model.blend.network import to_luma

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


def foreign_hue(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""How far the chroma of the fusion lies from any that a mix of its exposures could have.

    With the chroma of 4 x 4 pixels as a vector, c = (R - Y, B - Y) with the luma Y:

    .. math::
        \operatorname{mean} \; \min_{\alpha, \beta \ge 0}
        \left\| c(f) - \alpha c(u) - \beta c(o) \right\|

    Any weights of the exposures, and any gain on their colour, cost nothing. Bands of a pyramid
    that are weighted otherwise than the tones below them do: a sky that loses its blue towards
    the horizon turns pink there, and leaves get a violet edge.

    Args:
        fused: Fused picture, sRGB-coded RGB, 0..255. Shape (N, 3, H, W), sides of at least 4.
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Mean distance in grey levels. Shape (N,).

    Reference:
        Ours.
    """
    of_fused, of_under, of_over = (_opponents(rgb) for rgb in (fused, under, over))
    side = _cross(of_under, of_over)
    is_mix = (_cross(of_fused, of_over) * side > 0) & (_cross(of_under, of_fused) * side > 0)
    to_ray = torch.minimum(_to_ray(of_fused, of_under), _to_ray(of_fused, of_over))
    return torch.where(is_mix, 0, to_ray).mean(dim=(1, 2))


def _to_ray(point: Tensor, ray: Tensor) -> Tensor:
    """Distance of points from rays that begin at neutral, (N, 2, h, w) both: (N, h, w)."""
    length = (ray.square().sum(dim=1) + STEADY).sqrt()
    is_ahead = (point * ray).sum(dim=1) > 0
    beside = _cross(point, ray).abs() / length
    return torch.where(is_ahead, beside, (point.square().sum(dim=1) + STEADY).sqrt())


def _cross(first: Tensor, second: Tensor) -> Tensor:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def _opponents(rgb: Tensor) -> Tensor:
    """R - Y and B - Y of cells. Shape (N, 3, H, W) to (N, 2, h, w)."""
    return _differences(rgb)[:, ::2]


def _chroma(rgb: Tensor) -> Tensor:
    return (_differences(rgb).square().sum(dim=1) + STEADY).sqrt()


def _differences(rgb: Tensor) -> Tensor:
    """R, G and B of cells as differences to their luma. Shape (N, 3, H, W) to (N, 3, h, w)."""
    cells = functional.avg_pool2d(rgb, CELL_PX)
    return cells - rgb_to_luma(cells)
