"""Loss term `edges`: 1 - Qabf, edges whose strength or direction the fusion gave up."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.term import LossTerm
from trainer.metrics.quality.qabf import DIRECTION_SIGMOID, STRENGTH_SIGMOID

SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
STEADY = 1e-2
"""Added to a squared gradient of the fusion: a root has no slope at zero, an angle no value."""

STEADY_SOURCE = 1e-4


def lost_edges(fused: Tensor, under: Tensor, over: Tensor) -> Tensor:
    r"""1 - Qabf, made smooth.

    .. math::
        1 - \frac{\sum_k \sum g_k \, s_g(r_k) \, s_\alpha(1 - 2 \alpha_k / \pi)}{\sum_k \sum g_k},
        \qquad r_k = \frac{\min(g_k, g_f)}{\max(g_k, g_f)}

    with Sobel magnitudes g, the angle alpha, 0..pi/2, between the lines along which an exposure
    and the fusion rise, and the two sigmoids of the metric. Exposures without an edge cost 1.

    Args:
        fused: Fused plane, 0..255. Shape (N, 1, H, W), sides of at least 3.
        under: Under exposure. Same shape.
        over: Over exposure. Same shape.

    Returns:
        Loss, about 0..1. Shape (N,).

    Reference:
        Xydeas and Petrovic, Electron. Lett. 36 (2000) 308-309. Ours: the angle from sine and
        cosine, which does not jump for upright edges as the metric's arctangent does; equal
        magnitudes count as a ratio of 1; and the outermost pixels do not count.
    """
    x, y = _gradient(fused)
    strength = (x * x + y * y + STEADY).sqrt()
    kept = total = torch.zeros_like(strength[:, 0, 0, 0])
    for source in (under, over):
        source_x, source_y = _gradient(source)
        wanted = (source_x * source_x + source_y * source_y + STEADY_SOURCE).sqrt()
        ratio = torch.minimum(wanted, strength) / torch.maximum(wanted, strength)
        sine = (x * source_y - y * source_x).abs()
        cosine = (x * source_x + y * source_y).abs()
        direction = 1 - torch.atan2(sine, cosine + STEADY) / (math.pi / 2)
        quality = _sigmoid(ratio, STRENGTH_SIGMOID) * _sigmoid(direction, DIRECTION_SIGMOID)
        kept = kept + (quality * wanted).sum(dim=(1, 2, 3))
        total = total + wanted.sum(dim=(1, 2, 3))
    return 1 - kept / total


def _gradient(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's two derivatives where the kernel fits."""
    kernel = torch.tensor(SOBEL, dtype=plane.dtype, device=plane.device)
    count = len(plane)
    filters = torch.stack([kernel, kernel.T])[:, None].repeat(count, 1, 1, 1)
    # A filter pair for each plane as a channel, see `trainer.losses.masks.average_windows`.
    both = functional.conv2d(plane.transpose(0, 1), filters, groups=count)[0]
    return both[0::2, None], both[1::2, None]


def _sigmoid(value: Tensor, shape: tuple[float, float, float]) -> Tensor:
    gain, slope, centre = shape
    return gain * torch.sigmoid(slope * (value - centre))


TERM = LossTerm(
    key="edges",
    name="lost_edges",
    words="(1 - Qabf)",
    explanation="",
    position=60,
    compute=lambda planes, options: lost_edges(planes.shown, planes.under, planes.over),
)
