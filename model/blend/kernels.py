"""Calls the compiled arithmetic of a blend: planes in, planes out, on the calling thread.

All planes are float32 and lie in one array without gaps: lumas, or sRGB as encoded, 0..1. A call
does not hold the interpreter's lock, and gives the same values for a pixel wherever its array
begins.
"""

import ctypes
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.blend.colour import RULE, ColourRule
from model.blend.definition import MAX_EXPOSURES
from model.exposure import Pixels
from model.kernels.native import CHANNELS, LIBRARY, Band, Colour, as_rows, of_type
from model.tiling import Rect

Planes: TypeAlias = NDArray[np.float32]
"""Shape (..., h, w)."""


def reduce_pixels(pixels: Pixels) -> Planes:
    """R, G and B of a picture at half its size, rounded up.

    Args:
        pixels: Shape (H, W, 3), uint8 or uint16; a window of a picture need not be copied.

    Returns:
        Shape (3, ceil(H / 2), ceil(W / 2)), 0..1.
    """
    height, width = pixels.shape[:2]
    planes = np.empty((CHANNELS, (height + 1) // 2, (width + 1) // 2), np.float32)
    _reduce(pixels, planes, is_luma=False)
    return planes


def reduce_lumas(exposures: Sequence[Pixels]) -> Planes:
    """Lumas of the exposures at half their size, see `torch_colour.to_luma`.

    Args:
        exposures: Shape (H, W, 3) each, uint8 or uint16; windows of pictures need not be copied.

    Returns:
        Shape (K, ceil(H / 2), ceil(W / 2)), 0..1.
    """
    height, width = exposures[0].shape[:2]
    lumas = np.empty((len(exposures), (height + 1) // 2, (width + 1) // 2), np.float32)
    for pixels, luma in zip(exposures, lumas, strict=True):
        _reduce(pixels, luma, is_luma=True)
    return lumas


def reduce_planes(planes: Planes) -> Planes:
    """See `model.blend.pyramid.down`; shape (..., h, w) to (..., (h + 1) // 2, (w + 1) // 2)."""
    planes = np.ascontiguousarray(planes, np.float32)
    *many, height, width = planes.shape
    reduced = np.empty((*many, (height + 1) // 2, (width + 1) // 2), np.float32)
    scratch = np.empty(width + 4, np.float32)
    LIBRARY.reduce_planes(
        planes.ctypes.data,
        planes.size // (height * width),
        height,
        width,
        reduced.ctypes.data,
        scratch.ctypes.data,
    )
    return reduced


def halve_maps(maps: Planes, times: int) -> Planes:
    """Average 2x2 cells a number of times; a cell cut by the border averages what it has.

    Args:
        maps: Shape (..., h, w).
        times: Number of times, at least 0.

    Returns:
        Shape (..., ceil(h / 2^times), ceil(w / 2^times)).
    """
    for _ in range(times):
        maps = np.ascontiguousarray(maps, np.float32)
        *many, height, width = maps.shape
        halved = np.empty((*many, (height + 1) // 2, (width + 1) // 2), np.float32)
        count = maps.size // (height * width)
        LIBRARY.halve_cells(maps.ctypes.data, count, height, width, halved.ctypes.data)
        maps = halved
    return maps


def add_band(
    fused: Planes,
    fine: Planes,
    coarse: Planes,
    maps: Planes,
    *,
    times: int,
    place: Rect,
    saliency: float,
) -> Planes:
    """One step of the collapse, see `BlendNetwork.add_band`.

    Args:
        fused: The fused luma one level above. Shape (h, w).
        fine: Lumas of the exposures at this level. Shape (K, H, W).
        coarse: The same one level above. Shape (K, h, w).
        maps: c_0 to c_3 of every exposure, then the logarithm of the band's gain, at the network's
            level. Shape (4 K + 1, ...).
        times: Levels from the maps down to this one.
        place: Where H and W lie in the picture at this level.
        saliency: The weight of the logarithm of local contrast; 0 leaves it out.

    Returns:
        The fused luma at this level. Shape (H, W).
    """
    exposures, height, width = fine.shape
    if (place.height, place.width) != (height, width):
        raise ValueError(f"expected levels that fit {fine.shape}, got {place}")
    given = [np.ascontiguousarray(one, np.float32) for one in (fine, coarse, fused, maps)]
    _check_levels(exposures, place, given[1:])
    result = np.empty((height, width), np.float32)
    band = _describe(
        given, place, times=times, saliency=saliency, core=Rect(0, 0, height, width), result=result
    )
    LIBRARY.add_band(ctypes.byref(band))
    return result


def blend_pixels(
    exposures: Sequence[Pixels],
    fused: Planes,
    coarse: Planes,
    maps: Planes,
    *,
    times: int,
    place: Rect,
    core: Rect,
    saliency: float,
    rule: ColourRule = RULE,
) -> Pixels:
    """The last step of the collapse, given colour by `mix_colour` and rounded to pixels.

    Args:
        exposures: Shape (H, W, 3) each, of one type; windows of pictures need not be copied.
        fused: See `add_band`.
        coarse: See `add_band`.
        maps: See `add_band`.
        times: See `add_band`.
        place: Where H and W lie in the picture.
        core: What is wanted of the picture, within `place`.
        saliency: See `add_band`.
        rule: The numbers of the mix of colour.

    Returns:
        Shape (core.height, core.width, 3), of the exposures' type.
    """
    size = place.height, place.width
    if any(one.shape[:2] != size for one in exposures) or not place.contains(core):
        raise ValueError(f"expected exposures of the size of {place} and a core in it, got {core}")
    given = [np.ascontiguousarray(one, np.float32) for one in (coarse, fused, maps)]
    _check_levels(len(exposures), place, given)
    rows = [as_rows(pixels) for pixels in exposures]
    result = np.empty((core.height, core.width, CHANNELS), exposures[0].dtype)
    band = _describe(
        [None, *given], place, times=times, saliency=saliency, core=core.relative_to(place)
    )
    colour = Colour(
        (ctypes.c_void_p * len(rows))(*(pixels.ctypes.data for pixels, _ in rows)),
        (ctypes.c_ssize_t * len(rows))(*(row_pixels for _, row_pixels in rows)),
        result.ctypes.data, *rule,
    )  # fmt: skip
    of_type(LIBRARY, "blend", result)(ctypes.byref(band), ctypes.byref(colour))
    return result


def _check_levels(exposures: int, place: Rect, given: Sequence[Planes]) -> None:
    coarse, fused, maps = given
    above = ((place.height + 1) // 2, (place.width + 1) // 2)
    if (
        exposures > MAX_EXPOSURES
        or coarse.shape != (exposures, *above)
        or fused.shape != above
        or maps.shape[:-2] != (4 * exposures + 1,)
    ):
        raise ValueError(
            f"expected levels that fit {exposures} exposures, at most {MAX_EXPOSURES}, at {place}, "
            f"got {coarse.shape} above, {fused.shape} fused, {maps.shape} maps"
        )


def _describe(
    given: Sequence[Planes | None],
    place: Rect,
    *,
    times: int,
    saliency: float,
    core: Rect,
    result: Planes | None = None,
) -> Band:
    """A step as the kernel takes it; what it points to must live as long as it does."""
    coarse, maps = given[1], given[3]
    assert coarse is not None
    assert maps is not None
    fine_at, coarse_at, fused_at, maps_at, result_at = (
        None if one is None else one.ctypes.data for one in (*given, result)
    )
    return Band(
        len(coarse), place.height, place.width, fine_at, coarse_at, fused_at, result_at, maps_at,
        *maps.shape[-2:], times, place.top, place.left, saliency,
        core.top, core.left, core.height, core.width,
    )  # fmt: skip


def _reduce(pixels: Pixels, planes: Planes, *, is_luma: bool) -> None:
    height, width = pixels.shape[:2]
    given, row_pixels = as_rows(pixels)
    reduce = of_type(LIBRARY, "reduce", pixels)
    reduce(given.ctypes.data, row_pixels, height, width, is_luma, planes.ctypes.data)
