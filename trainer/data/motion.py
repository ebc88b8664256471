"""What moves between two exposures of a training triple: an object, and the camera a little."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_CAMERA_PX = 1.0
"""What an alignment leaves, and a tripod on a wooden floor."""

OBJECT_SHARE = (0.08, 0.3)
"""Semi-axes of what moves, as a share of the picture's side."""

OBJECT_SHIFT_PX = (3.0, 24.0)
FEATHER_SHARE = 0.15
"""Width of an object's soft edge as a share of its smaller axis."""


def move_between(
    pictures: Sequence[NDArray[np.uint8]], rng: np.random.Generator
) -> list[NDArray[np.uint8]]:
    """Move something between the correct exposure and one of the others.

    An elliptic region of the under or the over exposure is replaced by a copy of that exposure,
    shifted, with a feathered edge; then the whole exposure is moved by a fraction of a pixel. The
    correct exposure stays, and with it the scene that the tasks compare with.

    Args:
        pictures: Under, correct and over exposure. Shape (S, S, 3) each, uint8.
        rng: Where the numbers come from.

    Returns:
        The pictures, one of them changed; the arguments are left as they are.
    """
    moved = list(pictures)
    which = 0 if rng.random() < 0.5 else 2
    moved[which] = _shift_camera(_move_object(moved[which], rng), rng)
    return moved


def _move_object(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    axes = rng.uniform(*OBJECT_SHARE, size=2) * (height, width)
    centre = rng.uniform(0, 1, size=2) * (height, width)
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(*OBJECT_SHIFT_PX)
    rows, columns = np.ogrid[:height, :width]
    # Distance from the edge in shares of the smaller axis, positive inside.
    radius = np.hypot((rows - centre[0]) / axes[0], (columns - centre[1]) / axes[1])
    opacity = np.clip((1 - radius) / FEATHER_SHARE, 0, 1)[..., None].astype(np.float32)
    other = _translate(picture, length * np.cos(angle), length * np.sin(angle))
    mixed = picture + opacity * (other.astype(np.float32) - picture)
    return np.asarray(np.rint(mixed), np.uint8)


def _shift_camera(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0, MAX_CAMERA_PX)
    return _translate(picture, length * np.cos(angle), length * np.sin(angle))


def _translate(picture: NDArray[np.uint8], right_px: float, down_px: float) -> NDArray[np.uint8]:
    """Shift by a fraction of a pixel; cubic, so that the picture keeps its sharpness."""
    matrix = np.array([[1, 0, right_px], [0, 1, down_px]])
    size = (picture.shape[1], picture.shape[0])
    shifted = cv2.warpAffine(
        picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(shifted, np.uint8)
