"""Finds patches of exposures that may lie on each other already, without reducing all of them."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from model.alignment.patches import (
    FINE_REACH_PX,
    PATCH_RADIUS_PX,
    PatchFit,
    Places,
    choose_strongest,
    match_patches,
    smooth,
)
from model.alignment.view import ExposureView
from model.side_by_side import map_parts

CELLS = 200
"""Patches tried over the frame, at most about this many."""

EDGE_PX = 3
"""What smoothing reaches beyond a window."""

Grey = NDArray[np.float32]


def match_near_rest(moving: ExposureView, fixed: ExposureView) -> PatchFit | None:
    """Fit a homography to patches sought within `FINE_REACH_PX` of where they lie.

    The patches are those of `refine_homography` about the identity, but fewer, and cut from the
    exposures themselves: the proxies need not be there.

    Args:
        moving: One exposure.
        fixed: The reference exposure, of the same size.

    Returns:
        The fit between the proxies of the first look; None where too few patches are found again.
    """
    places = _choose_places(moving, fixed)
    if len(places) == 0:
        return None

    def cut(some: Places) -> tuple[Grey, Grey]:
        patches = _cut_windows(moving, some, PATCH_RADIUS_PX)
        return patches, _cut_windows(fixed, some, PATCH_RADIUS_PX + FINE_REACH_PX)

    width, height = fixed.proxy_size()
    return match_patches(cut, places, np.eye(3), (height, width))


def _choose_places(moving: ExposureView, fixed: ExposureView) -> Places:
    """Pixels (x, y) of the proxies where both exposures have most structure. Shape (M, 2)."""
    step, factor = fixed.look_step, fixed.proxy_factor
    block = max(3, PATCH_RADIUS_PX * factor // step)
    strengths = map_parts(lambda view: view.measure_structure(block), (moving, fixed))
    strength = np.asarray(np.minimum(*strengths), np.float32)
    cell = max(PATCH_RADIUS_PX * factor // step, math.ceil(math.sqrt(strength.size / CELLS)))
    places = (choose_strongest(strength, cell) * step + step // 2) // factor
    reach = PATCH_RADIUS_PX + FINE_REACH_PX + EDGE_PX
    last = np.array(fixed.proxy_size()) - 1 - reach
    is_inside = ((places >= reach) & (places <= last)).all(axis=1)
    return np.asarray(places[is_inside], np.int64)


def _cut_windows(view: ExposureView, places: Places, radius: int) -> Grey:
    """AGC-corrected, smoothed windows of the proxy. Shape (M, 2 radius + 1, 2 radius + 1)."""
    factor, reach = view.proxy_factor, radius + EDGE_PX
    side = 2 * reach + 1
    stack = np.empty((len(places), side * factor, side * factor, 3), view.image.dtype)
    for window, (x, y) in zip(stack, ((places - reach) * factor).tolist(), strict=True):
        window[:] = view.image[y : y + side * factor, x : x + side * factor]
    # One below the other they are one picture; what smoothing carries over is cut off.
    tall = stack.reshape(-1, side * factor, 3)
    if factor > 1:
        size = (side, side * len(places))
        tall = np.asarray(cv2.resize(tall, size, interpolation=cv2.INTER_AREA))
    tone = smooth(view.to_tone(cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY)))
    windows = tone.reshape(len(places), side, side)
    return windows[:, EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX]
