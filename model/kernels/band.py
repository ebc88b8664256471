"""Describes a step of the collapse to compiled code: the fields of `BAND` in `steps.h`."""

import ctypes
from collections.abc import Sequence
from typing import Any


def band_fields(planes: type) -> Sequence[tuple[str, Any]]:
    """Fields of the structure, in order.

    Args:
        planes: What kernels of a kind know planes by.
    """
    return (
        ("exposures", ctypes.c_int),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("fine", planes),
        ("coarse", planes),
        ("fused", planes),
        ("result", planes),
        ("maps", ctypes.c_void_p),
        ("map_height", ctypes.c_int),
        ("map_width", ctypes.c_int),
        ("times", ctypes.c_int),
        ("top", ctypes.c_int),
        ("left", ctypes.c_int),
        ("saliency", ctypes.c_float),
        ("core_top", ctypes.c_int),
        ("core_left", ctypes.c_int),
        ("core_height", ctypes.c_int),
        ("core_width", ctypes.c_int),
    )
