"""Steps on the planes of a reduced exposure: a channel at a time stays in the processor's cache."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.ghosts.curves import Levels, Proxy

Plane = NDArray[np.uint8]


class Planes(NamedTuple):
    """Red, green and blue of a small picture. Shape (h, w) each, uint8."""

    red: Plane
    green: Plane
    blue: Plane

    @classmethod
    def of(cls, proxy: Proxy) -> "Planes":
        """The channels of a proxy (h, w, 3)."""
        red, green, blue = cv2.split(proxy)
        return cls(np.asarray(red), np.asarray(green), np.asarray(blue))

    def rows(self, rows: slice) -> "Planes":
        """Some of the rows."""
        return Planes(self.red[rows], self.green[rows], self.blue[rows])

    def every_second(self) -> "Planes":
        """Every second row and column."""
        return Planes(*(np.ascontiguousarray(plane[::2, ::2]) for plane in self))

    def halved(self) -> "Planes":
        """The mean of two by two pixels."""
        return Planes(*map(halve, self))

    def worst(self, *, is_brighter: bool) -> Plane:
        """The channel that predicts a brighter, or a darker, exposure least: lowest, or highest."""
        extreme = cv2.min if is_brighter else cv2.max
        return np.asarray(extreme(extreme(self.red, self.green), self.blue), np.uint8)

    def mapped(self, curves: Levels) -> "Planes":
        """Each channel by its curve, (3, 256)."""
        return Planes(*map(look_up, curves, self))

    def bounded(self, bounds: Levels, is_lowest: bool) -> "Planes":
        """Each channel not below, or not above, its bound, (3,)."""
        limit = cv2.max if is_lowest else cv2.min
        red, green, blue = map(limit, self, np.rint(bounds).tolist())
        return Planes(np.asarray(red), np.asarray(green), np.asarray(blue))

    def mixed(self, other: "Planes", weight: NDArray[np.float32]) -> "Planes":
        """As much of the other one as the weight, (h, w), 0..1, says."""
        return Planes(*(mix(one, two, weight) for one, two in zip(self, other, strict=True)))

    def grey(self) -> Plane:
        """The luma."""
        return np.asarray(cv2.cvtColor(cv2.merge(self), cv2.COLOR_RGB2GRAY), np.uint8)


def halve(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of two by two pixels; an odd last row or column is left out."""
    height, width = plane.shape[0] // 2, plane.shape[1] // 2
    # At exactly one half OpenCV has a path that is ten times as fast.
    even = plane[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def look_up(curve: Levels, plane: Plane) -> Plane:
    """Apply a curve, (256,), to levels."""
    return np.asarray(cv2.LUT(plane, np.rint(curve).astype(np.uint8)), np.uint8)


def mix(one: Plane, other: Plane, weight: NDArray[np.float32]) -> Plane:
    """As much of the other plane as the weight, 0..1, says."""
    return np.asarray(cv2.blendLinear(other, one, weight, 1 - weight), np.uint8)


def share_within(plane: Plane, lowest: int, highest: int) -> float:
    """Share of the pixels whose level is none below the one and none above the other, 0..1."""
    return cv2.countNonZero(cv2.inRange(plane, lowest, highest)) / plane.size
