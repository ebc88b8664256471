"""Describes what the GPU's kernels are given, and the grids of blocks that compute it.

The structures' fields are those of the source, which the machine that runs it compiles.
"""

import ctypes
from pathlib import Path
from typing import NamedTuple, Protocol

from model.kernels.band import band_fields

FOLDER = Path(__file__).parent
SOURCE = "fusion.cu"
SHARED = ("scalars.h", "rgb.h", "colour_rule.h", "steps.h")
"""What the CPU's kernels include too."""

KERNELS = ("gpu_reduce.h", "gpu_collapse.h", "gpu_warp.h")
HEADERS = ("blocks.h", "one_lane.h", *SHARED, "gpu_pixels.h", *KERNELS)

THREADS = 256
"""Threads of a block, `blocks.h`."""

HALF_WIDTH, HALF_HEIGHT = 32, 8
TILE_WIDTH, TILE_HEIGHT = 32, 16
WARPED_WIDTH, WARPED_HEIGHT = 32, 8
REACH = 2
CHANNELS = 3
FLOAT_BYTES = 4


class Planes(ctypes.Structure):
    """Planes of floats; rows and planes may have gaps. Distances in floats."""

    _fields_ = (
        ("first", ctypes.c_void_p),
        ("row", ctypes.c_ssize_t),
        ("plane", ctypes.c_ssize_t),
    )


class Pictures(ctypes.Structure):
    """Interleaved pixels of exposures. Distances in samples."""

    _fields_ = (
        ("first", ctypes.c_void_p),
        ("row", ctypes.c_ssize_t),
        ("exposure", ctypes.c_ssize_t),
    )


class PixelReduction(ctypes.Structure):
    """What `reduce_pixels_uint8` and `reduce_pixels_uint16` are given."""

    _fields_ = (
        ("pixels", Pictures),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("planes", Planes),
        ("lumas", Planes),
    )


class PlaneReduction(ctypes.Structure):
    """What `reduce_planes` is given."""

    _fields_ = (
        ("planes", Planes),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("reduced", Planes),
    )


class Band(ctypes.Structure):
    """What `add_band` is given."""

    _fields_ = band_fields(Planes)


class Blend(ctypes.Structure):
    """What `blend_pixels_uint8` and `blend_pixels_uint16` are given."""

    _fields_ = (
        ("band", Band),
        ("pixels", Pictures),
        ("result", Pictures),
        ("numbers", ctypes.c_float * 6),
    )


class Warp(ctypes.Structure):
    """What `warp_uint8` and `warp_uint16` are given."""

    _fields_ = (
        ("moving", Pictures),
        ("region_top", ctypes.c_int),
        ("region_left", ctypes.c_int),
        ("moving_height", ctypes.c_int),
        ("moving_width", ctypes.c_int),
        ("map", ctypes.c_double * 9),
        ("top", ctypes.c_int),
        ("left", ctypes.c_int),
        ("height", ctypes.c_int),
        ("width", ctypes.c_int),
        ("pixels", Pictures),
        ("planes", Planes),
    )


class Grid(NamedTuple):
    """Blocks of a launch, and the bytes of a block's room."""

    across: int
    down: int
    deep: int
    room_bytes: int


class Launcher(Protocol):
    """What computes the kernels of `fusion.cu`."""

    def launch(self, name: str, given: ctypes.Structure, grid: Grid) -> None:
        """Compute a grid by a kernel; on a device, after what its stream was given before.

        Args:
            name: Of the kernel.
            given: The structure that it takes.
            grid: The blocks.
        """
        ...


def grid_of_reduction(height: int, width: int, planes: int, *, channels: int = 1) -> Grid:
    """The grid that reduces planes, or exposures of interleaved channels.

    Args:
        height: Of what is reduced.
        width: Likewise.
        planes: How many there are.
        channels: Interleaved in each.

    Example:
        >>> grid_of_reduction(33, 130, 6)
        Grid(across=3, down=3, deep=6, room_bytes=2144)
    """
    span = 2 * HALF_WIDTH + 2 * REACH - 1
    across, down = _cover((height + 1) // 2, (width + 1) // 2, HALF_HEIGHT, HALF_WIDTH)
    return Grid(across, down, planes, FLOAT_BYTES * HALF_HEIGHT * span * channels)


def grid_of_band(height: int, width: int, exposures: int) -> Grid:
    """The grid that adds a band to a core of so many pixels.

    Example:
        >>> grid_of_band(17, 32, 9)
        Grid(across=1, down=2, deep=1, room_bytes=48960)
    """
    across, down = _cover(height, width, TILE_HEIGHT, TILE_WIDTH)
    high, wide = TILE_HEIGHT + 2 * REACH, TILE_WIDTH + 2 * REACH
    return Grid(across, down, 1, FLOAT_BYTES * exposures * high * (wide + TILE_WIDTH))


def grid_of_warp(height: int, width: int) -> Grid:
    """The grid that samples a window of so many pixels."""
    return Grid(*_cover(height, width, WARPED_HEIGHT, WARPED_WIDTH), 1, 0)


def _cover(height: int, width: int, down: int, across: int) -> tuple[int, int]:
    return -(-width // across), -(-height // down)
