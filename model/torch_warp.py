"""Brings one window of the moving exposure onto the reference exposure in torch.

By torch's own operations, which say what the others must give, or by the GPU's kernels.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.exposure import Pixels
from model.geometry import needed_region
from model.kernels.grids import Launcher
from model.tiling import Rect
from model.torch_colour import FULL_SCALE, to_pixels
from model.torch_passes import Moving
from model.torch_passes import warp_pixels as launch_pixels
from model.torch_passes import warp_planes as launch_planes
from model.torch_staging import Staging

KEYS_A = -0.5
"""Parameter of the cubic kernel; this value makes it exact for quadratics (Keys 1981)."""

TAPS_BEFORE, TAPS_AFTER = 1, 2
TAPS = TAPS_BEFORE + 1 + TAPS_AFTER

CPU_CHUNK_PX = 8192
"""Pixels sampled at once on the CPU: their taps stay in the cache, and take half the time."""


def warp_window(
    moving: Pixels, to_moving: NDArray[np.float64], target: Rect, *, device: torch.device
) -> Tensor:
    r"""Sample the moving exposure at the pixels of one window of the reference.

    .. math::
        w(p) = \sum_{i,j} k(x - i) \, k(y - j) \, m(i, j), \qquad (x, y) = H^{-1} p

    with Keys' cubic kernel k. Outside the moving exposure its edge is repeated. Coordinates are
    absolute and in float64, so a window's pixels do not depend on the window. Only the pixels that
    the window needs travel to the device.

    Args:
        moving: The moving exposure. Shape (H, W, 3), uint8 or uint16.
        to_moving: Reference pixel -> moving pixel, `geometry.reference_to_moving`. Shape (3, 3).
        target: The window, in reference pixels.
        device: Where to compute.

    Returns:
        Encoded sRGB, clamped to 0..1. Shape (1, 3, target.height, target.width), float32.

    Reference:
        Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981.
    """
    height, width = moving.shape[:2]
    # the part of the moving exposure that the window needs, on the device
    region = needed_region(to_moving, target, height, width, margin_px=TAPS_AFTER + 1)
    pixels = torch.from_numpy(np.array(moving[region.slices])).to(device)
    values = pixels.reshape(-1, 3).to(torch.float32) / FULL_SCALE[pixels.dtype]
    x, y = _positions(to_moving, target, device)
    count = x.numel()
    step = CPU_CHUNK_PX if device.type == "cpu" else count
    warped = torch.empty(3, count, dtype=torch.float32, device=device)
    # sixteen taps a pixel, summed as a weighted bag of embeddings
    for chunk in (slice(start, start + step) for start in range(0, count, step)):
        columns, column_weights = _taps(x[chunk], width)
        rows, row_weights = _taps(y[chunk], height)
        row_starts = (rows - region.top) * region.width - region.left
        indices = row_starts.unsqueeze(1) + columns
        weights = row_weights.unsqueeze(1) * column_weights
        warped[:, chunk] = functional.embedding_bag(
            indices.flatten(0, 1).t().contiguous(),
            values,
            per_sample_weights=weights.flatten(0, 1).t().contiguous(),
            mode="sum",
        ).t()
    return warped.clamp_(0, 1).reshape(1, 3, target.height, target.width)


def warp_pixels(
    moving: Pixels, to_moving: NDArray[np.float64], target: Rect, *, device: torch.device
) -> Pixels:
    """See `warp_window`; rounded to the type of the moving exposure. (H, W, 3) of the window."""
    return to_pixels(warp_window(moving, to_moving, target, device=device)[0], moving)


class Warping(Protocol):
    """What warps windows for an engine."""

    def planes(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Tensor:
        """See `warp_window`; on the engine's device."""
        ...

    def pixels(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """See `warp_pixels`; on the host."""
        ...


class TorchWarping:
    """See `Warping`; by torch's own operations.

    Args:
        device: Where to compute.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def planes(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Tensor:
        """See `Warping.planes`."""
        return warp_window(moving, to_moving, target, device=self._device)

    def pixels(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """See `Warping.pixels`."""
        return warp_pixels(moving, to_moving, target, device=self._device)


class KernelWarping:
    """See `Warping`; by a kernel that samples a window in one launch.

    Args:
        launcher: What computes it.
        staging: What brings the exposure to its device, and pixels back.
    """

    def __init__(self, launcher: Launcher, staging: Staging) -> None:
        self._launcher = launcher
        self._staging = staging

    def planes(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Tensor:
        """See `Warping.planes`."""
        there = self._send(moving, to_moving, target)
        return launch_planes(self._launcher, there, to_moving, target).unsqueeze(0)

    def pixels(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Pixels:
        """See `Warping.pixels`."""
        there = self._send(moving, to_moving, target)
        landing = self._staging.fetch(launch_pixels(self._launcher, there, to_moving, target))
        landing.wait()
        warped: Pixels = np.empty((target.height, target.width, 3), moving.dtype)
        landing.write(warped)
        return warped

    def _send(self, moving: Pixels, to_moving: NDArray[np.float64], target: Rect) -> Moving:
        height, width = moving.shape[:2]
        region = needed_region(to_moving, target, height, width, margin_px=TAPS_AFTER + 1)
        return Moving(self._staging.send(moving[region.slices]), region, height, width)


def _positions(
    to_moving: NDArray[np.float64], target: Rect, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Position in the moving exposure of every pixel of the window, flattened."""
    across = torch.arange(target.left, target.right, dtype=torch.float64, device=device)
    down = torch.arange(target.top, target.bottom, dtype=torch.float64, device=device).unsqueeze(1)
    x, y, depth = (row[0] * across + row[1] * down + row[2] for row in to_moving.tolist())
    return (x / depth).flatten(), (y / depth).flatten()


def _taps(position: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Pixels and float32 weights of the cubic kernel along one axis. Shape (TAPS, P) each."""
    position = position.clamp(-TAPS, length + TAPS)
    before = position.floor()
    t = (position - before).to(torch.float32)
    a = KEYS_A
    t2, t3 = t * t, t * t * t
    weights = torch.stack(
        (
            a * (t3 - 2 * t2 + t),
            (a + 2) * t3 - (a + 3) * t2 + 1,
            -(a + 2) * t3 + (2 * a + 3) * t2 - a * t,
            a * (t2 - t3),
        )
    )
    offsets = torch.arange(-TAPS_BEFORE, TAPS_AFTER + 1, dtype=torch.int32, device=position.device)
    pixels = before.to(torch.int32) + offsets.unsqueeze(1)
    return pixels.clamp_(0, length - 1), weights
