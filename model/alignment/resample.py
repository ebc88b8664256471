"""Resamples an exposure once onto the frame of another, whatever their sizes are."""

import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import Pixels
from model.geometry import Matrix, needed_region, shift, stretch
from model.tiling import Rect

MAX_STEP_PX = 1.25
"""Distance of samples up to which the cubic kernel does not alias visibly. Of a reduced exposure
several samples a pixel are taken, no further apart than this, and averaged: 54.2 dB on a
photograph of twice the size, where averaging first and moving then gives 49.1 and one sample a
pixel 50.0."""

BLOCK_PX = 1024
"""Samples are taken in blocks of about this side: memory stays small, and no source is too wide
for OpenCV's remapping, which takes fewer than 32,767 pixels a side."""

KERNEL_PX = 3
"""How far the cubic kernel reaches, and one more for rounding."""


def resample(image: Pixels, homography: Matrix, out: Pixels) -> None:
    """Resample an image by a homography; outside of it its edge is repeated.

    Args:
        image: RGB image (h, w, 3), uint8 or uint16.
        homography: Pixel of the image -> pixel of `out`. Shape (3, 3), float64.
        out: Where the result goes. Shape (H, W, 3), of the image's type.
    """
    steps = (image.shape[0] / out.shape[0], image.shape[1] / out.shape[1])
    samples = max(1, math.ceil(max(steps) / MAX_STEP_PX))
    to_fine = stretch((1, 1), (samples, samples)) @ homography
    fine_to_image = np.linalg.inv(to_fine).astype(np.float64)
    for block in _blocks(out.shape[0], out.shape[1], max(1, BLOCK_PX // samples)):
        fine = Rect(
            *(samples * side for side in (block.top, block.left, block.height, block.width))
        )
        sampled = _sample(image, fine_to_image, fine)
        if samples > 1:
            size = (block.width, block.height)
            sampled = np.asarray(cv2.resize(sampled, size, interpolation=cv2.INTER_AREA))
        out[block.slices] = sampled


def _sample(image: Pixels, to_image: Matrix, target: Rect) -> NDArray[Any]:
    """The image at every pixel of a window of the frame from which `to_image` leads into it."""
    height, width = image.shape[:2]
    region = needed_region(to_image, target, height, width, margin_px=KERNEL_PX)
    into_region = shift(-region.left, -region.top) @ to_image @ shift(target.left, target.top)
    return np.asarray(
        cv2.warpPerspective(
            np.ascontiguousarray(image[region.slices]),
            into_region,
            (target.width, target.height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def _blocks(height: int, width: int, side: int) -> Iterator[Rect]:
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield Rect(top, left, min(side, height - top), min(side, width - left))
