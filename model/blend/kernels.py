r"""Calls the compiled arithmetic of a blend, `kernels.c`: planes in, planes out, on this thread.

All planes are float32 and lie in one array without gaps; sRGB as encoded, 0..1. A call does not
hold the interpreter's lock, and gives the same values for a pixel wherever its array begins.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels
from model.tiling import Rect

Planes: TypeAlias = NDArray[np.float32]
"""Shape (..., h, w)."""

CHANNELS = 3


class _Band(ctypes.Structure):
    """What `add_band` is given; the fields are those of the structure in `kernels.c`."""

    _fields_ = (
        ("exposures", ctypes.c_int),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("fine", ctypes.c_void_p),
        ("coarse", ctypes.c_void_p),
        ("fused", ctypes.c_void_p),
        ("result", ctypes.c_void_p),
        ("maps", ctypes.c_void_p),
        ("map_height", ctypes.c_int),
        ("map_width", ctypes.c_int),
        ("times", ctypes.c_int),
        ("top", ctypes.c_int),
        ("left", ctypes.c_int),
        ("bias", ctypes.c_float),
        ("saliency", ctypes.c_float),
    )


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
    _KERNELS.reduce_planes(
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
    scratch = np.empty(_KERNELS.count_scratch(exposures, width), np.float32)
    fine_at, coarse_at, fused_at, maps_at = (one.ctypes.data for one in given)
    band = _Band(
        exposures, height, width, fine_at, coarse_at, fused_at, result.ctypes.data, maps_at,
        *maps.shape[-2:], times, place.top, place.left, bias, saliency,
    )  # fmt: skip
    _KERNELS.add_band(ctypes.byref(band), scratch.ctypes.data)
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
    finish = _KERNELS.finish_uint8 if like.dtype == np.uint8 else _KERNELS.finish_uint16
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
    pixel_bytes = CHANNELS * pixels.itemsize
    has_gaps = pixels.strides[1:] != (pixel_bytes, pixels.itemsize)
    given: NDArray[Any] = pixels
    if has_gaps or pixels.strides[0] % pixel_bytes:
        given = np.ascontiguousarray(pixels)
    load = _KERNELS.load_uint8 if pixels.dtype == np.uint8 else _KERNELS.load_uint16
    row_pixels = given.strides[0] // pixel_bytes
    load(given.ctypes.data, row_pixels, height, width, planes.ctypes.data)


def list_libraries() -> list[Path]:
    """The compiled libraries that this machine can run, the fastest first."""
    # A feature that OpenCV knows and the machine lacks has a question mark. Every processor of
    # today with AVX2 has FMA.
    has_avx2 = "AVX2" in cv2.getCPUFeaturesLine().replace("*", "").split()
    names = ("kernels_avx2", "kernels_any") if has_avx2 else ("kernels_any",)
    paths = [Path(__file__).with_name(f"{name}.so") for name in names]
    return [path for path in paths if path.exists()]


def open_library(path: Path) -> ctypes.CDLL:
    """Load a library and declare its functions."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _open_fastest() -> ctypes.CDLL:
    libraries = list_libraries()
    if not libraries:
        raise ImportError(
            "expected the compiled kernels of model.blend, found none: "
            "`pip install --editable .` compiles them"
        )
    return open_library(libraries[0])


_SIZE, _AT, _WHOLE = ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_int
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "load_uint8": (None, [_AT, _SIZE, _WHOLE, _WHOLE, _AT]),
    "load_uint16": (None, [_AT, _SIZE, _WHOLE, _WHOLE, _AT]),
    "reduce_planes": (None, [_AT, _WHOLE, _WHOLE, _WHOLE, _AT, _AT]),
    "count_scratch": (ctypes.c_size_t, [_WHOLE, _WHOLE]),
    "add_band": (None, [ctypes.POINTER(_Band), _AT]),
    "finish_uint8": (None, [_AT, _SIZE, _SIZE, _WHOLE, _WHOLE, ctypes.c_float, _AT]),
    "finish_uint16": (None, [_AT, _SIZE, _SIZE, _WHOLE, _WHOLE, ctypes.c_float, _AT]),
}

_KERNELS = _open_fastest()
