"""Packs ghost maps into plain values, and unpacks them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.ghosts.ghost_map import GhostMap, PackedGhost

Plane = NDArray[np.uint8]


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
    """A plane, (h, w), as a PNG file."""
    is_written, file = cv2.imencode(".png", plane)
    assert is_written
    return file.tobytes()


def unpack_plane(file: bytes) -> Plane:
    """Undo `pack_plane`."""
    return np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
