"""Builds Laplacian pyramids on tensors.

Borders follow cv2.pyrDown and cv2.pyrUp, by index, so that sides of one pixel work and a
pyramid on the CPU by OpenCV's kernels is the same pyramid.
"""

import torch
from torch import Tensor
from torch.nn import functional

from model.tiling import Rect

TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""Burt and Adelson's generating kernel with a = 3/8: the binomial of order four."""


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
