"""Opens the fastest of the compiled libraries that this machine can run.

A call does not hold the interpreter's lock.
"""

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

from model.exposure import Pixels
from model.kernels.band import band_fields

CHANNELS = 3


class Band(ctypes.Structure):
    """What `add_band` is given; the fields are those of the structure in `collapse.c`."""

    _fields_ = band_fields(ctypes.c_void_p)


class Colour(ctypes.Structure):
    """What `blend_uint8` and `blend_uint16` are given besides, as in `colour.h`."""

    _fields_ = (
        ("pixels", ctypes.POINTER(ctypes.c_void_p)),
        ("row_pixels", ctypes.POINTER(ctypes.c_ssize_t)),
        ("result", ctypes.c_void_p),
        ("slope", ctypes.c_float),
        ("high", ctypes.c_float),
        ("low", ctypes.c_float),
        ("offset", ctypes.c_float),
        ("gain", ctypes.c_float),
        ("turn", ctypes.c_float),
    )


class Convolution(ctypes.Structure):
    """What `convolve` is given; the fields are those of the structure in `look.c`."""

    _fields_ = (
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("margin", ctypes.c_int),
        ("inputs", ctypes.c_int),
        ("outputs", ctypes.c_int),
        ("reach", ctypes.c_int),
        ("given", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("after", ctypes.c_void_p),
        ("result", ctypes.c_void_p),
    )


class Mix(ctypes.Structure):
    """A convolution of single pixels, as in `look.c`."""

    _fields_ = (
        ("inputs", ctypes.c_int),
        ("outputs", ctypes.c_int),
        ("is_rectified", ctypes.c_int),
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
    )


class Decision(ctypes.Structure):
    """What `pool_rows` and `decide_rows` are given, as in `look.c`."""

    _fields_ = (
        ("exposures", ctypes.c_int),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("margin", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("groups", ctypes.c_int),
        ("terms", ctypes.c_int),
        ("bands", ctypes.c_int),
        ("features", ctypes.POINTER(ctypes.c_void_p)),
        ("seen", ctypes.POINTER(ctypes.c_void_p)),
        ("own", Mix),
        ("shared", Mix),
        ("of_seen", Mix),
        ("of_features", Mix),
        ("of_most", Mix),
        ("of_gains", Mix),
        ("maps", ctypes.c_void_p),
    )


class Comparison(ctypes.Structure):
    """An exposure and what is expected of it, as in `contradiction.c`."""

    _fields_ = (
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("is_brighter", ctypes.c_int),
        ("exposure", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("least", ctypes.c_void_p),
        ("most", ctypes.c_void_p),
        ("spread", ctypes.c_void_p),
        ("trust", ctypes.c_void_p),
    )


class Tolerance(ctypes.Structure):
    """What differs without contradicting, as in `contradiction.c`."""

    _fields_ = (
        ("scales", ctypes.c_int),
        ("least_side", ctypes.c_int),
        ("luma", ctypes.c_float * CHANNELS),
        ("spread", ctypes.c_float),
        ("floor", ctypes.c_float),
        ("luma_of_colour", ctypes.c_float),
        ("hue_of_colour", ctypes.c_float),
        ("hue_weight", ctypes.c_float),
    )


def as_rows(pixels: Pixels) -> tuple[Pixels, int]:
    """Pixels whose rows have no gaps, and the distance of two rows in pixels.

    Args:
        pixels: Shape (H, W, 3), uint8 or uint16. A window of a picture is not copied.
    """
    pixel_bytes = CHANNELS * pixels.itemsize
    has_gaps = pixels.strides[1:] != (pixel_bytes, pixels.itemsize)
    if has_gaps or pixels.strides[0] % pixel_bytes:
        pixels = pixels.copy()
    return pixels, pixels.strides[0] // pixel_bytes


def of_type(library: ctypes.CDLL, name: str, pixels: Pixels) -> Callable[..., None]:
    """The function of a name for the type of some pixels, uint8 or uint16."""
    function: Callable[..., None] = getattr(library, f"{name}_{pixels.dtype.name}")
    return function


def list_libraries() -> list[Path]:
    """The compiled libraries that this machine can run, the fastest first."""
    # A feature that OpenCV knows and the machine lacks has a question mark. Every processor of
    # today with AVX2 has FMA; those of AVX512-SKX have what the compiler takes for x86-64-v4.
    features = cv2.getCPUFeaturesLine().replace("*", "").split()
    names = [name for name, feature in _FEATURES.items() if feature in (None, *features)]
    paths = [Path(__file__).with_name(f"{name}.so") for name in names]
    return [path for path in paths if path.exists()]


def open_library(path: Path) -> ctypes.CDLL:
    """Load a library and declare its functions."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
    return library


def _open_fastest() -> ctypes.CDLL:
    libraries = list_libraries()
    if not libraries:
        raise ImportError(
            "expected the compiled kernels of expofuse, found none: "
            "`pip install --editable .` compiles them"
        )
    return open_library(libraries[0])


_FEATURES = {"native_avx512": "AVX512-SKX", "native_avx2": "AVX2", "native_any": None}
"""What each library needs, as OpenCV names it; the fastest first."""

_SIZE, _AT, _WHOLE = ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_int
_REDUCE = [_AT, _SIZE, _WHOLE, _WHOLE, _WHOLE, _AT]
_AREA = [_AT, _SIZE, *[_WHOLE] * 5, ctypes.c_float, _AT, _AT]
_WARP = [_AT, _WHOLE, _WHOLE, _SIZE, _AT, _WHOLE, _WHOLE, _WHOLE, _WHOLE, _AT]
_SIGNATURES: dict[str, tuple[type | None, Sequence[type]]] = {
    "reduce_uint8": (None, _REDUCE),
    "reduce_uint16": (None, _REDUCE),
    "reduce_planes": (None, [_AT, _WHOLE, _WHOLE, _WHOLE, _AT, _AT]),
    "halve_cells": (None, [_AT, _WHOLE, _WHOLE, _WHOLE, _AT]),
    "add_band": (None, [ctypes.POINTER(Band)]),
    "blend_uint8": (None, [ctypes.POINTER(Band), ctypes.POINTER(Colour)]),
    "blend_uint16": (None, [ctypes.POINTER(Band), ctypes.POINTER(Colour)]),
    "count_convolve_scratch": (ctypes.c_size_t, [ctypes.POINTER(Convolution)]),
    "convolve": (None, [ctypes.POINTER(Convolution), _AT]),
    "count_look_scratch": (ctypes.c_size_t, [ctypes.POINTER(Decision)]),
    "pool_rows": (None, [ctypes.POINTER(Decision), _WHOLE, _WHOLE, _AT, _AT]),
    "decide_rows": (None, [ctypes.POINTER(Decision), _WHOLE, _WHOLE, _AT]),
    "see": (None, [_AT, _AT, _AT, _WHOLE, _WHOLE, _WHOLE, _AT, _AT]),
    "area_uint8": (None, _AREA),
    "area_uint16": (None, _AREA),
    "count_area_scratch": (ctypes.c_size_t, [_WHOLE, _WHOLE, _WHOLE, _WHOLE]),
    "expect_levels": (None, [_AT, _WHOLE, _AT, _AT, _AT, _WHOLE, _AT, _AT, _AT, _AT, _AT]),
    "sum_trusted": (None, [ctypes.POINTER(Comparison), _AT]),
    "count_contradiction_scratch": (ctypes.c_size_t, [_WHOLE, _WHOLE]),
    "score_contradiction": (
        None,
        [ctypes.POINTER(Comparison), ctypes.POINTER(Tolerance), _AT, _AT],
    ),
    "cross_spectrum": (None, [_AT, _AT, _WHOLE, _WHOLE, ctypes.c_float, _AT]),
    "cut_patches": (None, [_AT, _WHOLE, _WHOLE, _AT, _AT, _WHOLE, _WHOLE, _AT]),
    "count_patches_scratch": (ctypes.c_size_t, [_WHOLE, _WHOLE]),
    "correlate_patches": (None, [_AT, _AT, _WHOLE, _WHOLE, _WHOLE, _AT, _AT, _AT]),
    "count_levels": (None, [_AT, _AT, _AT, _WHOLE, _AT]),
    "read_ranks": (None, [_AT, _WHOLE, _AT]),
    "count_brightest": (_WHOLE, [_AT, _WHOLE, _WHOLE, _WHOLE]),
    "count_shown": (_WHOLE, [_AT, _WHOLE, _WHOLE, _WHOLE]),
    "warp_uint8": (None, _WARP),
    "warp_uint16": (None, _WARP),
    "warp_float_uint8": (None, _WARP),
    "warp_float_uint16": (None, _WARP),
}

LIBRARY = _open_fastest()
"""The compiled functions."""
