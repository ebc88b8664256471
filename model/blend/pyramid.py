"""Builds Laplacian pyramids on tensors, and decides what each level of a picture is for.

Borders follow cv2.pyrDown and cv2.pyrUp, by index, so that sides of one pixel work and a
pyramid on the CPU by OpenCV's kernels is the same pyramid.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from model.tiling import Rect

TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""Burt and Adelson's generating kernel with a = 3/8: the binomial of order four."""

MIN_NETWORK_LEVEL = 2
MAX_REDUCTION = 3
COARSE_BANDS = 3
"""Bands above the network's level; the base lies over them."""

GROUPS = MIN_NETWORK_LEVEL + COARSE_BANDS + 1
BANDS = GROUPS - 1


@dataclass(frozen=True, slots=True)
class Levels:
    """What each level of a picture's pyramid is for.

    Attributes:
        network: Level that the network looks at.
        base: Level of the base, above the last band.
        reduction: Level down to which windows of the picture itself are blended.
    """

    network: int
    base: int
    reduction: int

    def group_of(self, level: int) -> int:
        """Group whose coefficients a level uses.

        Levels far below the network's share one: they are the same detail at more pixels.
        """
        return max(level - (self.network - MIN_NETWORK_LEVEL), 0)


def plan_levels(height: int, width: int, *, network_side_px: int) -> Levels:
    """Choose the levels of a picture by its longer side.

    The network's level is the first, from the second on, at which the longer side has at most
    `network_side_px` pixels.

    Args:
        height: Height of the picture, at least 1.
        width: Width of the picture, at least 1.
        network_side_px: Longest side that the network looks at.

    Returns:
        The levels.

    Example:
        >>> plan_levels(3000, 4000, network_side_px=256)
        Levels(network=4, base=7, reduction=3)
    """
    if min(height, width, network_side_px) < 1:
        raise ValueError(
            f"expected positive sides, got {width}x{height} and a network side {network_side_px}"
        )
    level = MIN_NETWORK_LEVEL
    while -(-max(height, width) >> level) > network_side_px:
        level += 1
    return Levels(level, level + COARSE_BANDS, min(level, MAX_REDUCTION))


def size_at(height: int, width: int, level: int) -> tuple[int, int]:
    """Height and width at a level: halved and rounded up, level times."""
    return -(-height >> level), -(-width >> level)


def reduce_halo(reduction: int) -> int:
    """Margin that a window needs so that its core is right once reduced, on the grid 2^reduction.

    Each reduction reads two pixels of the level below on either side.

    Example:
        >>> [reduce_halo(reduction) for reduction in (2, 3)]
        [8, 16]
    """
    return _on_grid(2 * (2**reduction - 1), 2**reduction)


