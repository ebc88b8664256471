"""Calls the compiled arithmetic of a blend: planes in, planes out, on the calling thread.

All planes are float32 and lie in one array without gaps; sRGB as encoded, 0..1. A call does not
hold the interpreter's lock, and gives the same values for a pixel wherever its array begins.
"""

import ctypes
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels
from model.kernels.native import CHANNELS, LIBRARY, Band, as_rows, of_type
from model.tiling import Rect

Planes: TypeAlias = NDArray[np.float32]
"""Shape (..., h, w)."""


def load_planes(exposures: Sequence[Pixels]) -> Planes:
    """A window of every exposure as planes.

    Args:
        exposures: Shape (H, W, 3) each, uint8 or uint16; windows of pictures need not be copied.

    Returns:
        Shape (K, 3, H, W), 0..1.
    """
    height, width = exposures[0].shape[:2]
    stack = np.empty((len(exposures), CHANNELS, height, width), np.float32)
    for pixels, planes in zip(exposures, stack, strict=True):
        _load(pixels, planes)
    return stack


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
    bias: float,
    saliency: float,
) -> Planes:
    """One step of the collapse, see `BlendNetwork.add_band`.

    Args:
        fused: The fused picture one level above. Shape (3, h, w).
        fine: The exposures at this level. Shape (K, 3, H, W).
        coarse: The exposures one level above. Shape (K, 3, h, w).
        maps: c_0 to c_3 of every exposure, then the logarithm of the band's gain before it is
            bounded, at the network's level. Shape (4 K + 1, ...).
        times: Levels from the maps down to this one.
        place: Where H and W lie in the picture at this level.
        bias: Logarithm of the gain that all its pixels share.
        saliency: The weight of the logarithm of local contrast; 0 leaves it out.

    Returns:
        The fused picture at this level. Shape (3, H, W).
    """
    exposures, channels, height, width = fine.shape
    above = ((height + 1) // 2, (width + 1) // 2)
    if (
        channels != CHANNELS
        or coarse.shape != (exposures, CHANNELS, *above)
        or fused.shape != (CHANNELS, *above)
        or maps.shape[:-2] != (4 * exposures + 1,)
        or (place.height, place.width) != (height, width)
    ):
        raise ValueError(
            f"expected levels that fit {fine.shape} at {place}, got {coarse.shape} above, "
            f"{fused.shape} fused, {maps.shape} maps"
        )
    given = [np.ascontiguousarray(one, np.float32) for one in (fine, coarse, fused, maps)]
    result = np.empty((CHANNELS, height, width), np.float32)
    scratch = np.empty(LIBRARY.count_scratch(exposures, width), np.float32)
    fine_at, coarse_at, fused_at, maps_at = (one.ctypes.data for one in given)
    band = Band(
        exposures, height, width, fine_at, coarse_at, fused_at, result.ctypes.data, maps_at,
        *maps.shape[-2:], times, place.top, place.left, bias, saliency,
    )  # fmt: skip
    LIBRARY.add_band(ctypes.byref(band), scratch.ctypes.data)
    return result


def finish_pixels(fused: Planes, core: Rect, like: Pixels, chroma_gain: float) -> Pixels:
    """Multiply chroma and round to pixels: half to even, then clamp to full scale.

    Args:
        fused: The fused picture of a window, 0..1. Shape (3, h, w), without gaps.
        core: The part of it that is kept.
        like: Pixels of the type to return.
        chroma_gain: What the distance from the luma is multiplied by.

    Returns:
        Shape (core.height, core.width, 3).
    """
    kept = fused[:, *core.slices]
    pixels = np.empty((core.height, core.width, CHANNELS), like.dtype)
    finish = of_type(LIBRARY, "finish", like)
    plane_bytes, row_bytes = kept.strides[:2]
    finish(
        kept.ctypes.data,
        plane_bytes // kept.itemsize,
        row_bytes // kept.itemsize,
        core.height,
        core.width,
        chroma_gain,
        pixels.ctypes.data,
    )
    return pixels


def _load(pixels: Pixels, planes: Planes) -> None:
    height, width = pixels.shape[:2]
    given, row_pixels = as_rows(pixels)
    load = of_type(LIBRARY, "load", pixels)
    load(given.ctypes.data, row_pixels, height, width, planes.ctypes.data)
