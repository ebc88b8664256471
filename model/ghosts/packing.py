"""Packs ghost maps into plain values, and unpacks them; loads no OpenCV.

What is packed here comes from a process that untrusted bytes may have taken over, and is unpacked
by others: so it is a shape and values, and no picture file that needs a decoder.
"""

import struct
import zlib
from math import prod

import numpy as np
from numpy.typing import NDArray

from model.ghosts.ghost_map import GhostMap, PackedGhost

Plane = NDArray[np.uint8]

_HEAD = struct.Struct("<III")
"""Height, width, channels; no channels stand for a plane without a third axis."""

_LEVEL = 1
"""Of zlib: planes of large areas become small at any."""


def pack_ghost(ghost: GhostMap) -> PackedGhost:
    """Pack a map; its arrays are compressed without loss."""
    return PackedGhost(
        pack_plane(ghost.mask),
        ghost.curve,
        ghost.trust,
        ghost.neighbour_curve,
        ghost.share,
        None if ghost.lift is None else pack_plane(ghost.lift),
    )


def unpack_ghost(packed: PackedGhost) -> GhostMap:
    """Undo `pack_ghost`."""
    return GhostMap(
        unpack_plane(packed.mask),
        packed.curve,
        packed.trust,
        packed.neighbour_curve,
        packed.share,
        None if packed.lift is None else unpack_plane(packed.lift),
    )


def pack_plane(plane: Plane) -> bytes:
    """A plane, (h, w) or (h, w, c), as bytes."""
    height, width, *more = plane.shape
    return _HEAD.pack(height, width, sum(more)) + zlib.compress(plane.tobytes(), _LEVEL)


def unpack_plane(packed: bytes) -> Plane:
    """Undo `pack_plane`.

    Raises:
        ValueError: The values are more or fewer than the shape says.

    Example:
        >>> unpack_plane(pack_plane(np.eye(2, dtype=np.uint8))).tolist()
        [[1, 0], [0, 1]]
    """
    shape = read_shape(packed)
    decompressor = zlib.decompressobj()
    try:
        values = decompressor.decompress(memoryview(packed)[_HEAD.size :], prod(shape))
    except zlib.error as error:
        raise ValueError("expected a packed plane, its values are damaged") from error
    if len(values) != prod(shape) or decompressor.decompress(decompressor.unconsumed_tail, 1):
        raise ValueError(f"expected a packed plane of {prod(shape)} values, got another number")
    return np.frombuffer(values, np.uint8).reshape(shape)


def read_shape(packed: bytes) -> tuple[int, ...]:
    """The shape that a packed plane says that it has.

    Raises:
        ValueError: It says none, or an empty one.
    """
    if len(packed) < _HEAD.size:
        raise ValueError(f"expected at least {_HEAD.size} bytes of a packed plane, got less")
    height, width, channels = _HEAD.unpack_from(packed)
    if not height or not width:
        raise ValueError(f"expected a plane with values, got {height}x{width}")
    return (height, width, channels) if channels else (height, width)