def blend_halo(reduction: int) -> int:
    """Margin that a window needs so that its core is right once blended, on the grid 2^reduction.

    From a border that is not the picture's, wrong pixels grow inwards. The exposures are right at
    the finest level, and at the level `reduction`, where they and what is fused come from
    the whole picture. A reduction in between spoils ceil((e + 2) / 2) pixels where e were spoilt,
    an expansion 2 e + 2, the smoothing of contrasts 2 more.

    Example:
        >>> [blend_halo(reduction) for reduction in (2, 3)]
        [12, 24]
    """
    exposures = [0]
    for _ in range(reduction - 1):
        exposures.append((exposures[-1] + 3) // 2)
    exposures.append(0)
    fused = 0
    for level in reversed(range(reduction)):
        bands = max(exposures[level], 2 * exposures[level + 1] + 2)
        fused = max(2 * fused + 2, bands + 2)
    return _on_grid(fused, 2**reduction)


def _on_grid(length: int, grid: int) -> int:
    return -(-length // grid) * grid


def down(planes: Tensor) -> Tensor:
    """Reduce by two: smooth by the binomial and keep every second pixel, the first one too.

    Args:
        planes: Any planes. Shape (..., H, W).

    Returns:
        Shape (..., (H + 1) // 2, (W + 1) // 2), dtype and device of the input.

    Reference:
        Burt and Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Commun.
        1983: REDUCE. Ours: reflection at the border instead of extrapolation, as cv2.pyrDown.
    """
    return _filter(planes, stride=2)


def smooth(planes: Tensor) -> Tensor:
    """Smooth planes, shape (..., H, W), by the binomial; what lies outside is reflected."""
    return _filter(planes, stride=1)


def up(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Expand by two.

    Args:
        planes: Any planes. Shape (..., h, w).
        size: Height and width of the result, 2 h or 2 h - 1 and 2 w or 2 w - 1.

    Returns:
        Shape (..., *size), dtype and device of the input.

    Reference:
        Burt and Adelson 1983: EXPAND. Ours: reflection at the first border and repetition at the
        last, as cv2.pyrUp.
    """
    return _expand(_expand(planes, -1)[..., : size[1]], -2)[..., : size[0], :]


def repeat_halving(maps: Tensor, times: int) -> Tensor:
    """Average 2x2 cells a number of times; a cell cut by the border averages what it has."""
    for _ in range(times):
        maps = functional.avg_pool2d(maps, 2, ceil_mode=True, count_include_pad=False)
    return maps


def magnify(maps: Tensor, times: int, place: Rect) -> Tensor:
    """Bring maps a number of levels down by bilinear interpolation between cell centres.

    Pixel i lies at (i + 1/2) / 2^times - 1/2 of the maps, whose edge cells reach to the border.

    Args:
        maps: Maps of the whole picture at a coarse level. Shape (N, C, h, w).
        times: Number of levels, at least 0.
        place: The pixels of the result that are asked for.

    Returns:
        Shape (N, C, place.height, place.width), the same whatever else is asked for.
    """
    if times == 0:
        return maps[..., place.slices[0], place.slices[1]]
    cells, inside = find_cells(place, times, maps.shape[-2], maps.shape[-1])
    rows, columns = cells.slices
    fine = functional.interpolate(
        maps[..., rows, columns], scale_factor=float(2**times), mode="bilinear", align_corners=False
    )
    rows, columns = inside.slices
    return fine[..., rows, columns]


def find_cells(place: Rect, times: int, height: int, width: int) -> tuple[Rect, Rect]:
    """The cells of a map that bilinear interpolation touches, and the place in what they become.

    One cell more than the place covers is taken on each side, where there is one: the edge of
    what is taken then decides only pixels that the edge of the map decides.

    Args:
        place: Pixels of the fine level.
        times: Levels between it and the map, at least 1.
        height: Height of the map.
        width: Width of the map.

    Returns:
        The cells, and the place counted from their first pixel.
    """
    top, left = max((place.top >> times) - 1, 0), max((place.left >> times) - 1, 0)
    bottom = min((place.bottom - 1 >> times) + 2, height)
    right = min((place.right - 1 >> times) + 2, width)
    cells = Rect(top, left, bottom - top, right - left)
    return cells, place.relative_to(Rect(top << times, left << times, 0, 0))


def _filter(planes: Tensor, *, stride: int) -> Tensor:
    return _filter_axis(_filter_axis(planes, -1, stride), -2, stride)


def _filter_axis(planes: Tensor, axis: int, stride: int) -> Tensor:
    """The binomial along one axis; sums of slices take a third of a convolution's time here."""
    length = planes.shape[axis]
    extended = _reflect(planes, axis)
    places = [slice(tap, length + tap, stride) for tap in range(len(TAPS))]
    first, second, centre, fourth, fifth = (
        extended[..., place] if axis == -1 else extended[..., place, :] for place in places
    )
    return TAPS[0] * (first + fifth) + TAPS[1] * (second + fourth) + TAPS[2] * centre


def _reflect(planes: Tensor, axis: int) -> Tensor:
    """Two more pixels at both ends of an axis, mirrored at the pixel that is the border."""
    length = planes.shape[axis]
    outside = (-2, -1, length, length + 1)
    ends = [planes.narrow(axis, mirror(index, length), 1) for index in outside]
    return torch.cat([*ends[:2], planes, *ends[2:]], dim=axis)


def mirror(index: int, length: int) -> int:
    """Index within 0..length - 1 that a mirror at the first and the last pixel shows.

    Example:
        >>> [mirror(index, 3) for index in (-2, -1, 3, 4)], mirror(-2, 1)
        ([2, 1, 1, 0], 0)
    """
    if length == 1:
        return 0
    index = index % (2 * length - 2)
    return min(index, 2 * length - 2 - index)


def _expand(planes: Tensor, axis: int) -> Tensor:
    length = planes.shape[axis]
    first = planes.narrow(axis, mirror(-1, length), 1)
    last = planes.narrow(axis, length - 1, 1)
    before = torch.cat([first, planes.narrow(axis, 0, length - 1)], dim=axis)
    after = torch.cat([planes.narrow(axis, 1, length - 1), last], dim=axis)
    even = (before + 6 * planes + after) / 8
    odd = (planes + after) / 2
    positive = axis % planes.dim()
    return torch.stack((even, odd), dim=positive + 1).flatten(positive, positive + 1)
