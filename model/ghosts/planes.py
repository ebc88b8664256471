"""Steps on the planes of a reduced exposure: a channel at a time stays in the processor's cache."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.ghosts.curves import Levels, Proxy

Plane = NDArray[np.uint8]
Planes = NDArray[np.uint8]
"""Red, green and blue of a small picture. Shape (3, h, w), without gaps."""


def to_planes(proxy: Proxy) -> Planes:
    """The channels of a proxy (h, w, 3)."""
    planes: Planes = np.empty((proxy.shape[2], *proxy.shape[:2]), np.uint8)
    cv2.split(proxy, list(planes))
    return planes


def find_worst(planes: Planes, *, is_brighter: bool) -> Plane:
    """The channel that predicts a brighter, or a darker, exposure least: lowest, or highest."""
    extreme = cv2.min if is_brighter else cv2.max
    red, green, blue = planes
    return np.asarray(extreme(extreme(red, green), blue), np.uint8)


def mix_planes(planes: Planes, other: Planes, weight: NDArray[np.float32]) -> Planes:
    """As much of the other ones as the weight, (h, w), 0..1, says."""
    return np.stack([mix(one, two, weight) for one, two in zip(planes, other, strict=True)])


def halve(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of two by two pixels; an odd last row or column is left out."""
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    # At exactly one half OpenCV has a path that is ten times as fast.
    even = plane[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def look_up(curve: Levels, plane: Plane) -> Plane:
    """Apply a curve, (256,), to levels."""
    return np.asarray(cv2.LUT(plane, to_bytes(curve)), np.uint8)


def to_bytes(levels: Levels) -> NDArray[np.uint8]:
    """Levels, 0..255, to the nearest whole ones."""
    return np.rint(levels).astype(np.uint8)


def mix(one: Plane, other: Plane, weight: NDArray[np.float32]) -> Plane:
    """As much of the other plane as the weight, 0..1, says."""
    return np.asarray(cv2.blendLinear(other, one, weight, 1 - weight), np.uint8)
