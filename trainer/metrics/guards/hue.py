"""Foreign hue: colour that no mix of the two exposures has."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.blend.network import to_luma
from trainer.metrics.grey import check_rgb

CELL_PX = 4
STEADY = 1e-2
"""Added to a squared chroma: a root has no slope at zero, where `foreign_hue` is a loss."""

STRIP_ROWS = 64 * CELL_PX


def hue_error(
    under: NDArray[np.generic], over: NDArray[np.generic], fused: NDArray[np.generic]
) -> float:
    """Compute how far colours lie from any mix of the exposures' colours; lower is better.

    The definition is that of `foreign_hue`, with squares of 4 x 4 pixels: what a gain of chroma
    does to a mix of both exposures costs nothing, a pink sky over a blue one does.

    Args:
        under: Darker exposure, RGB in sRGB, 0..255. Shape (H, W, 3), uint8, sides of at least 4.
        over: Brighter exposure, likewise.
        fused: Fused picture, likewise.

    Returns:
        Mean distance of chroma in grey levels, 0 or more.

    Raises:
        ValueError: A picture is not RGB of 8 bits, or they differ in size.

    Reference:
        Ours.

    Example:
        >>> blue, white = (np.full((8, 8, 3), v, np.uint8) for v in ((30, 60, 150), (255,) * 3))
        >>> pink = np.full((8, 8, 3), (220, 200, 210), np.uint8)
        >>> round(hue_error(blue, white, blue // 2 + 100), 1), round(hue_error(blue, white, pink))
        (0.0, 13)
    """
    pictures = (fused, under, over)
    check_rgb(*pictures)
    total, rows = 0.0, 0
    for top in range(0, fused.shape[0] - CELL_PX + 1, STRIP_ROWS):
        strips = [
            torch.from_numpy(np.array(one[top : top + STRIP_ROWS])).permute(2, 0, 1)[None].double()
            for one in pictures
        ]
        height = strips[0].shape[2] // CELL_PX
        total += height * foreign_hue(*strips).item()
        rows += height
    return total / rows if rows else 0.0


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


def subtract_luma(rgb: Tensor) -> Tensor:
    """R, G and B of cells as differences to their luma. Shape (N, 3, H, W) to (N, 3, h, w)."""
    cells = functional.avg_pool2d(rgb, CELL_PX)
    return cells - to_luma(cells).unsqueeze(1)


def _opponents(rgb: Tensor) -> Tensor:
    """R - Y and B - Y of cells. Shape (N, 3, H, W) to (N, 2, h, w)."""
    return subtract_luma(rgb)[:, ::2]


def _to_ray(point: Tensor, ray: Tensor) -> Tensor:
    """Distance of points from rays that begin at neutral, (N, 2, h, w) both: (N, h, w)."""
    length = (ray.square().sum(dim=1) + STEADY).sqrt()
    is_ahead = (point * ray).sum(dim=1) > 0
    beside = _cross(point, ray).abs() / length
    return torch.where(is_ahead, beside, (point.square().sum(dim=1) + STEADY).sqrt())


def _cross(first: Tensor, second: Tensor) -> Tensor:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
