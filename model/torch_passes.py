"""Calls the GPU's kernels on tensors: checks sizes and types, and describes what they are given.

Every function gives the work to a launcher and returns at once; on a device the results are there
for whatever its stream is given next.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.kernels.grids import (
    CHANNELS,
    Band,
    Blend,
    Launcher,
    Pictures,
    PixelReduction,
    PlaneReduction,
    Planes,
    Warp,
    grid_of_band,
    grid_of_reduction,
    grid_of_warp,
)
from model.tiling import Rect

TYPE_NAMES = {torch.uint8: "uint8", torch.uint16: "uint16"}

NO_PLANES = Planes(None, 0, 0)
NO_PICTURES = Pictures(None, 0, 0)


def half_of(height: int, width: int) -> tuple[int, int]:
    """Height and width of what is reduced by two, rounded up."""
    return (height + 1) // 2, (width + 1) // 2


def reduce_pixels(
    launcher: Launcher, pixels: Tensor, *, planes: Tensor | None, lumas: Tensor | None
) -> None:
    """Bring exposures to half their size, rounded up.

    Args:
        launcher: What computes.
        pixels: Shape (K, H, W, 3), uint8 or uint16.
        planes: For R, G and B of every exposure, 0..1. Shape (3 K, h, w), float32.
        lumas: For the exposures' lumas, 0..1. Shape (K, h, w), float32.
    """
    count, height, width, _ = pixels.shape
    half = half_of(height, width)
    _check_planes("planes", planes, (CHANNELS * count, *half))
    _check_planes("lumas", lumas, (count, *half))
    given = PixelReduction(
        _describe_pictures(pixels),
        height,
        width,
        NO_PLANES if planes is None else _describe_planes(planes),
        NO_PLANES if lumas is None else _describe_planes(lumas),
    )
    grid = grid_of_reduction(height, width, count, channels=CHANNELS)
    launcher.launch(f"reduce_pixels_{TYPE_NAMES[pixels.dtype]}", given, grid)


def reduce_planes(launcher: Launcher, planes: Tensor, reduced: Tensor | None = None) -> Tensor:
    """See `model.blend.torch_pyramid.down`.

    Args:
        launcher: What computes.
        planes: Shape (P, H, W), float32.
        reduced: Where to write; a new tensor where it is None. Shape (P, h, w).

    Returns:
        The planes at half their size, rounded up.
    """
    count, height, width = planes.shape
    shape = (count, *half_of(height, width))
    _check_planes("planes", planes, (count, height, width))
    result = planes.new_empty(shape) if reduced is None else reduced
    _check_planes("reduced planes", result, shape)
    given = PlaneReduction(_describe_planes(planes), height, width, _describe_planes(result))
    launcher.launch("reduce_planes", given, grid_of_reduction(height, width, count))
    return result


class Level(NamedTuple):
    """What a step of the collapse knows of a level's place and of its maps.

    Attributes:
        maps: c_0 to c_3 of every exposure, then the logarithm of the band's gain, at the network's
            level. Shape (4 K + 1, ...), float32, contiguous.
        times: Levels from the maps down to this one.
        place: Where the level's arrays lie in the picture at this level.
        saliency: The weight of the logarithm of local contrast; 0 leaves it out.
    """

    maps: Tensor
    times: int
    place: Rect
    saliency: float


def add_band(
    launcher: Launcher, fused: Tensor, fine: Tensor, coarse: Tensor, level: Level
) -> Tensor:
    """One step of the collapse, see `BlendNetwork.add_band`.

    Args:
        launcher: What computes.
        fused: The fused luma one level above. Shape (h, w).
        fine: Lumas of the exposures at this level. Shape (K, H, W).
        coarse: The same one level above. Shape (K, h, w).
        level: The level.

    Returns:
        The fused luma at this level. Shape (H, W).
    """
    height, width = level.place.height, level.place.width
    _check_planes("lumas", fine, (len(fine), height, width))
    result = fine.new_empty(height, width)
    core = Rect(0, 0, height, width)
    band = _describe_band(len(fine), fused, coarse, level, core)
    band.fine, band.result = _describe_planes(fine), _describe_planes(result[None])
    launcher.launch("add_band", band, grid_of_band(height, width, len(fine)))
    return result


def blend_pixels(
    launcher: Launcher,
    pixels: Tensor,
    fused: Tensor,
    coarse: Tensor,
    level: Level,
    *,
    core: Rect,
    rule: tuple[float, ...],
) -> Tensor:
    """The last step of the collapse, given colour by `mix_colour` and rounded to pixels.

    Args:
        launcher: What computes.
        pixels: The exposures. Shape (K, H, W, 3), uint8 or uint16.
        fused: See `add_band`.
        coarse: See `add_band`.
        level: The level.
        core: What is wanted of the picture, within the level's place.
        rule: The numbers of the mix of colour, `ColourRule`.

    Returns:
        Shape (core.height, core.width, 3), of the exposures' type.
    """
    count, height, width, _ = pixels.shape
    place = level.place
    if (place.height, place.width) != (height, width) or not place.contains(core):
        raise ValueError(f"expected exposures of the size of {place} and a core in it, got {core}")
    result = pixels.new_empty(core.height, core.width, CHANNELS)
    given = Blend(
        _describe_band(count, fused, coarse, level, core.relative_to(place)),
        _describe_pictures(pixels),
        _describe_pictures(result[None]),
        rule,
    )
    grid = grid_of_band(core.height, core.width, count)
    launcher.launch(f"blend_pixels_{TYPE_NAMES[pixels.dtype]}", given, grid)
    return result


class Moving(NamedTuple):
    """An exposure that is warped, or what of it is needed.

    Attributes:
        pixels: What is there. Shape (h, w, 3), uint8 or uint16.
        region: Where that lies in the exposure.
        height: Of the whole exposure.
        width: Likewise.
    """

    pixels: Tensor
    region: Rect
    height: int
    width: int


def warp_pixels(
    launcher: Launcher,
    moving: Moving,
    to_moving: NDArray[np.float64],
    target: Rect,
    out: Tensor | None = None,
) -> Tensor:
    """See `model.torch_warp.warp_pixels`.

    Args:
        launcher: What computes.
        moving: What is sampled.
        to_moving: Reference pixel -> moving pixel. Shape (3, 3).
        target: The window, in reference pixels.
        out: Where to write; a new tensor where it is None.

    Returns:
        The window. Shape (target.height, target.width, 3), of the moving exposure's type.
    """
    shape = (target.height, target.width, CHANNELS)
    result = moving.pixels.new_empty(shape) if out is None else out
    if tuple(result.shape) != shape or result.dtype != moving.pixels.dtype:
        raise ValueError(f"expected room for {shape} of {moving.pixels.dtype}, got {result.shape}")
    _warp(launcher, moving, to_moving, target, _describe_pictures(result[None]), NO_PLANES)
    return result


def warp_planes(
    launcher: Launcher, moving: Moving, to_moving: NDArray[np.float64], target: Rect
) -> Tensor:
    """See `warp_pixels`; encoded sRGB, 0..1, that is not rounded. Shape (3, H, W), float32."""
    size = (target.height, target.width)
    result = torch.empty((CHANNELS, *size), device=moving.pixels.device)
    _warp(launcher, moving, to_moving, target, NO_PICTURES, _describe_planes(result))
    return result


def _warp(
    launcher: Launcher,
    moving: Moving,
    to_moving: NDArray[np.float64],
    target: Rect,
    pixels: Pictures,
    planes: Planes,
) -> None:
    given = Warp(
        _describe_pictures(moving.pixels[None]), moving.region.top, moving.region.left,
        moving.height, moving.width, tuple(np.asarray(to_moving, np.float64).flatten().tolist()),
        target.top, target.left, target.height, target.width, pixels, planes,
    )  # fmt: skip
    name = f"warp_{TYPE_NAMES[moving.pixels.dtype]}"
    launcher.launch(name, given, grid_of_warp(target.height, target.width))


def _describe_band(exposures: int, fused: Tensor, coarse: Tensor, level: Level, core: Rect) -> Band:
    place, maps = level.place, level.maps
    above = half_of(place.height, place.width)
    _check_planes("lumas above", coarse, (exposures, *above))
    _check_planes("the fused luma", fused[None], (1, *above))
    _check_planes("maps", maps, (4 * exposures + 1, *maps.shape[1:]))
    if not maps.is_contiguous():
        raise ValueError(f"expected maps without gaps, got strides {maps.stride()}")
    return Band(
        exposures, place.height, place.width,
        NO_PLANES, _describe_planes(coarse), _describe_planes(fused[None]), NO_PLANES,
        maps.data_ptr(), *maps.shape[1:], level.times, place.top, place.left, level.saliency,
        core.top, core.left, core.height, core.width,
    )  # fmt: skip


def _describe_planes(planes: Tensor) -> Planes:
    plane, row, _ = planes.stride()
    return Planes(planes.data_ptr(), row, plane)


def _describe_pictures(pixels: Tensor) -> Pictures:
    """Of exposures, (K, H, W, 3), whose rows are without gaps inside."""
    exposure, row, column, channel = pixels.stride()
    if pixels.dtype not in TYPE_NAMES or pixels.shape[-1] != CHANNELS:
        raise ValueError(f"expected pixels of uint8 or uint16, got {pixels.dtype} {pixels.shape}")
    # A side of one pixel has a distance that says nothing.
    if channel != 1 or (column != CHANNELS and pixels.shape[2] > 1):
        raise ValueError(f"expected interleaved pixels, got strides {pixels.stride()}")
    return Pictures(pixels.data_ptr(), row, exposure)


def _check_planes(what: str, planes: Tensor | None, shape: tuple[int, ...]) -> None:
    if planes is None:
        return
    if tuple(planes.shape) != shape or planes.dtype != torch.float32:
        raise ValueError(
            f"expected {what} of shape {shape}, float32, got {tuple(planes.shape)}, {planes.dtype}"
        )
    if planes.stride(-1) != 1 and planes.shape[-1] > 1:
        raise ValueError(f"expected {what} whose rows have no gaps, got {planes.stride()}")
