"""Foreign hue: colour that no mix of the exposures has."""

from collections.abc import Sequence
from functools import reduce
from itertools import combinations
from operator import or_

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.blend.torch_colour import to_luma
from trainer.metrics.grey import Grey, check_compared, check_rgb
from trainer.metrics.guards.cells import average_worst
from trainer.metrics.windows import Plane

CELL_PX = 4
STEADY = 1e-2
"""Added to a squared chroma, which it keeps from dividing by nothing."""

STRIP_CELLS = 64


def hue_error(exposures: Sequence[Grey], fused: Grey) -> float:
    """Compute how far colours lie from any mix of the exposures' colours; lower is better.

    The definition is that of `foreign_hue`, with squares of 4 x 4 pixels: what a gain of chroma
    does to a mix of exposures costs nothing, a pink sky over a blue one does.

    Args:
        exposures: Two or more, RGB in sRGB, 0..255. Shape (H, W, 3) each, uint8, sides
            of at least 4.
        fused: Fused picture, likewise.

    Returns:
        Mean distance of chroma in grey levels, 0 or more.

    Raises:
        ValueError: There are fewer than two exposures, a picture is not RGB of 8 bits, or they
            differ in size.

    Reference:
        Ours.

    Example:
        >>> blue, white = (np.full((8, 8, 3), v, np.uint8) for v in ((30, 60, 150), (255,) * 3))
        >>> pink = np.full((8, 8, 3), (220, 200, 210), np.uint8)
        >>> pair = [blue, white]
        >>> round(hue_error(pair, blue // 2 + 100), 1), round(hue_error(pair, pink))
        (0.0, 13)
    """
    distances = _measure_picture(exposures, fused)
    return float(distances.mean()) if distances.size else 0.0


def hue_worst(exposures: Sequence[Grey], fused: Grey) -> float:
    """Compute `hue_error` where it is worst: the mean over the worst per cent of the squares.

    A violet edge around leaves is a small part of a picture and the first thing that an eye sees.

    Args:
        exposures: See `hue_error`.
        fused: See there.

    Returns:
        Mean distance of chroma in grey levels, 0 or more.

    Raises:
        ValueError: See there.

    Reference:
        Ours.
    """
    distances = _measure_picture(exposures, fused)
    return average_worst(distances) if distances.size else 0.0


def _measure_picture(exposures: Sequence[Grey], fused: Grey) -> Plane:
    """Distance of every square of a picture, see `foreign_hue`. Shape (h, w)."""
    check_compared(exposures)
    check_rgb(fused, *exposures)
    height, width = (side // CELL_PX for side in fused.shape[:2])
    distances = np.zeros((height, width))
    for row in range(0, height if width else 0, STRIP_CELLS):
        strip = slice(row * CELL_PX, (row + STRIP_CELLS) * CELL_PX)
        of_fused, *of_exposures = (
            torch.from_numpy(np.array(one[strip])).permute(2, 0, 1)[None].double()
            for one in (fused, *exposures)
        )
        distances[row : row + STRIP_CELLS] = _measure_cells(of_fused, of_exposures)[0].numpy()
    return distances


def foreign_hue(fused: Tensor, exposures: Sequence[Tensor]) -> Tensor:
    r"""How far the chroma of the fusion lies from any that a mix of its exposures could have.

    With the chroma of 4 x 4 pixels as a vector, c = (R - Y, B - Y) with the luma Y:

    .. math::
        \operatorname{mean} \; \min_{\alpha_k \ge 0}
        \left\| c(f) - \sum_k \alpha_k c(x_k) \right\|

    Any weights of the exposures, and any gain on their colour, cost nothing. Bands of a pyramid
    that are weighted otherwise than the tones below them do: a sky that loses its blue towards
    the horizon turns pink there, and leaves get a violet edge. More exposures allow more colours:
    in the plane of chroma any mix of theirs is a mix of two of them.

    Args:
        fused: Fused picture, sRGB-coded RGB, 0..255. Shape (N, 3, H, W), sides of at least 4.
        exposures: Two or more. Same shape each.

    Returns:
        Mean distance in grey levels. Shape (N,).

    Reference:
        Ours.
    """
    return _measure_cells(fused, exposures).mean(dim=(1, 2))


def _measure_cells(fused: Tensor, exposures: Sequence[Tensor]) -> Tensor:
    """The distance of `foreign_hue` of every 4 x 4 pixels. Shape (N, h, w)."""
    of_fused, *rays = (_opponents(rgb) for rgb in (fused, *exposures))
    is_mix = reduce(or_, (_is_between(of_fused, *two) for two in combinations(rays, 2)))
    to_ray = reduce(torch.minimum, (_to_ray(of_fused, ray) for ray in rays))
    return torch.where(is_mix, 0, to_ray)


def _opponents(rgb: Tensor) -> Tensor:
    """R - Y and B - Y of cells. Shape (N, 3, H, W) to (N, 2, h, w)."""
    cells = functional.avg_pool2d(rgb, CELL_PX)
    return (cells - to_luma(cells).unsqueeze(1))[:, ::2]


def _is_between(point: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Whether points lie inside the angle of two rays, (N, 2, h, w) each: (N, h, w)."""
    side = _cross(first, second)
    return (_cross(point, second) * side > 0) & (_cross(first, point) * side > 0)


def _to_ray(point: Tensor, ray: Tensor) -> Tensor:
    """Distance of points from rays that begin at neutral, (N, 2, h, w) both: (N, h, w)."""
    length = (ray.square().sum(dim=1) + STEADY).sqrt()
    is_ahead = (point * ray).sum(dim=1) > 0
    beside = _cross(point, ray).abs() / length
    return torch.where(is_ahead, beside, (point.square().sum(dim=1) + STEADY).sqrt())


def _cross(first: Tensor, second: Tensor) -> Tensor:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
