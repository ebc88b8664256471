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
from model.exposure import Pixels
from model.kernels.native import CHANNELS, LIBRARY, Band, Colour, as_rows, of_type
from model.tiling import Rect

Planes: TypeAlias = NDArray[np.float32]
"""Shape (..., h, w)."""


def load_planes(pixels: Pixels) -> Planes:
    """R, G and B of a picture as planes.

    Args:
        pixels: Shape (H, W, 3), uint8 or uint16; a window of a picture need not be copied.

    Returns:
        Shape (3, H, W), 0..1.
    """
    planes = np.empty((CHANNELS, *pixels.shape[:2]), np.float32)
    _load("load", pixels, planes)
    return planes


def load_lumas(exposures: Sequence[Pixels]) -> Planes:
    """Lumas of the exposures, see `torch_colour.to_luma`.

    Args:
        exposures: Shape (H, W, 3) each, uint8 or uint16; windows of pictures need not be copied.

    Returns:
        Shape (K, H, W), 0..1.
    """
    lumas = np.empty((len(exposures), *exposures[0].shape[:2]), np.float32)
    for pixels, luma in zip(exposures, lumas, strict=True):
        _load("load_luma", pixels, luma)
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
    above = ((height + 1) // 2, (width + 1) // 2)
    if (
        coarse.shape != (exposures, *above)
        or fused.shape != above
        or maps.shape[:-2] != (4 * exposures + 1,)
        or (place.height, place.width) != (height, width)
    ):
        raise ValueError(
            f"expected levels that fit {fine.shape} at {place}, got {coarse.shape} above, "
            f"{fused.shape} fused, {maps.shape} maps"
        )
    given = [np.ascontiguousarray(one, np.float32) for one in (fine, coarse, fused, maps)]
    result = np.empty((height, width), np.float32)
    scratch = np.empty(LIBRARY.count_scratch(exposures, width), np.float32)
    fine_at, coarse_at, fused_at, maps_at = (one.ctypes.data for one in given)
    band = Band(
        exposures, height, width, fine_at, coarse_at, fused_at, result.ctypes.data, maps_at,
        *maps.shape[-2:], times, place.top, place.left, saliency,
    )  # fmt: skip
    LIBRARY.add_band(ctypes.byref(band), scratch.ctypes.data)
    return result


def colour_pixels(exposures: Sequence[Pixels], luma: Planes, rule: ColourRule = RULE) -> Pixels:
    """Give a fused luma the exposures' colour, see `mix_colour`, and round it to pixels.

    Args:
        exposures: Shape (H, W, 3) each, of one type; windows of pictures need not be copied.
        luma: The fused luma, 0..1. Shape (H, W); a window of a plane need not be copied.
        rule: Its numbers.

    Returns:
        Shape (H, W, 3), of the exposures' type.
    """
    height, width = exposures[0].shape[:2]
    if luma.shape != (height, width) or any(one.shape[:2] != luma.shape for one in exposures):
        raise ValueError(f"expected exposures of the size of the luma, {luma.shape}")
    if luma.dtype != np.float32 or luma.strides[1] != luma.itemsize:
        luma = np.ascontiguousarray(luma, np.float32)
    rows = [as_rows(pixels) for pixels in exposures]
    result = np.empty((height, width, CHANNELS), exposures[0].dtype)
    colour = Colour(
        len(rows), height, width,
        (ctypes.c_void_p * len(rows))(*(given.ctypes.data for given, _ in rows)),
        (ctypes.c_ssize_t * len(rows))(*(row_pixels for _, row_pixels in rows)),
        luma.ctypes.data, luma.strides[0] // luma.itemsize, result.ctypes.data, *rule,
    )  # fmt: skip
    of_type(LIBRARY, "colour", result)(ctypes.byref(colour))
    return result


def _load(name: str, pixels: Pixels, planes: Planes) -> None:
    height, width = pixels.shape[:2]
    given, row_pixels = as_rows(pixels)
    load = of_type(LIBRARY, name, pixels)
    load(given.ctypes.data, row_pixels, height, width, planes.ctypes.data)
