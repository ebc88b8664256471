"""Packs ghost maps into plain values, and unpacks them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.ghosts.ghost_map import GhostMap, PackedGhost


def pack_ghost(ghost: GhostMap) -> PackedGhost:
    """Pack a map; its mask is compressed without loss."""
    is_written, file = cv2.imencode(".png", ghost.mask)
    assert is_written
    return PackedGhost(file.tobytes(), ghost.curve, ghost.trust, ghost.neighbour_curve, ghost.share)


def unpack_ghost(packed: PackedGhost) -> GhostMap:
    """Undo `pack_ghost`."""
    file = np.frombuffer(packed.mask, np.uint8)
    mask: NDArray[np.uint8] = np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.uint8)
    return GhostMap(mask, packed.curve, packed.trust, packed.neighbour_curve, packed.share)
